/* SPDX-License-Identifier: Apache-2.0 */
#ifndef H1_HEAD_H
#define H1_HEAD_H

/* What the fuzz targets of requests and of responses have in common. */

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "http/h1.h"

/* The head's length, 0 or an error; the same when it comes in pieces of `step` bytes. */
static ssize_t scan(struct slice bytes, size_t step)
{
    static const struct h1_bounds bounds = {512, 2048, 16};
    struct h1_scan whole = {0}, pieces = {0};
    const char *why = NULL;
    ssize_t at_once = h1_scan(&whole, bytes, &bounds, &why), n = 0;

    for (size_t len = MIN(step, bytes.len); n == 0; len = MIN(len + step, bytes.len)) {
        n = h1_scan(&pieces, slice_of(bytes.ptr, len), &bounds, &why);
        REQUIRE(n >= 0 || why != NULL);
        if (len == bytes.len)
            break;
    }
    /* In pieces a fault is seen as early as it can be, which may be another one than the first
     * at once. */
    REQUIRE((n < 0) == (at_once < 0));
    REQUIRE(n < 0 || n == at_once);
    return n;
}

/* What llhttp must see: the fields that were let through, in order, among others (those of the
 * connection are taken out). */
struct opinion {
    const struct headers *headers;
    struct slice name;
    uint32_t seen;
    bool complete;
};

static const struct field *next_field(const struct opinion *o)
{
    for (uint32_t i = o->seen; i < o->headers->n; i++)
        if (o->headers->items[i].name.ptr != NULL)
            return &o->headers->items[i];
    return NULL;
}

static int on_name(llhttp_t *p, const char *at, size_t len)
{
    struct opinion *o = p->data;

    o->name = slice_of(at, len);
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    struct opinion *o = p->data;
    const struct field *f = next_field(o);

    if (f == NULL || f->name.ptr != o->name.ptr)
        return 0;
    REQUIRE(slice_eq(f->name, o->name));
    REQUIRE(slice_eq(f->value, slice_trim(slice_of(at, len))));
    o->seen = (uint32_t)(f - o->headers->items) + 1;
    return 0;
}

static int on_complete(llhttp_t *p)
{
    struct opinion *o = p->data;

    o->complete = true;
    p->upgrade = 0;
    return HPE_PAUSED;
}

/* A second parser, strict as well, reads the same fields. */
static void ask_llhttp(struct slice head, llhttp_type_t type, const struct message *m)
{
    static const llhttp_settings_t settings = {
        .on_header_field = on_name,
        .on_header_value = on_value,
        .on_headers_complete = on_complete,
    };
    struct opinion o = {.headers = &m->headers};
    llhttp_t p;

    llhttp_init(&p, type, &settings);
    p.data = &o;
    llhttp_execute(&p, head.ptr, head.len);
    if (llhttp_get_errno(&p) == HPE_INVALID_CONTENT_LENGTH && memchr(head.ptr, '\t', head.len))
        return; /* it knows no tabs behind a length, which RFC 9110, 5.6.3 allows */
    REQUIRE(o.complete);
    REQUIRE(next_field(&o) == NULL);
    REQUIRE(type == HTTP_REQUEST || p.status_code == m->status);
}

/* What was let through may be sent on as it is. */
static void check_message(const struct message *m)
{
    HEADERS_EACH(f, &m->headers)
    {
        REQUIRE(text_is_token(f->name));
        REQUIRE(text_is_field_value(f->value));
        REQUIRE(slice_eq(f->value, slice_trim(f->value)));
        REQUIRE(f->id == header_id(f->name));
        REQUIRE(!(header_flags(f->id) & HEADER_HOP));
    }
    REQUIRE(m->body != BODY_LENGTH || (m->has_length && m->content_length > 0));
}

/* Reads a chunked body in pieces; collects its content. */
static int read_pieces(struct slice in, size_t step, size_t credit, struct slice *text,
                       size_t *used)
{
    struct h1_body b;
    char *out = malloc(in.len + 1);
    size_t len = 0;
    int rc = 0;

    *used = 0;
    h1_body_begin(&b, H1_CHUNKED, 0);
    for (size_t at = 0; rc == 0 && at < in.len; at += step) {
        struct slice piece = slice_of(in.ptr + at, MIN(step, in.len - at));
        size_t before;
        do {
            struct slice spans[4];
            int n = 4;
            before = piece.len;
            rc = h1_body_read(&b, &piece, credit, spans, &n);
            for (int i = 0; i < n; i++) {
                memcpy(out + len, spans[i].ptr, spans[i].len);
                len += spans[i].len;
            }
            *used += before - piece.len;
        } while (rc == 0 && piece.len > 0 && piece.len < before);
        REQUIRE(rc != 0 || piece.len == 0);
    }
    h1_body_deinit(&b);
    *text = slice_of(out, len);
    return rc;
}

/* The same content and the same end, however the bytes and the credit are cut. */
static void check_body(struct slice in, size_t step)
{
    struct slice a, b;
    size_t used_a, used_b;
    int rc = read_pieces(in, in.len + 1, SIZE_MAX, &a, &used_a);

    REQUIRE(read_pieces(in, step, 1 + step / 2, &b, &used_b) == rc);
    REQUIRE(rc < 0 || slice_eq(a, b));
    REQUIRE(rc != H1_END || used_a == used_b);
    struct h1_body probe;
    h1_body_begin(&probe, H1_CHUNKED, 0);
    REQUIRE(h1_body_is_here(&probe, in) == (rc == H1_END));
    free((void *)(uintptr_t)a.ptr);
    free((void *)(uintptr_t)b.ptr);
}

#endif
