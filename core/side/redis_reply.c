/* SPDX-License-Identifier: Apache-2.0 */

/* hiredis calls back for each value, parents first; here they are only noted down. It puts no bound on a text, a list
 * or a line, so all of that is checked: a text before it is gathered (by what lies unread), a list when its head has
 * come, a line that does not end before it is looked at for too long.
 *
 * The reader's buffer moves between two replies, so texts are copied out of it. */

#include "side/redis_reply.h"

#include <hiredis/read.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"

#define LINE_MAX_ (64 * KIB) /* of a status, an error, a number */
#define KEPT (64 * KIB)      /* memory that an idle codec keeps */

struct redis_codec {
    redisReader *reader;
    struct redis_reply reply;
    size_t max;
    bool is_over; /* the limit was reached inside of a callback */
};

/* --- hiredis's callbacks ---------------------------------------------------------------------- */

/* hiredis wants a pointer for each value that it made, and takes NULL for a failure. */
static void *noted(struct redis_codec *c, struct redis_value v)
{
    size_t used = c->reply.values.n * sizeof(v) + buf_len(&c->reply.bytes);

    if (used > c->max) {
        c->is_over = true;
        return NULL;
    }
    vec_push(&c->reply.values, v);
    return c;
}

static void *on_string(const redisReadTask *task, char *text, size_t len)
{
    struct redis_codec *c = task->privdata;
    enum redis_kind kind = task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
                           : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
                                                              : REDIS_TEXT;
    uint32_t at = (uint32_t)buf_len(&c->reply.bytes);

    if (buf_add(&c->reply.bytes, slice_of(text, len)) < 0) {
        c->is_over = true;
        return NULL;
    }
    return noted(c, (struct redis_value){kind, at, (int64_t)len});
}

static void *on_array(const redisReadTask *task, int n)
{
    struct redis_codec *c = task->privdata;

    if (n < 0 || (size_t)n > c->max / sizeof(struct redis_value)) {
        c->is_over = true;
        return NULL;
    }
    return noted(c, (struct redis_value){REDIS_LIST, 0, n});
}

static void *on_integer(const redisReadTask *task, long long n)
{
    return noted(task->privdata, (struct redis_value){REDIS_INTEGER, 0, n});
}

static void *on_nil(const redisReadTask *task)
{
    return noted(task->privdata, (struct redis_value){REDIS_NIL, 0, 0});
}

static void on_free(void *value UNUSED)
{
}

static redisReplyObjectFunctions functions = {on_string, on_array, on_integer, on_nil, on_free};

/* --- reading ---------------------------------------------------------------------------------- */

struct redis_codec *redis_codec_new(size_t max)
{
    struct redis_codec *c = calloc(1, sizeof(*c));

    REQUIRE(c != NULL && max < UINT32_MAX);
    c->reader = redisReaderCreateWithFunctions(&functions);
    REQUIRE(c->reader != NULL);
    c->reader->privdata = c;
    c->max = max;
    buf_init(&c->reply.bytes, max);
    return c;
}

void redis_codec_free(struct redis_codec *c)
{
    redisReaderFree(c->reader);
    vec_free(&c->reply.values);
    buf_deinit(&c->reply.bytes);
    free(c);
}

static size_t unread(const struct redis_codec *c)
{
    return c->reader->len - c->reader->pos;
}

int redis_codec_feed(struct redis_codec *c, const char *bytes, size_t len)
{
    if (unread(c) + len > c->max + LINE_MAX_)
        return ERR_LIMIT;
    REQUIRE(redisReaderFeed(c->reader, bytes, len) == REDIS_OK);
    return 0;
}

/* A value has begun of which not all is there: only a text may be long. */
static bool is_endless(const struct redis_codec *c)
{
    const redisReader *r = c->reader;

    if (unread(c) < 32)
        return false;
    if (r->ridx >= 0 && r->rstack[r->ridx].type == REDIS_REPLY_STRING)
        return memchr(r->buf + r->pos, '\r', 32) == NULL;
    return unread(c) > LINE_MAX_;
}

int redis_codec_next(struct redis_codec *c)
{
    void *reply = NULL;

    if (redisReaderGetReply(c->reader, &reply) != REDIS_OK)
        return c->is_over ? ERR_LIMIT : ERR_PROTOCOL;
    if (reply != NULL)
        return 1;
    return is_endless(c) ? ERR_PROTOCOL : 0;
}

const struct redis_reply *redis_codec_reply(const struct redis_codec *c)
{
    return &c->reply;
}

void redis_codec_clear(struct redis_codec *c)
{
    if (c->reply.bytes.size > KEPT)
        buf_release(&c->reply.bytes);
    else
        buf_clear(&c->reply.bytes);
    if (c->reply.values.cap * sizeof(struct redis_value) > KEPT)
        vec_free(&c->reply.values);
    c->reply.values.n = 0;
}

struct slice redis_error_word(struct slice text)
{
    size_t n = 0;

    while (n < text.len && ((text.ptr[n] >= 'A' && text.ptr[n] <= 'Z') || text.ptr[n] == '_'))
        n++;
    return n > 0 && (n == text.len || text.ptr[n] == ' ') ? slice_sub(text, 0, n) : SLICE("ERR");
}

/* --- writing ---------------------------------------------------------------------------------- */

static size_t digits(size_t n)
{
    size_t d = 1;

    while (n >= 10) {
        n /= 10;
        d++;
    }
    return d;
}

size_t redis_command_size(const struct slice *words, size_t n)
{
    size_t size = 1 + digits(n) + 2;

    for (size_t i = 0; i < n; i++)
        size += 1 + digits(words[i].len) + 2 + words[i].len + 2;
    return size;
}

static char *put_head(char *out, char mark, size_t n)
{
    *out++ = mark;
    out += text_from_u64(n, out);
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

char *redis_command_put(char *out, const struct slice *words, size_t n)
{
    out = put_head(out, '*', n);
    for (size_t i = 0; i < n; i++) {
        out = put_head(out, '$', words[i].len);
        out = slice_put(out, words[i]);
        *out++ = '\r';
        *out++ = '\n';
    }
    return out;
}
