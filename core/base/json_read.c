/* SPDX-License-Identifier: Apache-2.0 */

/* The reader: a small state machine that is asked for one event after another, so that a caller
 * builds what it wants (a Lua table, a struct) with no tree in between, and nesting costs a byte a
 * level instead of stack. */

#include "base/json.h"

#include "base/check.h"
#include "base/err.h"
#include "base/json_text.h"
#include "base/text.h"

#define MAX_INT 9007199254740992.0 /* 2^53 */

enum expect {
    VALUE,
    VALUE_OR_END, /* behind '[' */
    KEY_OR_END,   /* behind '{' */
    NEXT_OR_END,  /* behind a value that is inside of something */
    NOTHING,      /* behind the one value */
};

void json_reader_init(struct json_reader *r, struct slice text, int max_depth)
{
    REQUIRE(max_depth >= 0 && max_depth <= (int)COUNT_OF(r->stack));
    r->text = text;
    r->pos = 0;
    r->depth = 0;
    r->max_depth = max_depth;
    r->expect = VALUE;
    r->string = SLICE_NONE;
    r->number = 0;
    r->is_int = false;
    buf_init(&r->scratch, text.len);
}

void json_reader_deinit(struct json_reader *r)
{
    buf_deinit(&r->scratch);
}

/* The byte at pos, or -1 at the end. */
static int peek(const struct json_reader *r)
{
    return r->pos < r->text.len ? (uint8_t)r->text.ptr[r->pos] : -1;
}

static void skip_blanks(struct json_reader *r)
{
    for (int c = peek(r); c == ' ' || c == '\n' || c == '\r' || c == '\t'; c = peek(r))
        r->pos++;
}

static void after_value(struct json_reader *r)
{
    r->expect = r->depth > 0 ? NEXT_OR_END : NOTHING;
}

static int read_word(struct json_reader *r, struct slice word, enum json_event event)
{
    if (!slice_starts(slice_from_index(r->text, r->pos), word))
        return ERR_SYNTAX;
    r->pos += word.len;
    after_value(r);
    return event;
}

static size_t skip_digits(struct json_reader *r)
{
    size_t from = r->pos;

    while (peek(r) >= '0' && peek(r) <= '9')
        r->pos++;
    return r->pos - from;
}

/* RFC 8259, 6. What follows is the caller's matter, so "01" ends in the wrong place. */
static int read_number(struct json_reader *r)
{
    size_t from = r->pos;
    bool is_whole = true;

    r->pos += peek(r) == '-';
    if (peek(r) == '0')
        r->pos++;
    else if (skip_digits(r) == 0)
        return ERR_SYNTAX;
    if (peek(r) == '.') {
        is_whole = false;
        r->pos++;
        if (skip_digits(r) == 0)
            return ERR_SYNTAX;
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        is_whole = false;
        r->pos++;
        r->pos += peek(r) == '+' || peek(r) == '-';
        if (skip_digits(r) == 0)
            return ERR_SYNTAX;
    }
    struct slice text = slice_sub(r->text, from, r->pos - from);
    int rc = text_to_double(text, &r->number);
    if (rc < 0)
        return rc;
    /* 2^53 + 1 reads as 2^53: only the digits tell. */
    int64_t n;
    r->is_int =
        is_whole && text_to_i64(text, &n) == 0 && n >= -(int64_t)MAX_INT && n <= (int64_t)MAX_INT;
    after_value(r);
    return JSON_NUMBER;
}

/* Four hex digits at pos, or a negative code. */
static int read_hex4(struct json_reader *r)
{
    uint8_t bytes[2];

    if (r->text.len - r->pos < 4 || text_unhex(slice_sub(r->text, r->pos, 4), bytes) < 0)
        return ERR_SYNTAX;
    r->pos += 4;
    return bytes[0] << 8 | bytes[1];
}

static size_t put_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (char)(lead[n] | c);
    return n;
}

/* Behind "\u". */
static int read_code_point(struct json_reader *r, char *out)
{
    int high = read_hex4(r);

    if (high < 0xd800 || high > 0xdfff)
        return high < 0 ? high : (int)put_utf8((uint32_t)high, out);
    if (high > 0xdbff || !slice_starts(slice_from_index(r->text, r->pos), SLICE("\\u")))
        return ERR_ENCODING;
    r->pos += 2;
    int low = read_hex4(r);
    if (low < 0)
        return low;
    if (low < 0xdc00 || low > 0xdfff)
        return ERR_ENCODING;
    return (int)put_utf8(0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00),
                         out);
}

/* Behind a backslash: adds to scratch what the escape stands for. */
static int read_escape(struct json_reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char text[4];
    int n = 1, c = peek(r);

    const char *at = c > 0 ? strchr(from, c) : NULL;
    if (!at && c != 'u')
        return ERR_SYNTAX;
    r->pos++;
    if (at)
        text[0] = to[at - from];
    else
        n = read_code_point(r, text);
    return n < 0 ? n : buf_add(&r->scratch, slice_of(text, (size_t)n));
}

/* Moves pos to what ends a run of plain characters: a quote, a backslash, or what may not be
 * there. */
static struct slice read_run(struct json_reader *r)
{
    size_t from = r->pos;

    r->pos = json_run_end(r->text, from);
    return slice_sub(r->text, from, r->pos - from);
}

static int read_string(struct json_reader *r)
{
    r->pos++;
    r->string = read_run(r);
    if (peek(r) == '\\') {
        buf_clear(&r->scratch);
        int rc = buf_add(&r->scratch, r->string);
        while (rc == 0 && peek(r) == '\\') {
            r->pos++;
            rc = read_escape(r);
            if (rc == 0)
                rc = buf_add(&r->scratch, read_run(r));
        }
        if (rc < 0)
            return rc;
        r->string = buf_slice(&r->scratch);
    }
    if (peek(r) != '"')
        return peek(r) >= 0x80 ? ERR_ENCODING : ERR_SYNTAX;
    r->pos++;
    return 0;
}

static int open_level(struct json_reader *r, char bracket)
{
    if (r->depth == r->max_depth)
        return ERR_DEPTH;
    r->stack[r->depth++] = (uint8_t)bracket;
    r->pos++;
    r->expect = bracket == '{' ? KEY_OR_END : VALUE_OR_END;
    return bracket == '{' ? JSON_OBJECT : JSON_ARRAY;
}

static int close_level(struct json_reader *r)
{
    bool is_object = r->stack[--r->depth] == '{';

    r->pos++;
    after_value(r);
    return is_object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static int read_value(struct json_reader *r)
{
    int rc, c = peek(r);

    switch (c) {
    case '{':
    case '[': return open_level(r, (char)c);
    case '"':
        rc = read_string(r);
        after_value(r);
        return rc < 0 ? rc : JSON_STRING;
    case 't': return read_word(r, SLICE("true"), JSON_TRUE);
    case 'f': return read_word(r, SLICE("false"), JSON_FALSE);
    case 'n': return read_word(r, SLICE("null"), JSON_NULL);
    default: return read_number(r);
    }
}

static int read_key(struct json_reader *r)
{
    if (peek(r) != '"')
        return ERR_SYNTAX;
    int rc = read_string(r);
    if (rc < 0)
        return rc;
    skip_blanks(r);
    if (peek(r) != ':')
        return ERR_SYNTAX;
    r->pos++;
    r->expect = VALUE;
    return JSON_KEY;
}

/* Behind a value, at a comma or at the bracket that closes. */
static int read_next(struct json_reader *r)
{
    bool in_object = r->stack[r->depth - 1] == '{';

    if (peek(r) == (in_object ? '}' : ']'))
        return close_level(r);
    if (peek(r) != ',')
        return ERR_SYNTAX;
    r->pos++;
    skip_blanks(r);
    return in_object ? read_key(r) : read_value(r);
}

int json_read(struct json_reader *r)
{
    skip_blanks(r);
    switch (r->expect) {
    case NOTHING: return r->pos == r->text.len ? JSON_END : ERR_SYNTAX;
    case NEXT_OR_END: return read_next(r);
    case KEY_OR_END: return peek(r) == '}' ? close_level(r) : read_key(r);
    case VALUE_OR_END: return peek(r) == ']' ? close_level(r) : read_value(r);
    default: return read_value(r);
    }
}
