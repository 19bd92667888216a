/* SPDX-License-Identifier: Apache-2.0 */

/* What a scalar is: YAML 1.2's core schema (10.3.2), which unlike YAML 1.1 knows true and false but
 * neither on nor yes, and octal numbers as 0o17. And what stands in it: ${} is replaced after
 * parsing, so that no value can change the file's structure. */

#include "gate/conf_scalar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/text.h"

#define MAX_SECRET (1 * MIB)
#define MAX_SCALAR (4 * MIB)

static bool is_one_of(struct slice s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(s, slice_from(words[i])))
            return true;
    return false;
}

static size_t digits_at(struct slice s, size_t i)
{
    size_t n = 0;

    while (i + n < s.len && s.ptr[i + n] >= '0' && s.ptr[i + n] <= '9')
        n++;
    return n;
}

/* 0o17 and 0xff; at most 64 bits. */
static bool type_as_based(struct conf *node)
{
    struct slice s = node->text;
    unsigned base = s.len > 2 && s.ptr[0] == '0' ? (s.ptr[1] == 'o'   ? 8
                                                    : s.ptr[1] == 'x' ? 16
                                                                      : 0)
                                                 : 0;
    double n = 0;

    if (!base)
        return false;
    for (size_t i = 2; i < s.len; i++) {
        char c = s.ptr[i], small = c | 0x20;
        unsigned digit = c >= '0' && c <= '9'           ? (unsigned)(c - '0')
                         : small >= 'a' && small <= 'f' ? (unsigned)(small - 'a') + 10
                                                        : 99;
        if (digit >= base)
            return false;
        n = n * base + digit;
    }
    node->type = CONF_INT;
    node->number = n;
    return true;
}

/* [-+]? ( digits ( . digits* )? | . digits ) ( [eE] [-+]? digits )? */
static bool type_as_decimal(struct conf *node)
{
    struct slice s = node->text;
    size_t i = s.len && (s.ptr[0] == '-' || s.ptr[0] == '+');
    size_t whole = digits_at(s, i), fraction = 0;
    bool is_int = true;

    i += whole;
    if (i < s.len && s.ptr[i] == '.') {
        fraction = digits_at(s, ++i);
        i += fraction;
        is_int = false;
    }
    if (whole + fraction == 0)
        return false;
    if (i < s.len && (s.ptr[i] | 0x20) == 'e') {
        i += 1 + (i + 1 < s.len && (s.ptr[i + 1] == '-' || s.ptr[i + 1] == '+'));
        size_t exponent = digits_at(s, i);
        if (exponent == 0)
            return false;
        i += exponent;
        is_int = false;
    }
    if (i != s.len)
        return false;
    node->type = is_int ? CONF_INT : CONF_NUMBER;
    node->number = strtod(s.ptr, NULL);
    return true;
}

static bool type_as_special(struct conf *node)
{
    static const char *const infinite[] = {".inf", ".Inf", ".INF"}, *const nan[] = {".nan", ".NaN",
                                                                                    ".NAN"};
    struct slice s = node->text;
    bool is_negative = s.ptr[0] == '-';

    if (is_one_of(slice_from_index(s, s.ptr[0] == '-' || s.ptr[0] == '+'), infinite,
                  COUNT_OF(infinite)))
        node->number = is_negative ? -__builtin_inf() : __builtin_inf();
    else if (is_one_of(s, nan, COUNT_OF(nan)))
        node->number = __builtin_nan("");
    else
        return false;
    node->type = CONF_NUMBER;
    return true;
}

void conf_scalar_type(struct conf *node)
{
    static const char *const nothing[] = {"", "~", "null", "Null", "NULL"};
    static const char *const yes[] = {"true", "True", "TRUE"}, *const no[] = {"false", "False",
                                                                              "FALSE"};
    struct slice s = node->text;

    node->type = CONF_STRING;
    node->boolean = false;
    node->number = 0;
    if (s.len && !strchr("~nNtTfF0123456789+-.", s.ptr[0]))
        return;
    if (is_one_of(s, nothing, COUNT_OF(nothing))) {
        node->type = CONF_NULL;
    } else if (is_one_of(s, yes, COUNT_OF(yes)) || is_one_of(s, no, COUNT_OF(no))) {
        node->type = CONF_BOOL;
        node->boolean = (s.ptr[0] | 0x20) == 't';
    } else if (!type_as_based(node) && !type_as_decimal(node)) {
        type_as_special(node);
    }
}

/* --- files ------------------------------------------------------------------------------------ */

struct slice conf_resolve(struct slice dir, struct slice path, struct arena *a)
{
    if ((path.len && path.ptr[0] == '/') || dir.len == 0 || slice_eq(dir, SLICE(".")))
        return arena_dup(a, path);
    return arena_printf(a, "%.*s/%.*s", SLICE_ARG(dir), SLICE_ARG(path));
}

/* Reads until the end: the size that fstat tells is 0 for files of /proc and pipes. */
static int read_all(int fd, size_t max, struct buf *out)
{
    char *room;

    buf_init(out, max + 1);
    for (;;) {
        size_t want = MIN((size_t)64 * KIB, max + 1 - buf_len(out));
        if (want == 0 || buf_reserve(out, want, &room) < 0)
            return ERR_LIMIT;
        ssize_t n = read(fd, room, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? ERR_SYSTEM : 0;
        buf_commit(out, (size_t)n);
    }
}

int conf_read_file(const char *path, size_t max, struct arena *a, struct slice *out)
{
    struct buf bytes;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return ERR_SYSTEM;
    int rc = read_all(fd, max, &bytes);
    int saved = errno;
    if (rc == 0)
        *out = buf_len(&bytes) ? arena_dup(a, buf_slice(&bytes)) : SLICE("");
    buf_deinit(&bytes);
    close(fd);
    errno = saved;
    return rc;
}

/* --- ${} -------------------------------------------------------------------------------------- */

bool conf_scalar_has_password(struct slice text)
{
    ssize_t scheme = slice_find(text, SLICE("://"));

    if (scheme <= 0)
        return false;
    struct slice rest = slice_from_index(text, (size_t)scheme + 3);
    size_t end = 0;
    while (end < rest.len && !strchr("/?#", rest.ptr[end]))
        end++;
    struct slice authority = slice_sub(rest, 0, end);
    ssize_t at = slice_find_last_char(authority, '@'), colon = slice_find_char(authority, ':');
    if (at >= 0)
        return colon >= 0 && colon < at;
    /* A password with a slash that is not escaped: "redis://:pa/ss@host". No port looks like it. */
    return colon >= 0 && slice_find_char(rest, '@') >= 0 &&
           digits_at(authority, (size_t)colon + 1) < authority.len - (size_t)colon - 1;
}

static bool is_env_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], small = c | 0x20;
        if (c != '_' && !(small >= 'a' && small <= 'z') && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return s.len > 0 && s.len < 256;
}

struct expansion {
    struct conf *node;
    struct arena *arena;
    struct faults *faults;
    struct buf out;
};

static bool put(struct expansion *e, struct slice s)
{
    if (s.len == 0 || buf_add(&e->out, s) == 0)
        return true;
    fault_at(e->faults, e->node, SLICE_NONE, "the text is longer than %u bytes", MAX_SCALAR);
    return false;
}

static bool put_checked(struct expansion *e, struct slice value, struct slice from)
{
    if (text_is_utf8(value) && !memchr(value.ptr, '\0', value.len))
        return put(e, value);
    fault_at(e->faults, e->node, SLICE_NONE, "%.*s holds bytes that are not UTF-8 text",
             SLICE_ARG(from));
    return false;
}

static bool put_file(struct expansion *e, struct slice name)
{
    struct slice text, path = conf_resolve(e->node->file->dir, name, e->arena);

    e->node->is_secret = true;
    if (name.len == 0) {
        fault_at(e->faults, e->node, SLICE_NONE, "\"${file:}\" names no file");
        return false;
    }
    faults_saw(e->faults, path.ptr, false);
    int rc = memchr(path.ptr, '\0', path.len)
                 ? ERR_NOT_FOUND
                 : conf_read_file(path.ptr, MAX_SECRET, e->arena, &text);
    if (rc < 0) {
        fault_system(e->faults, e->node, SLICE_NONE, "can't read the file %s: %s", path.ptr,
                     rc == ERR_SYSTEM  ? strerror(errno)
                     : rc == ERR_LIMIT ? "longer than 1 MiB"
                                       : "no such name");
        return false;
    }
    if (text.len && text.ptr[text.len - 1] == '\n')
        text.len -= 1 + (text.len > 1 && text.ptr[text.len - 2] == '\r');
    return put_checked(e, text, path);
}

static bool put_env(struct expansion *e, struct slice inside)
{
    ssize_t mark = slice_find(inside, SLICE(":-"));
    struct slice name = mark < 0 ? inside : slice_sub(inside, 0, (size_t)mark);
    char text[256];

    e->node->is_from_env = true;
    if (!is_env_name(name)) {
        fault_at(e->faults, e->node, SLICE_NONE,
                 "this is none of ${NAME}, ${NAME:-default}, ${file:PATH} "
                 "(\"$${\" is a literal \"${\")");
        return false;
    }
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    const char *value = getenv(text);
    if (mark >= 0 && (!value || !*value))
        return put(e, slice_from_index(inside, (size_t)mark + 2));
    if (value)
        return put_checked(e, slice_from(value), name);
    fault_at(e->faults, e->node, SLICE_NONE, "the environment variable %s is not set", text);
    return false;
}

/* One pass; a value that was put in is not looked at again. */
static bool expand(struct expansion *e, bool *is_one)
{
    struct slice s = e->node->text;
    size_t i = 0;

    while (i < s.len) {
        struct slice rest = slice_from_index(s, i);
        ssize_t dollar = slice_find_char(rest, '$');
        if (!put(e, dollar < 0 ? rest : slice_sub(rest, 0, (size_t)dollar)))
            return false;
        if (dollar < 0)
            break;
        i += (size_t)dollar;
        rest = slice_from_index(s, i);
        if (slice_starts(rest, SLICE("$${"))) {
            if (!put(e, SLICE("${")))
                return false;
            i += 3;
        } else if (!slice_starts(rest, SLICE("${"))) {
            if (!put(e, SLICE("$")))
                return false;
            i++;
        } else {
            ssize_t end = slice_find_char(rest, '}');
            if (end < 0) {
                fault_at(e->faults, e->node, SLICE_NONE, "\"${\" has no \"}\"");
                return false;
            }
            struct slice inside = slice_sub(rest, 2, (size_t)end - 2);
            bool is_file = slice_starts(inside, SLICE("file:"));
            if (!(is_file ? put_file(e, slice_from_index(inside, 5)) : put_env(e, inside)))
                return false;
            *is_one = i == 0 && (size_t)end + 1 == s.len;
            i += (size_t)end + 1;
        }
    }
    return true;
}

bool conf_scalar_expand(struct conf *node, bool is_plain, struct arena *a, struct faults *faults)
{
    struct expansion e = {.node = node, .arena = a, .faults = faults};
    bool is_one = false;

    buf_init(&e.out, MAX_SCALAR);
    bool ok = expand(&e, &is_one);
    if (ok)
        node->text = buf_len(&e.out) ? arena_dup(a, buf_slice(&e.out)) : SLICE("");
    buf_deinit(&e.out);
    node->is_broken = !ok;
    node->is_open = (node->is_secret || node->is_from_env) && (is_plain || is_one);
    if (node->is_secret || node->is_from_env)
        conf_hide(node);
    return ok;
}
