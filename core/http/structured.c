/* SPDX-License-Identifier: Apache-2.0 */

/* A reader that moves a slice's beginning along. Each function takes what it is named after and says whether it was
 * there. */

#include "http/structured.h"

static bool at_end(const struct slice *s)
{
    return s->len == 0;
}

static char peek(const struct slice *s)
{
    return s->len ? s->ptr[0] : '\0';
}

static void skip(struct slice *s, size_t n)
{
    *s = slice_from_index(*s, n);
}

static bool take(struct slice *s, char c)
{
    if (peek(s) != c || at_end(s))
        return false;
    skip(s, 1);
    return true;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_key_char(char c)
{
    return is_lower(c) || is_digit(c) || (c != '\0' && strchr("_-.*", c) != NULL);
}

static bool is_token_char(char c)
{
    return is_alpha(c) || is_digit(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~:/", c) != NULL);
}

static bool is_base64_char(char c)
{
    return is_alpha(c) || is_digit(c) || c == '+' || c == '/' || c == '=';
}

static size_t run(const struct slice *s, bool (*is)(char c))
{
    size_t n = 0;

    while (n < s->len && is(s->ptr[n]))
        n++;
    return n;
}

static void skip_blanks(struct slice *s)
{
    while (peek(s) == ' ' || peek(s) == '\t')
        skip(s, 1);
}

static bool take_key(struct slice *s, struct slice *key)
{
    if (!is_lower(peek(s)) && peek(s) != '*')
        return false;
    *key = slice_sub(*s, 0, run(s, is_key_char));
    skip(s, key->len);
    return true;
}

/* Integers have up to 15 digits, decimals up to 12 before the dot and 3 behind it. */
static bool take_number(struct slice *s, struct structured_member *out)
{
    bool is_negative = take(s, '-');
    size_t n = run(s, is_digit);

    if (n == 0 || n > 15)
        return false;
    for (size_t i = 0; i < n; i++)
        out->integer = out->integer * 10 + (s->ptr[i] - '0');
    skip(s, n);
    if (is_negative)
        out->integer = -out->integer;
    out->kind = STRUCTURED_INTEGER;
    if (!take(s, '.'))
        return true;
    size_t decimals = run(s, is_digit);
    skip(s, decimals);
    out->kind = STRUCTURED_OTHER;
    return n <= 12 && decimals >= 1 && decimals <= 3;
}

static bool take_text(struct slice *s)
{
    skip(s, 1);
    while (!at_end(s)) {
        char c = peek(s);
        skip(s, 1);
        if (c == '"')
            return true;
        if (c < ' ' || c > '~')
            return false;
        if (c == '\\' && !take(s, '"') && !take(s, '\\'))
            return false;
    }
    return false;
}

static bool take_bytes(struct slice *s)
{
    skip(s, 1);
    skip(s, run(s, is_base64_char));
    return take(s, ':');
}

static bool take_boolean(struct slice *s, struct structured_member *out)
{
    skip(s, 1);
    out->kind = peek(s) == '1' ? STRUCTURED_TRUE : STRUCTURED_FALSE;
    return take(s, '1') || take(s, '0');
}

static bool take_item(struct slice *s, struct structured_member *out)
{
    char c = peek(s);

    out->kind = STRUCTURED_OTHER;
    out->integer = 0;
    if (c == '-' || is_digit(c))
        return take_number(s, out);
    if (c == '?')
        return take_boolean(s, out);
    if (c == '"')
        return take_text(s);
    if (c == ':')
        return take_bytes(s);
    if (!is_alpha(c) && c != '*')
        return false;
    skip(s, run(s, is_token_char));
    return true;
}

static bool take_parameters(struct slice *s)
{
    while (take(s, ';')) {
        struct structured_member ignored;
        while (take(s, ' '))
            ;
        if (!take_key(s, &ignored.key) || (take(s, '=') && !take_item(s, &ignored)))
            return false;
    }
    return true;
}

static bool take_inner_list(struct slice *s)
{
    struct structured_member ignored;

    skip(s, 1);
    for (;;) {
        while (take(s, ' '))
            ;
        if (take(s, ')'))
            return true;
        if (!take_item(s, &ignored) || !take_parameters(s) || (peek(s) != ' ' && peek(s) != ')'))
            return false;
    }
}

static bool take_member(struct slice *s, struct structured_member *out)
{
    *out = (struct structured_member){.kind = STRUCTURED_TRUE};
    if (!take_key(s, &out->key))
        return false;
    if (take(s, '=')) {
        bool is_list = peek(s) == '(';
        if (is_list)
            out->kind = STRUCTURED_OTHER;
        if (!(is_list ? take_inner_list(s) : take_item(s, out)))
            return false;
    }
    return take_parameters(s);
}

/* True: another member has to follow. */
static bool take_comma(struct slice *s)
{
    skip_blanks(s);
    bool has = take(s, ',');
    skip_blanks(s);
    return has;
}

bool structured_is_dictionary(struct slice field)
{
    struct slice s = slice_trim(field);
    struct structured_member m;

    if (at_end(&s))
        return true;
    do {
        if (!take_member(&s, &m))
            return false;
    } while (take_comma(&s));
    return at_end(&s);
}

bool structured_next(struct slice *rest, struct structured_member *out)
{
    skip_blanks(rest);
    if (at_end(rest) || !take_member(rest, out))
        return false;
    (void)take_comma(rest);
    return true;
}
