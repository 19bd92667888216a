/* SPDX-License-Identifier: Apache-2.0 */

/* Replies of a Redis server from any bytes, whole and in pieces: the same comes out, within the limit, and it hangs
 * together: lists have their items, texts lie where they are said to. And URLs. */

#include <stdlib.h>

#include "base/err.h"
#include "side/redis_reply.h"
#include "side/redis_server.h"

#define REPLY_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

struct result {
    int n; /* whole replies, or a code */
    size_t values, bytes;
};

/* The index behind the value at i. */
static size_t walk(const struct redis_reply *r, size_t i)
{
    expect(i < r->values.n);
    const struct redis_value *v = &r->values.items[i++];

    if (v->kind <= REDIS_ERROR)
        expect(redis_text(r, v).len == (size_t)v->number);
    for (int64_t n = 0; v->kind == REDIS_LIST && n < v->number; n++)
        i = walk(r, i);
    return i;
}

static struct result read_in_steps(struct slice bytes, size_t step)
{
    struct redis_codec *c = redis_codec_new(REPLY_MAX);
    const struct redis_reply *r = redis_codec_reply(c);
    struct result out = {0};
    size_t walked = 0;
    int rc = 0;

    for (size_t at = 0; rc == 0 && at < bytes.len; at += step) {
        struct slice part = slice_sub(bytes, at, step);
        rc = redis_codec_feed(c, part.ptr, part.len);
        while (rc == 0 && (rc = redis_codec_next(c)) == 1) {
            walked = walk(r, walked);
            expect(walked == r->values.n);
            out.n++;
            rc = 0;
        }
    }
    expect(rc == 0 || rc == ERR_LIMIT || rc == ERR_PROTOCOL);
    expect(buf_len(&r->bytes) <= REPLY_MAX);
    out.values = walked;
    out.bytes = buf_len(&r->bytes);
    if (rc < 0)
        out.n = rc;
    redis_codec_free(c);
    return out;
}

static void read_url(struct slice text)
{
    struct redis_options options = REDIS_OPTIONS_USUAL;
    struct redis_url url;

    options.name = SLICE("n");
    if (redis_url_parse(text, &url) == NULL)
        redis_server_unref(redis_server_new(&url, &options, NULL, SLICE_NONE));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice text = slice_of((const char *)bytes, len);
    struct result whole = read_in_steps(text, len + 1), parts = read_in_steps(text, 1);

    /* In pieces an endless line is seen earlier, and what lies unread never comes to the limit. */
    if (whole.n >= 0 && parts.n >= 0)
        expect(whole.n == parts.n && whole.values == parts.values && whole.bytes == parts.bytes);
    (void)read_in_steps(text, 7);
    read_url(text);
    return 0;
}
