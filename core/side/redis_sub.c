/* SPDX-License-Identifier: Apache-2.0 */

/* Pushes are lists: subscribe, channel, count; message, channel, text; pmessage, pattern, channel, text; pong, "". */

#include "side/redis_sub.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "side/redis_conn.h"

#define QUEUE_MAX 1000
#define QUEUE_BYTES (4 * MIB)
#define PING_MS 15000

struct news {
    struct list link;
    struct redis_news news; /* texts: behind it */
};

struct redis_sub {
    /* owned */
    struct redis_conn *conn; /* NULL when it has ended */
    struct list queue;
    struct news *last; /* handed out */
    struct timer ping;
    /* borrowed */
    struct redis_env *env;
    void (*on_news)(void *arg);
    void *arg;
    /* state */
    uint32_t nunconfirmed, nqueued;
    size_t bytes;
    bool is_paused, has_heard;
    struct redis_fault why;
};

static const struct slice ping_words[] = {{"PING", 4}};
static const uint32_t one = 1;

static void copy(char **end, struct slice s, struct slice *out)
{
    if (s.ptr)
        *out = slice_of(*end, s.len);
    *end = slice_put(*end, s);
}

static void queue(struct redis_sub *s, const struct redis_news *news)
{
    size_t size = news->channel.len + news->text.len + news->pattern.len;
    struct news *n = malloc(sizeof(*n) + size);
    char *end = (char *)(n + 1);

    REQUIRE(n != NULL);
    n->news = (struct redis_news){.is_ready = news->is_ready};
    copy(&end, news->channel, &n->news.channel);
    copy(&end, news->text, &n->news.text);
    copy(&end, news->pattern, &n->news.pattern);
    bool was_empty = list_is_empty(&s->queue);
    list_append(&s->queue, &n->link);
    s->nqueued++;
    s->bytes += size;
    if (s->nqueued >= QUEUE_MAX || s->bytes >= QUEUE_BYTES) {
        s->is_paused = true;
        redis_conn_pause(s->conn, true);
    }
    if (was_empty)
        s->on_news(s->arg);
}

/* Ended by us. */
static void end(struct redis_sub *s, int err, struct slice why)
{
    s->why.err = err;
    *slice_put(s->why.text, slice_sub(why, 0, sizeof(s->why.text) - 1)) = '\0';
    redis_conn_close(s->conn, err);
    s->conn = NULL;
    timer_stop(&s->ping);
    s->on_news(s->arg);
}

static void on_gone(struct redis_conn *c, const struct redis_fault *why)
{
    struct redis_sub *s = c->owner;

    s->why = *why;
    s->conn = NULL;
    timer_stop(&s->ping);
    s->on_news(s->arg);
}

static void on_ready(struct redis_conn *c)
{
    struct redis_sub *s = c->owner;

    s->has_heard = true;
    timer_set(&s->ping, PING_MS);
}

static void on_ping(struct timer *t)
{
    struct redis_sub *s = container_of(t, struct redis_sub, ping);
    const struct redis_batch batch = {ping_words, &one, 1};

    timer_set(t, PING_MS);
    if (s->is_paused)
        return;
    if (!s->has_heard) {
        end(s, ERR_TIMEOUT, SLICE("the server does not answer any more"));
        return;
    }
    s->has_heard = false;
    int rc = redis_conn_push(s->conn, &batch);
    if (rc < 0)
        end(s, rc, SLICE("the server takes nothing"));
}

/* An item of the list that a push is; empty when it is no text. */
static struct slice item(const struct redis_reply *r, size_t i)
{
    const struct redis_value *v = &r->values.items[i + 1];

    return v->kind == REDIS_TEXT ? redis_text(r, v) : SLICE("");
}

static void on_push(struct redis_conn *c, const struct redis_reply *r)
{
    struct redis_sub *s = c->owner;
    const struct redis_value *first = &r->values.items[0];
    size_t n = r->values.n - 1;

    s->has_heard = true;
    if (first->kind == REDIS_ERROR) {
        end(s, ERR_DENIED, redis_text(r, first));
        return;
    }
    struct slice kind = first->kind == REDIS_LIST && n > 0 ? item(r, 0) : SLICE("");
    if (n == 3 && slice_eq(kind, SLICE("message")))
        queue(s, &(struct redis_news){.channel = item(r, 1), .text = item(r, 2)});
    else if (n == 4 && slice_eq(kind, SLICE("pmessage")))
        queue(s, &(struct redis_news){
                     .pattern = item(r, 1), .channel = item(r, 2), .text = item(r, 3)});
    else if (n == 3 && slice_ends(kind, SLICE("subscribe")) && s->nunconfirmed > 0 &&
             --s->nunconfirmed == 0)
        queue(s, &(struct redis_news){.is_ready = true});
}

static const struct redis_conn_events conn_events = {
    .on_ready = on_ready, .on_gone = on_gone, .on_push = on_push};

int redis_sub_open(struct redis_env *env, struct redis_server *server, const struct slice *channels,
                   uint32_t n, bool is_pattern, void (*on_news)(void *arg), void *arg,
                   struct redis_sub **out)
{
    struct redis_sub *s = calloc(1, sizeof(*s));
    struct slice *words = calloc(n + 1, sizeof(words[0]));
    uint32_t nwords = n + 1;

    REQUIRE(s != NULL && words != NULL);
    list_init(&s->queue);
    timer_init(&s->ping, env->loop, on_ping);
    s->env = env;
    s->on_news = on_news;
    s->arg = arg;
    s->nunconfirmed = n;
    s->conn = redis_conn_new(env, server, &conn_events, s);
    words[0] = is_pattern ? SLICE("PSUBSCRIBE") : SLICE("SUBSCRIBE");
    memcpy(words + 1, channels, n * sizeof(words[0]));
    int rc = redis_conn_push(s->conn, &(struct redis_batch){words, &nwords, 1});
    free(words);
    if (rc < 0)
        redis_sub_close(s);
    else
        *out = s;
    return rc;
}

static void forget_last(struct redis_sub *s)
{
    free(s->last);
    s->last = NULL;
}

int redis_sub_next(struct redis_sub *s, struct redis_news *out)
{
    struct list *link = list_pop(&s->queue);

    forget_last(s);
    if (!link)
        return s->conn ? ERR_AGAIN : s->why.err;
    s->last = container_of(link, struct news, link);
    *out = s->last->news;
    s->nqueued--;
    s->bytes -= out->channel.len + out->text.len + out->pattern.len;
    if (s->is_paused && s->nqueued == 0 && s->conn) {
        s->is_paused = false;
        s->has_heard = true;
        redis_conn_pause(s->conn, false);
    }
    return 0;
}

const char *redis_sub_why(const struct redis_sub *s)
{
    return s->why.text;
}

static void free_sub(void *s)
{
    free(s);
}

void redis_sub_close(struct redis_sub *s)
{
    struct list *link;

    if (s->conn)
        redis_conn_close(s->conn, ERR_CLOSED);
    while ((link = list_pop(&s->queue)))
        free(container_of(link, struct news, link));
    forget_last(s);
    timer_deinit(&s->ping);
    loop_free_later(s->env->loop, s, free_sub);
}
