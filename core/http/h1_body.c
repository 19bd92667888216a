/* SPDX-License-Identifier: Apache-2.0 */

/* The machine of chunked bodies. Of chunk extensions only the shape is checked; they are
 * dropped, as RFC 9112, 7.1.1 wants of who does not know them. Their length is bounded, so that
 * a body is not mostly extensions. */

#include "http/h1_body.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "http/h1.h"

enum {
    CHUNK_LINE_MAX = 256,
    TRAILERS_MAX = 16 * KIB,
    TRAILER_FIELDS_MAX = 64,
};

enum state {
    SIZE_BEGIN, /* at least one digit */
    SIZE,
    SIZE_BLANK, /* blanks behind the size: only a ';' may follow */
    EXT,
    EXT_QUOTED,
    EXT_ESCAPED,
    SIZE_LF,
    CONTENT,
    CONTENT_CR,
    CONTENT_LF,
    TRAILER_BEGIN, /* of a line */
    TRAILER,
    TRAILER_LF,
    LAST_LF,
    DONE,
    BAD,
};

void h1_body_begin(struct h1_body *b, enum h1_framing framing, uint64_t length)
{
    *b = (struct h1_body){.left = length, .framing = (uint8_t)framing};
}

void h1_body_deinit(struct h1_body *b)
{
    if (b->trailers == NULL)
        return;
    buf_deinit(b->trailers);
    free(b->trailers);
    b->trailers = NULL;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* What may stand in an extension outside of quotes: names, values, and what is between them. */
static bool is_ext(char c)
{
    return c == ';' || c == '=' || is_blank(c) || text_is_token(slice_of(&c, 1));
}

static bool is_quoted(char c)
{
    return c == '\t' || ((uint8_t)c >= ' ' && c != 0x7f);
}

static enum state on_size(struct h1_body *b, char c)
{
    int digit = hex_value(c);

    if (digit >= 0) {
        if (b->left >> 56)
            return BAD;
        b->left = b->left * 16 + (uint64_t)digit;
        return SIZE;
    }
    if (b->state == SIZE_BEGIN)
        return BAD;
    if (c == '\r')
        return SIZE_LF;
    if (c == ';')
        return EXT;
    return is_blank(c) ? SIZE_BLANK : BAD;
}

/* The line before a chunk. */
static enum state on_chunk_line(struct h1_body *b, char c)
{
    if (++b->line > CHUNK_LINE_MAX)
        return BAD;
    switch ((enum state)b->state) {
    case SIZE_BEGIN:
    case SIZE: return on_size(b, c);
    case SIZE_BLANK: return c == ';' ? EXT : is_blank(c) ? SIZE_BLANK : BAD;
    case EXT: return c == '\r' ? SIZE_LF : c == '"' ? EXT_QUOTED : is_ext(c) ? EXT : BAD;
    case EXT_QUOTED:
        return c == '"' ? EXT : c == '\\' ? EXT_ESCAPED : is_quoted(c) ? EXT_QUOTED : BAD;
    case EXT_ESCAPED: return is_quoted(c) ? EXT_QUOTED : BAD;
    case SIZE_LF: return c != '\n' ? BAD : b->left > 0 ? CONTENT : TRAILER_BEGIN;
    default: return BAD;
    }
}

static bool keep_trailer(struct h1_body *b, char c)
{
    if (b->trailers == NULL) {
        b->trailers = malloc(sizeof(*b->trailers));
        REQUIRE(b->trailers != NULL);
        buf_init(b->trailers, TRAILERS_MAX);
    }
    return buf_add(b->trailers, slice_of(&c, 1)) == 0;
}

/* Behind the last chunk. */
static enum state on_trailer(struct h1_body *b, char c)
{
    switch ((enum state)b->state) {
    case TRAILER_BEGIN:
        if (c == '\r')
            return LAST_LF;
        /* fall through */
    case TRAILER:
        if (c == '\n' || !keep_trailer(b, c))
            return BAD;
        return c == '\r' ? TRAILER_LF : TRAILER;
    case TRAILER_LF: return c == '\n' && keep_trailer(b, c) ? TRAILER_BEGIN : BAD;
    case LAST_LF: return c == '\n' ? DONE : BAD;
    default: return BAD;
    }
}

static enum state on_framing(struct h1_body *b, char c)
{
    if (b->state < CONTENT)
        return on_chunk_line(b, c);
    if (b->state >= TRAILER_BEGIN)
        return on_trailer(b, c);
    if (b->state == CONTENT_CR)
        return c == '\r' ? CONTENT_LF : BAD;
    if (c != '\n')
        return BAD;
    b->line = 0;
    b->left = 0;
    return SIZE_BEGIN;
}

/* Cuts a span off *in. */
static size_t take(struct slice *in, size_t limit, struct slice *span)
{
    size_t len = MIN(in->len, limit);

    *span = slice_of(in->ptr, len);
    *in = slice_of(in->ptr + len, in->len - len);
    return len;
}

static int read_chunked(struct h1_body *b, struct slice *in, size_t credit, struct slice *spans,
                        int *n)
{
    int max = *n;

    *n = 0;
    while (in->len > 0 && b->state != DONE) {
        if (b->state == CONTENT) {
            if (credit == 0 || *n == max)
                return 0;
            size_t len = take(in, MIN(b->left, credit), &spans[(*n)++]);
            credit -= len;
            b->left -= len;
            if (b->left == 0)
                b->state = CONTENT_CR;
            continue;
        }
        b->state = (uint8_t)on_framing(b, in->ptr[0]);
        if (b->state == BAD)
            return ERR_BAD_REQUEST;
        *in = slice_of(in->ptr + 1, in->len - 1);
    }
    return b->state == DONE ? H1_END : 0;
}

int h1_body_read(struct h1_body *b, struct slice *in, size_t credit, struct slice *spans, int *n)
{
    if (b->framing == H1_CHUNKED)
        return read_chunked(b, in, credit, spans, n);

    uint64_t limit = b->framing == H1_LENGTH ? MIN(b->left, credit) : credit;
    size_t len = take(in, limit, &spans[0]);

    *n = len > 0;
    if (b->framing == H1_STREAM)
        return 0;
    b->left -= len;
    return b->left == 0 ? H1_END : 0;
}

bool h1_body_is_here(const struct h1_body *b, struct slice rest)
{
    struct h1_body probe = *b;
    struct slice spans[16];
    int n = COUNT_OF(spans), rc;

    if (b->framing != H1_CHUNKED)
        return b->framing == H1_LENGTH && b->left <= rest.len;
    if (b->trailers != NULL)
        return false; /* the probe must not touch them */
    while ((rc = h1_body_read(&probe, &rest, SIZE_MAX, spans, &n)) == 0 && n == COUNT_OF(spans))
        ;
    h1_body_deinit(&probe);
    return rc == H1_END;
}

static int add_trailer(struct headers *h, struct slice line)
{
    struct field f;

    if (!h1_cut_field(line, &f))
        return ERR_BAD_REQUEST;
    if (header_flags(f.id) & (HEADER_HOP | HEADER_FRAMING | HEADER_NO_TRAILER))
        return 0;
    if (h->n == TRAILER_FIELDS_MAX)
        return ERR_BAD_REQUEST;
    headers_add_as(h, f.id, f.name, f.value);
    return 0;
}

int h1_body_trailers(struct h1_body *b, struct arena *a, const struct headers **out)
{
    *out = NULL;
    if (b->trailers == NULL)
        return 0;
    struct slice rest = arena_dup(a, buf_slice(b->trailers));
    struct headers *h = arena_alloc(a, sizeof(*h));

    h1_body_deinit(b);
    headers_init(h, a, 8);
    while (rest.len > 0) {
        /* Every line ends with CRLF: the machine saw to it. */
        ssize_t end = slice_find_char(rest, '\n');
        int rc = add_trailer(h, slice_sub(rest, 0, (size_t)end - 1));
        if (rc < 0)
            return rc;
        rest = slice_from_index(rest, (size_t)end + 1);
    }
    if (h->n > 0)
        *out = h;
    return 0;
}
