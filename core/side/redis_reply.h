/* SPDX-License-Identifier: Apache-2.0 */

/* The protocol of Redis (RESP2), both ways, on bytes alone: replies from what has come, by hiredis's reader, and
 * commands as bytes.
 *
 * A reply is kept flat, without a pointer: its values in the order in which they came, a list before its items, the
 * bytes of all texts in one buffer. Several replies in a row (of a pipeline) are several values at the top. */

#ifndef DML_SIDE_REDIS_REPLY_H
#define DML_SIDE_REDIS_REPLY_H

#include "base/base.h"
#include "base/buf.h"
#include "base/slice.h"
#include "base/vec.h"

enum redis_kind { REDIS_TEXT, REDIS_STATUS, REDIS_ERROR, REDIS_INTEGER, REDIS_NIL, REDIS_LIST };

struct redis_value {
    enum redis_kind kind;
    uint32_t at;    /* texts: where in the bytes */
    int64_t number; /* an integer; a text's length; how many items a list has, which follow */
};

struct redis_reply {
    VEC(struct redis_value) values;
    struct buf bytes;
};

static inline struct slice redis_text(const struct redis_reply *r, const struct redis_value *v)
{
    return slice_sub(buf_slice(&r->bytes), v->at, (size_t)v->number);
}

/* An error's first word ("WRONGTYPE"), or "ERR" where it begins with none. */
struct slice redis_error_word(struct slice text);

/* --- reading ---------------------------------------------------------------------------------- */

struct redis_codec;

/* max: bytes that the replies between two calls of redis_codec_clear may take, and so the longest text. */
struct redis_codec *redis_codec_new(size_t max);
void redis_codec_free(struct redis_codec *c);

/* Bytes that have come; then redis_codec_next until it says 0. ERR_LIMIT: more than the reply may have. */
MUST_CHECK int redis_codec_feed(struct redis_codec *c, const char *bytes, size_t len);

/* 1: one more whole reply stands in redis_codec_reply. 0: it is not all there yet. ERR_PROTOCOL: that is not Redis.
 * ERR_LIMIT. After an error the codec is of no use any more. */
MUST_CHECK int redis_codec_next(struct redis_codec *c);

/* What has been read since the last clear; lives until the next one. */
const struct redis_reply *redis_codec_reply(const struct redis_codec *c);
void redis_codec_clear(struct redis_codec *c);

/* --- writing ---------------------------------------------------------------------------------- */

/* Bytes that a command of these words takes, and the command itself; out has that much room. */
size_t redis_command_size(const struct slice *words, size_t n);
char *redis_command_put(char *out, const struct slice *words, size_t n);

#endif
