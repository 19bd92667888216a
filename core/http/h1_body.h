/* SPDX-License-Identifier: Apache-2.0 */

/* Where a body ends (RFC 9112, 6 and 7). A byte-exact machine that keeps its state between
 * calls, so that any cut of the input gives the same. It is as strict as a machine can be: what
 * one recipient reads as the end of a chunk and another does not is how requests are smuggled. */

#ifndef DML_HTTP_H1_BODY_H
#define DML_HTTP_H1_BODY_H

#include "base/base.h"
#include "base/buf.h"
#include "base/slice.h"
#include "http/headers.h"
#include "http/message.h"

struct h1_body {
    /* owned */
    struct buf *trailers; /* lines behind the last chunk; NULL while there are none */
    /* state */
    uint64_t left; /* bytes of the length, or of the chunk */
    uint16_t line; /* bytes of a chunk's first line so far */
    uint8_t state;
    uint8_t framing; /* enum h1_framing */
};

enum h1_framing {
    H1_LENGTH, /* left bytes */
    H1_CHUNKED,
    H1_STREAM, /* to the end of the connection; never ends by itself */
};

enum { H1_END = 1 };

void h1_body_begin(struct h1_body *b, enum h1_framing framing, uint64_t length);
void h1_body_deinit(struct h1_body *b);

/* Moves *in behind what it has taken. Body bytes become spans: at most `credit` of them, in at
 * most *n spans; *n is set to how many. 0, H1_END when the body is complete (framing behind the
 * last byte included, which needs no credit), or ERR_BAD_REQUEST. To be called again when all *n
 * spans were used. */
MUST_CHECK int h1_body_read(struct h1_body *b, struct slice *in, size_t credit, struct slice *spans,
                            int *n);

/* True when `rest` holds all that is missing of the body. */
bool h1_body_is_here(const struct h1_body *b, struct slice rest);

/* After H1_END: the trailer fields that may be one, in the arena; *out is NULL when there are none.
 * ERR_BAD_REQUEST when a line is not a field. */
MUST_CHECK int h1_body_trailers(struct h1_body *b, struct arena *a, const struct headers **out);

#endif
