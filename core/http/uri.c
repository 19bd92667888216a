/* SPDX-License-Identifier: Apache-2.0 */

/* Targets are checked byte by byte against one table and cut into slices; nothing is copied.
 * Normalising looks first whether there is anything to do, which for nearly every path there is
 * not. */

#include "http/uri.h"

#include <arpa/inet.h>

#include "base/err.h"
#include "base/text.h"

enum {
    UNRESERVED = 1, /* RFC 3986, 2.3 */
    SUB_DELIM = 2,  /* 2.2 */
    IN_PATH =
        4, /* what else may stand in path and query: : @ / ? % and, since forms use them, [ ] */
    HEX_DIGIT = 8,
    TURN = 16, /* where a path may need normalising */
};

static const uint8_t classes[256] = {
    ['a' ... 'f'] = UNRESERVED | HEX_DIGIT,
    ['g' ... 'z'] = UNRESERVED,
    ['A' ... 'F'] = UNRESERVED | HEX_DIGIT,
    ['G' ... 'Z'] = UNRESERVED,
    ['0' ... '9'] = UNRESERVED | HEX_DIGIT,
    ['-'] = UNRESERVED,
    ['.'] = UNRESERVED,
    ['_'] = UNRESERVED,
    ['~'] = UNRESERVED,
    ['!'] = SUB_DELIM,
    ['$'] = SUB_DELIM,
    ['&'] = SUB_DELIM,
    ['\''] = SUB_DELIM,
    ['('] = SUB_DELIM,
    [')'] = SUB_DELIM,
    ['*'] = SUB_DELIM,
    ['+'] = SUB_DELIM,
    [','] = SUB_DELIM,
    [';'] = SUB_DELIM,
    ['='] = SUB_DELIM,
    [':'] = IN_PATH,
    ['@'] = IN_PATH,
    ['/'] = IN_PATH | TURN,
    ['?'] = IN_PATH,
    ['%'] = IN_PATH | TURN,
    ['['] = IN_PATH,
    [']'] = IN_PATH,
};

static bool is_class(char c, uint8_t which)
{
    return (classes[(uint8_t)c] & which) != 0;
}

static bool all_class(struct slice s, uint8_t which)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_class(s.ptr[i], which))
            return false;
    }
    return true;
}

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* The byte that the escape at s[i] stands for, or -1. */
static int escape_at(struct slice s, size_t i)
{
    if (i + 2 >= s.len || !is_class(s.ptr[i + 1], HEX_DIGIT) || !is_class(s.ptr[i + 2], HEX_DIGIT))
        return -1;
    return hex_value(s.ptr[i + 1]) * 16 + hex_value(s.ptr[i + 2]);
}

/* --- authority -------------------------------------------------------------------------------- */

static int parse_port(struct slice digits, uint16_t *port)
{
    uint64_t n = 0;

    if (digits.len > 5)
        return ERR_SYNTAX;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return ERR_SYNTAX;
        n = n * 10 + (uint64_t)(digits.ptr[i] - '0');
    }
    if (n > UINT16_MAX)
        return ERR_SYNTAX;
    *port = (uint16_t)n;
    return 0;
}

static bool is_ipv6(struct slice s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;

    if (s.len >= sizeof(text))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return memchr(text, '\0', s.len) == NULL && inet_pton(AF_INET6, text, &addr) == 1;
}

/* Of the name that s begins with. */
static size_t reg_name_len(struct slice s)
{
    size_t i = 0;

    while (i < s.len) {
        if (LIKELY(is_class(s.ptr[i], UNRESERVED | SUB_DELIM)))
            i++;
        else if (s.ptr[i] == '%' && escape_at(s, i) >= 0)
            i += 3;
        else
            break;
    }
    return i;
}

/* host[:port] without userinfo; the host may not be empty. */
static int split_authority(struct slice s, struct slice *host, uint16_t *port)
{
    struct slice rest;

    *port = 0;
    if (s.len > 0 && s.ptr[0] == '[') {
        ssize_t end = slice_find_char(s, ']');
        if (end < 0)
            return ERR_SYNTAX;
        *host = slice_sub(s, 1, (size_t)end - 1);
        rest = slice_from_index(s, (size_t)end + 1);
        if (!is_ipv6(*host))
            return ERR_SYNTAX;
    } else {
        size_t len = reg_name_len(s);
        if (len == 0)
            return ERR_SYNTAX;
        *host = slice_of(s.ptr, len);
        rest = slice_of(s.ptr + len, s.len - len);
    }
    if (rest.len == 0)
        return 0;
    if (rest.ptr[0] != ':')
        return ERR_SYNTAX;
    return parse_port(slice_from_index(rest, 1), port);
}

static struct slice lower_case(struct slice s, struct arena *a)
{
    if (LIKELY(!slice_has_capital(s)))
        return s;
    char *text = arena_alloc(a, s.len);
    for (size_t i = 0; i < s.len; i++)
        text[i] = (char)(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? s.ptr[i] | 0x20 : s.ptr[i]);
    return slice_of(text, s.len);
}

int uri_parse_host(struct slice s, struct arena *a, struct slice *host, uint16_t *port)
{
    int rc = split_authority(s, host, port);

    if (rc < 0)
        return rc;
    if (host->ptr[host->len - 1] == '.')
        host->len--;
    if (host->len == 0)
        return ERR_SYNTAX;
    *host = lower_case(*host, a);
    return 0;
}

/* --- targets ---------------------------------------------------------------------------------- */

/* From '/' or '?' or nothing. */
static int split_path(struct slice s, struct uri *out)
{
    if (!all_class(s, UNRESERVED | SUB_DELIM | IN_PATH))
        return ERR_SYNTAX;
    ssize_t mark = slice_find_char(s, '?');
    out->path = mark < 0 ? s : slice_sub(s, 0, (size_t)mark);
    out->query = mark < 0 ? SLICE_NONE : slice_from_index(s, (size_t)mark + 1);
    if (out->path.len == 0)
        out->path = SLICE("/");
    return 0;
}

static bool starts_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq_nocase(slice_sub(s, 0, prefix.len), prefix);
}

static int parse_absolute(struct slice s, struct uri *out)
{
    if (starts_nocase(s, SLICE("http://")))
        out->scheme = SLICE("http");
    else if (starts_nocase(s, SLICE("https://")))
        out->scheme = SLICE("https");
    else
        return ERR_SYNTAX;
    s = slice_from_index(s, out->scheme.len + 3);

    size_t end = 0;
    while (end < s.len && s.ptr[end] != '/' && s.ptr[end] != '?')
        end++;
    out->authority = slice_sub(s, 0, end);
    int rc = split_authority(out->authority, &out->host, &out->port);
    return rc < 0 ? rc : split_path(slice_from_index(s, end), out);
}

int uri_parse_target(struct slice target, struct uri *out)
{
    *out = (struct uri){0};
    if (target.len == 0)
        return ERR_SYNTAX;
    if (target.ptr[0] == '/')
        return split_path(target, out);
    if (target.len == 1 && target.ptr[0] == '*') {
        out->path = target;
        return 0;
    }
    return parse_absolute(target, out);
}

int uri_parse_url(struct slice url, struct uri *out)
{
    ssize_t hash = slice_find_char(url, '#');

    *out = (struct uri){0};
    return parse_absolute(hash < 0 ? url : slice_sub(url, 0, (size_t)hash), out);
}

/* --- normalising ------------------------------------------------------------------------------ */

static bool is_upper_hex(char c)
{
    return c < 'a';
}

/* A dot segment begins behind the slash at s[i]. */
static bool is_dot_segment(struct slice s, size_t i)
{
    size_t n = 1;

    while (n <= 2 && i + n < s.len && s.ptr[i + n] == '.')
        n++;
    return n > 1 && (i + n == s.len || s.ptr[i + n] == '/');
}

/* 1 when the path differs from its normal form, 0, or ERR_ENCODING. */
static int wants_change(struct slice s)
{
    int changes = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (LIKELY(!is_class(s.ptr[i], TURN)))
            continue;
        if (s.ptr[i] == '/') {
            changes |= is_dot_segment(s, i);
        } else {
            int byte = escape_at(s, i);
            if (byte <= 0)
                return ERR_ENCODING;
            changes |= is_class((char)byte, UNRESERVED);
            changes |= !is_upper_hex(s.ptr[i + 1]) || !is_upper_hex(s.ptr[i + 2]);
        }
    }
    return changes;
}

/* Escapes were checked by wants_change. Returns the length written. */
static size_t normalise_escapes(struct slice s, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '%') {
            out[n++] = s.ptr[i];
            continue;
        }
        int byte = escape_at(s, i);
        i += 2;
        if (is_class((char)byte, UNRESERVED)) {
            out[n++] = (char)byte;
        } else {
            out[n++] = '%';
            out[n++] = "0123456789ABCDEF"[byte >> 4];
            out[n++] = "0123456789ABCDEF"[byte & 15];
        }
    }
    return n;
}

/* RFC 3986, 5.2.4, in place; what is written never passes what is read. Returns the length, or
 * ERR_ENCODING for a climb above the root, which that algorithm would silently forgive. */
static ssize_t remove_dots(char *p, size_t len)
{
    size_t n = 0;

    for (size_t i = 0, end; i < len; i = end) {
        bool dots = is_dot_segment(slice_of(p, len), i);
        end = i + 1;
        while (end < len && p[end] != '/')
            end++;
        if (!dots) {
            memmove(p + n, p + i, end - i);
            n += end - i;
            continue;
        }
        if (end - i == 3) { /* "/.." takes the segment before it along */
            if (n == 0)
                return ERR_ENCODING;
            while (p[--n] != '/')
                ;
        }
        if (end == len)
            p[n++] = '/';
    }
    return (ssize_t)n;
}

int uri_normalise_path(struct slice path, struct arena *a, struct slice *out)
{
    *out = path;
    if (slice_eq(path, SLICE("*")))
        return 0;
    if (path.len == 0 || path.ptr[0] != '/')
        return ERR_SYNTAX;
    int rc = wants_change(path);
    if (rc <= 0)
        return rc;

    char *text = arena_alloc(a, path.len);
    ssize_t len = remove_dots(text, normalise_escapes(path, text));
    if (len < 0)
        return (int)len;
    *out = slice_of(text, (size_t)len);
    return 0;
}

const char *uri_path_fault(struct slice path, struct arena *a)
{
    struct slice out;

    for (size_t i = 0; i < path.len; i++) {
        int byte = path.ptr[i] == '%' ? escape_at(path, i) : 1;
        if (byte < 0)
            return "The path has a % without two hexadecimal digits behind it.";
        if (byte == 0)
            return "The path has a zero byte (%00).";
    }
    return uri_normalise_path(path, a, &out) < 0 ? "The path climbs above its root (..)." : NULL;
}

/* --- queries ---------------------------------------------------------------------------------- */

bool uri_query_next(struct slice *rest, struct slice *name, struct slice *value)
{
    struct slice part;

    while (slice_split(rest, '&', &part)) {
        if (part.len == 0)
            continue;
        ssize_t eq = slice_find_char(part, '=');
        *name = eq < 0 ? part : slice_sub(part, 0, (size_t)eq);
        *value = eq < 0 ? SLICE("") : slice_from_index(part, (size_t)eq + 1);
        return true;
    }
    return false;
}

/* As it stands when there is nothing to decode, or when it can't be. */
static struct slice decoded(struct slice s, struct arena *a)
{
    if (slice_find_char(s, '%') < 0 && slice_find_char(s, '+') < 0)
        return s;
    char *text = arena_alloc(a, s.len);
    ssize_t len = text_percent_decode(s, true, text);
    return len < 0 ? s : slice_of(text, (size_t)len);
}

struct slice uri_query_get(struct slice query, struct slice name, struct arena *a)
{
    struct slice key, value;

    while (uri_query_next(&query, &key, &value)) {
        if (slice_eq(decoded(key, a), name))
            return decoded(value, a);
    }
    return SLICE_NONE;
}
