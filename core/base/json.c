/* SPDX-License-Identifier: Apache-2.0 */

/* The writer. Each open level remembers what may come next, so commas, colons and line breaks are
 * put here and a misuse (a value where a key belongs) is found instead of written. Strings are
 * copied in runs: bytes that stand for themselves are looked for eight at a time, which is nearly
 * all of any log. The reader is json_read.c. */

#include "base/json.h"

#include <math.h>

#include "base/err.h"
#include "base/json_text.h"
#include "base/text.h"

enum state {
    TOP_VALUE,
    TOP_DONE,
    ARRAY_FIRST,
    ARRAY_NEXT,
    OBJECT_FIRST_KEY,
    OBJECT_NEXT_KEY,
    OBJECT_VALUE,
};

/* Writes what stands for the byte c, which cannot stand for itself; out has room for 6. */
static size_t put_escape(uint8_t c, char *out)
{
    static const char letters[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

    if (c >= 0x80) { /* U+FFFD */
        memcpy(out, "\xef\xbf\xbd", 3);
        return 3;
    }
    out[0] = '\\';
    if (c == '"' || c == '\\' || letters[c]) {
        out[1] = c < 32 ? letters[c] : (char)c;
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    text_hex(&c, 1, out + 4);
    return 6;
}

static int quote(struct buf *out, struct slice s, bool is_lossy)
{
    char escape[6], *start;
    size_t i = json_run_end(s, 0);

    int rc = buf_reserve(out, s.len + 2, &start);
    if (rc < 0)
        return rc;
    start[0] = '"';
    if (i > 0)
        memcpy(start + 1, s.ptr, i);
    buf_commit(out, i + 1);
    while (i < s.len && rc == 0) {
        uint8_t c = (uint8_t)s.ptr[i++];
        if (c >= 0x80 && !is_lossy)
            return ERR_ENCODING;
        rc = buf_add(out, slice_of(escape, put_escape(c, escape)));
        if (rc == 0) {
            size_t end = json_run_end(s, i);
            rc = buf_add(out, slice_of(s.ptr + i, end - i));
            i = end;
        }
    }
    return rc < 0 ? rc : buf_add(out, SLICE("\""));
}

int json_quote(struct buf *out, struct slice s)
{
    return quote(out, s, true);
}

void json_writer_init(struct json_writer *w, struct buf *out, int indent)
{
    w->out = out;
    w->err = 0;
    w->depth = 0;
    w->indent = indent;
    w->state[0] = TOP_VALUE;
}

static void note(struct json_writer *w, int rc)
{
    if (rc < 0 && w->err == 0)
        w->err = rc;
}

static void put(struct json_writer *w, struct slice s)
{
    if (w->err == 0)
        note(w, buf_add(w->out, s));
}

static void new_line(struct json_writer *w)
{
    static const char blanks[] = "                                ";

    if (w->indent == 0)
        return;
    put(w, SLICE("\n"));
    for (size_t n = (size_t)w->depth * (size_t)w->indent; n > 0;) {
        size_t part = MIN(n, sizeof(blanks) - 1);
        put(w, slice_of(blanks, part));
        n -= part;
    }
}

/* Puts what separates a value from what was before; false when no value may stand here. */
static bool begin_value(struct json_writer *w)
{
    uint8_t *state = &w->state[w->depth];

    switch (*state) {
    case TOP_VALUE: *state = TOP_DONE; break;
    case ARRAY_NEXT:
        put(w, SLICE(","));
        new_line(w);
        break;
    case ARRAY_FIRST:
        *state = ARRAY_NEXT;
        new_line(w);
        break;
    case OBJECT_VALUE: *state = OBJECT_NEXT_KEY; break;
    default: note(w, ERR_ARG);
    }
    return w->err == 0;
}

static void open_level(struct json_writer *w, struct slice bracket, enum state state)
{
    if (!begin_value(w))
        return;
    if (w->depth + 1 == COUNT_OF(w->state)) {
        note(w, ERR_DEPTH);
        return;
    }
    w->state[++w->depth] = (uint8_t)state;
    put(w, bracket);
}

static void close_level(struct json_writer *w, struct slice bracket, enum state empty,
                        enum state filled)
{
    if (w->err)
        return;
    uint8_t state = w->state[w->depth];
    if (state != empty && state != filled) {
        note(w, ERR_ARG);
        return;
    }
    w->depth--;
    if (state == filled)
        new_line(w);
    put(w, bracket);
}

void json_object(struct json_writer *w)
{
    open_level(w, SLICE("{"), OBJECT_FIRST_KEY);
}

void json_object_end(struct json_writer *w)
{
    close_level(w, SLICE("}"), OBJECT_FIRST_KEY, OBJECT_NEXT_KEY);
}

void json_array(struct json_writer *w)
{
    open_level(w, SLICE("["), ARRAY_FIRST);
}

void json_array_end(struct json_writer *w)
{
    close_level(w, SLICE("]"), ARRAY_FIRST, ARRAY_NEXT);
}

static void write_key(struct json_writer *w, struct slice key, bool is_lossy)
{
    uint8_t *state = &w->state[w->depth];

    if (w->err)
        return;
    if (*state != OBJECT_FIRST_KEY && *state != OBJECT_NEXT_KEY) {
        note(w, ERR_ARG);
        return;
    }
    if (*state == OBJECT_NEXT_KEY)
        put(w, SLICE(","));
    *state = OBJECT_VALUE;
    new_line(w);
    if (w->err == 0)
        note(w, quote(w->out, key, is_lossy));
    put(w, w->indent ? SLICE(": ") : SLICE(":"));
}

void json_key(struct json_writer *w, struct slice key)
{
    write_key(w, key, false);
}

void json_key_lossy(struct json_writer *w, struct slice key)
{
    write_key(w, key, true);
}

void json_string(struct json_writer *w, struct slice s)
{
    if (begin_value(w))
        note(w, quote(w->out, s, false));
}

void json_string_lossy(struct json_writer *w, struct slice s)
{
    if (begin_value(w))
        note(w, quote(w->out, s, true));
}

void json_int(struct json_writer *w, int64_t n)
{
    char text[21];

    json_raw(w, slice_of(text, text_from_i64(n, text)));
}

void json_number(struct json_writer *w, double n)
{
    char text[TEXT_DOUBLE_SIZE];

    if (isfinite(n))
        json_raw(w, slice_of(text, text_from_double(n, text)));
    else
        note(w, ERR_ARG);
}

void json_bool(struct json_writer *w, bool b)
{
    json_raw(w, b ? SLICE("true") : SLICE("false"));
}

void json_null(struct json_writer *w)
{
    json_raw(w, SLICE("null"));
}

void json_raw(struct json_writer *w, struct slice json)
{
    if (begin_value(w))
        put(w, json);
}

int json_writer_end(struct json_writer *w)
{
    if (w->depth > 0 || w->state[0] != TOP_DONE)
        note(w, ERR_ARG);
    return w->err;
}
