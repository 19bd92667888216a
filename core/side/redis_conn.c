/* SPDX-License-Identifier: Apache-2.0 */

/* Requests stand in a list in the order of their commands. The greeting is one of them: it is written past `out`, which
 * waits for its end. */

#include "side/redis_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "net/dial.h"
#include "net/stream.h"
#include "side/redis_server.h"

#define OUT_MAX (32 * MIB)   /* commands that have not left, or that the server does not take */
#define OUT_KEPT (64 * KIB)  /* memory that is kept for the next ones */
#define READ_SIZE (64 * KIB) /* at once */
#define READS 16             /* in one turn */
#define SPARE_MAX 1024

/* --- requests --------------------------------------------------------------------------------- */

static struct redis_request *new_request(struct redis_conn *c)
{
    struct list *link = list_pop(&c->env->spare);
    struct redis_request *r = link ? container_of(link, struct redis_request, link) : NULL;

    if (r)
        c->env->nspare--;
    else
        r = malloc(sizeof(*r));
    REQUIRE(r != NULL);
    *r = (struct redis_request){.conn = c, .from_us = clock_us()};
    list_append(&c->requests, &r->link);
    c->nrequests++;
    return r;
}

static void free_request(struct redis_env *env, struct redis_request *r)
{
    if (env->nspare >= SPARE_MAX) {
        free(r);
        return;
    }
    list_push(&env->spare, &r->link);
    env->nspare++;
}

static struct redis_request *first_request(const struct redis_conn *c)
{
    struct list *link = list_first(&c->requests);

    return link ? container_of(link, struct redis_request, link) : NULL;
}

/* Takes it out and tells its sender. */
static void end_request(struct redis_conn *c, struct redis_request *r, int err, const char *why,
                        const struct redis_reply *reply)
{
    list_remove(&r->link);
    c->nrequests--;
    if (c->events->on_end && r->fn && r->size) /* not the greeting */
        c->events->on_end(c, r, err, reply);
    redis_reply_fn fn = r->fn;
    void *arg = r->arg;
    free_request(c->env, r);
    if (fn)
        fn(arg, err, why, reply);
}

void redis_request_give_up(struct redis_request *r)
{
    r->fn = NULL;
    if (r->conn->state != REDIS_READY)
        r->conn->has_given_up = true;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void free_conn(void *ptr)
{
    free(ptr);
}

static void shut(struct redis_conn *c)
{
    c->is_gone = true;
    if (c->dial)
        dial_cancel(c->dial);
    if (c->stream)
        stream_close(c->stream);
    c->dial = NULL;
    c->stream = NULL;
    timer_deinit(&c->patience);
    later_cancel(&c->flush);
    list_remove(&c->link);
}

/* The codec may be at work further up the stack; the conn too. */
static void release(struct redis_conn *c)
{
    redis_server_unref(c->server);
    buf_deinit(&c->out);
    redis_codec_free(c->codec);
    loop_free_later(c->env->loop, c, free_conn);
}

static void end_requests(struct redis_conn *c, int err, const char *why)
{
    struct redis_request *r;

    while ((r = first_request(c)))
        end_request(c, r, err, why, NULL);
}

void redis_conn_close(struct redis_conn *c, int err)
{
    shut(c);
    end_requests(c, err, "");
    release(c);
}

static void lose(struct redis_conn *c, int err, struct slice text)
{
    struct redis_fault fault = {.err = err};

    snprintf(fault.text, sizeof(fault.text), "%.*s", (int)MIN(text.len, sizeof(fault.text) - 1),
             text.ptr ? text.ptr : "");
    shut(c);
    c->events->on_gone(c, &fault);
    end_requests(c, err, fault.text);
    release(c);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* The oldest request has so long to be answered. */
static void be_patient(struct redis_conn *c)
{
    const struct redis_request *r = first_request(c);

    if (r)
        timer_set(&c->patience, MAX(r->timeout_ms, c->server->options.timeout_ms));
    else
        timer_stop(&c->patience);
}

static void on_patience(struct timer *t)
{
    lose(container_of(t, struct redis_conn, patience), ERR_TIMEOUT,
         SLICE("the server did not answer in time"));
}

static int write_out(struct redis_conn *c, struct slice bytes)
{
    struct iovec iov = {(char *)(uintptr_t)bytes.ptr, bytes.len};
    int rc = bytes.len ? stream_write(c->stream, &iov, 1) : 0;

    return rc < 0 ? rc : 0;
}

static void on_flush(struct later *d)
{
    struct redis_conn *c = container_of(d, struct redis_conn, flush);
    int rc = write_out(c, buf_slice(&c->out));

    if (c->out.size > OUT_KEPT)
        buf_release(&c->out);
    else
        buf_clear(&c->out);
    if (rc < 0)
        lose(c, rc, SLICE("the connection broke off"));
}

static size_t batch_size(const struct redis_batch *b)
{
    size_t size = 0, at = 0;

    for (uint32_t i = 0; i < b->ncommands; at += b->nwords[i++])
        size += redis_command_size(b->words + at, b->nwords[i]);
    return size;
}

/* The bytes added to out. */
static ssize_t put_batch(struct redis_conn *c, const struct redis_batch *b)
{
    size_t size = batch_size(b), at = 0;
    char *out;

    if (size > OUT_MAX)
        return ERR_LIMIT;
    if (c->stream && stream_queued(c->stream) + buf_len(&c->out) + size > OUT_MAX)
        return ERR_FULL;
    int rc = buf_reserve(&c->out, size, &out);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < b->ncommands; at += b->nwords[i++])
        out = redis_command_put(out, b->words + at, b->nwords[i]);
    buf_commit(&c->out, size);
    if (c->state == REDIS_READY)
        loop_later(c->env->loop, &c->flush);
    return (ssize_t)size;
}

int redis_conn_send(struct redis_conn *c, const struct redis_batch *batch, uint32_t timeout_ms,
                    redis_reply_fn fn, void *arg, struct redis_request **out)
{
    ssize_t size = put_batch(c, batch);

    if (size < 0)
        return (int)size;
    struct redis_request *r = new_request(c);
    r->fn = fn;
    r->arg = arg;
    r->wanted = batch->ncommands;
    r->timeout_ms = timeout_ms;
    r->size = (size_t)size;
    if (c->state == REDIS_READY && c->nrequests == 1)
        be_patient(c);
    *out = r;
    return 0;
}

int redis_conn_push(struct redis_conn *c, const struct redis_batch *batch)
{
    ssize_t size = put_batch(c, batch);

    return size < 0 ? (int)size : 0;
}

/* --- replies ---------------------------------------------------------------------------------- */

/* The latest reply, when it is an error, else NULL. */
static const struct redis_value *error_of(const struct redis_reply *reply)
{
    const struct redis_value *v = &reply->values.items[reply->values.n - 1];

    return v->kind == REDIS_ERROR ? v : NULL;
}

/* One that nobody waits for. "-ERR max number of clients reached" is said to who connects. */
static void take_stray(struct redis_conn *c, const struct redis_reply *reply)
{
    const struct redis_value *refused = error_of(reply);

    if (c->events->on_push)
        c->events->on_push(c, reply);
    else if (refused)
        lose(c, ERR_DENIED, redis_text(reply, refused));
    else
        lose(c, ERR_PROTOCOL, SLICE("a reply that nobody asked for"));
}

/* False: the connection is gone. */
static bool take_reply(struct redis_conn *c)
{
    struct redis_request *r = first_request(c);
    const struct redis_reply *reply = redis_codec_reply(c->codec);

    if (c->state == REDIS_GREETS && error_of(reply)) {
        lose(c, ERR_DENIED, redis_text(reply, error_of(reply)));
        return false;
    }
    if (r && --r->wanted > 0)
        return true;
    if (r)
        end_request(c, r, 0, "", reply);
    else
        take_stray(c, reply);
    if (c->is_gone)
        return false;
    redis_codec_clear(c->codec);
    return true;
}

/* 0, or why the connection is to be given up; c->is_gone: it has been. */
static int take_replies(struct redis_conn *c, const char *bytes, size_t len)
{
    int rc = redis_codec_feed(c->codec, bytes, len);

    while (rc == 0) {
        rc = redis_codec_next(c->codec);
        if (rc <= 0)
            break;
        if (!take_reply(c))
            return 0;
        rc = 0;
    }
    return rc;
}

static void on_readable(struct stream *s)
{
    struct redis_conn *c = s->owner;
    char bytes[READ_SIZE];
    ssize_t n = sizeof(bytes);

    for (int i = 0; i < READS && n == (ssize_t)sizeof(bytes); i++) {
        n = stream_recv(s, bytes, sizeof(bytes));
        if (n == ERR_AGAIN)
            break;
        if (n < 0) {
            lose(c, n == ERR_CLOSED ? ERR_RESET : (int)n,
                 SLICE("the server closed the connection"));
            return;
        }
        int rc = take_replies(c, bytes, (size_t)n);
        if (c->is_gone)
            return;
        if (rc < 0) {
            lose(c, rc,
                 rc == ERR_LIMIT ? SLICE("a reply is longer than max_reply")
                                 : SLICE("what came is no reply of a Redis server"));
            return;
        }
    }
    if (c->state == REDIS_READY)
        be_patient(c);
}

static void on_lost(struct stream *s, int err)
{
    lose(s->owner, err, SLICE("the connection broke off"));
}

static void on_room(struct stream *s UNUSED)
{
}

static const struct stream_events stream_events = {
    .on_readable = on_readable, .on_room = on_room, .on_lost = on_lost};

/* --- beginning -------------------------------------------------------------------------------- */

/* Commands whose senders have given up meanwhile do not leave. */
static void strike_out(struct redis_conn *c)
{
    struct buf kept;
    size_t at = 0;

    buf_init(&kept, OUT_MAX);
    LIST_EACH (link, &c->requests) {
        struct redis_request *r = container_of(link, struct redis_request, link);
        struct slice bytes = slice_sub(buf_slice(&c->out), at, r->size);
        at += r->size;
        if (r->fn) {
            REQUIRE(buf_add(&kept, bytes) == 0);
        } else {
            list_remove(&r->link);
            c->nrequests--;
            free_request(c->env, r);
        }
    }
    buf_deinit(&c->out);
    c->out = kept;
}

static void on_greeted(void *arg, int err, const char *why UNUSED,
                       const struct redis_reply *reply UNUSED)
{
    struct redis_conn *c = arg;

    if (err != 0)
        return; /* it is being lost */
    if (c->has_given_up)
        strike_out(c);
    c->state = REDIS_READY;
    be_patient(c);
    if (buf_len(&c->out))
        loop_later(c->env->loop, &c->flush);
    c->events->on_ready(c);
}

static int greet(struct redis_conn *c)
{
    const struct redis_server *s = c->server;
    struct slice words[6];
    uint32_t nwords[3], n = 0, at = 0;
    char number[20], bytes[4096];

    if (s->password.ptr) {
        words[at++] = SLICE("AUTH");
        if (s->user.ptr)
            words[at++] = s->user;
        words[at++] = s->password;
        nwords[n++] = at;
    }
    if (s->database) {
        words[at++] = SLICE("SELECT");
        words[at++] = slice_of(number, text_from_u64(s->database, number));
        nwords[n++] = 2;
    }
    words[at++] = SLICE("PING");
    nwords[n++] = 1;

    struct redis_batch batch = {words, nwords, n};
    if (batch_size(&batch) > sizeof(bytes))
        return ERR_LIMIT;
    char *end = bytes;
    at = 0;
    for (uint32_t i = 0; i < n; at += nwords[i++])
        end = redis_command_put(end, words + at, nwords[i]);
    struct redis_request *r = new_request(c);
    list_remove(&r->link);
    list_push(&c->requests, &r->link); /* before those that wait already */
    r->fn = on_greeted;
    r->arg = c;
    r->wanted = n;
    int rc = write_out(c, slice_of(bytes, (size_t)(end - bytes)));
    explicit_bzero(bytes, sizeof(bytes));
    return rc;
}

static const char *why_not(int err, const char *why)
{
    return why                      ? why
           : err == ERR_DNS         ? "its name does not resolve"
           : err == ERR_REFUSED     ? "nobody listens there"
           : err == ERR_TIMEOUT     ? "no connection in time"
           : err == ERR_UNREACHABLE ? "it can't be reached"
           : err == ERR_DENIED      ? "outbound.deny forbids to go there"
                                    : err_word(err);
}

static void on_dialled(void *arg, struct stream *s, int err, const char *why)
{
    struct redis_conn *c = arg;

    c->dial = NULL;
    if (!s) {
        lose(c, err, slice_from(why_not(err, why)));
        return;
    }
    c->stream = s;
    c->state = REDIS_GREETS;
    s->owner = c;
    s->events = &stream_events;
    stream_resume(s);
    err = greet(c);
    if (err < 0)
        lose(c, err, SLICE("it could not be greeted"));
}

struct redis_conn *redis_conn_new(struct redis_env *env, struct redis_server *server,
                                  const struct redis_conn_events *events, void *owner)
{
    struct redis_conn *c = calloc(1, sizeof(*c));

    REQUIRE(c != NULL);
    list_init(&c->link);
    c->owner = owner;
    c->events = events;
    c->server = redis_server_ref(server);
    c->codec = redis_codec_new(server->options.max_reply);
    buf_init(&c->out, OUT_MAX);
    list_init(&c->requests);
    timer_init(&c->patience, env->loop, on_patience);
    later_init(&c->flush, on_flush);
    c->env = env;
    struct dial_to to = {
        .host = server->host,
        .port = server->port,
        .tls = server->tls,
        .session = server->session,
        .server_name = server->server_name,
        .timeout_ms = server->options.connect_timeout_ms,
        .is_denied = server->options.is_guarded ? env->is_denied : NULL,
        .denied_arg = env->denied_arg,
    };
    c->dial = dial_start(env->loop, env->dns, &to, on_dialled, c);
    timer_set(&c->patience, server->options.connect_timeout_ms);
    return c;
}

void redis_conn_pause(struct redis_conn *c, bool paused)
{
    if (paused)
        stream_pause(c->stream);
    else
        stream_resume(c->stream);
}
