/* SPDX-License-Identifier: Apache-2.0 */

/* What plain and TLS streams have in common: the write queue with its water marks, the order of
 * endings, and when which readiness is watched for. The kinds themselves only move bytes. In the
 * steady state nothing here costs a system call beside the one that moves the bytes: reading stays
 * watched for, and writability is asked for only after the kernel has refused. */

#include "net/stream.h"

#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/err.h"
#include "net/loop.h"

#define LINGER_MS 2000
#define LINGER_BYTES (1 * MIB)
#define STALLED_MS 10000 /* a gentle close gives up when the peer takes nothing for so long */

static const struct stream_events farewell_events;
static void farewell_on_shut(struct stream *s);

void stream_init(struct stream *s, const struct stream_ops *ops, struct loop *l, int fd,
                 const struct stream_events *events, void *owner)
{
    *s = (struct stream){.ops = ops, .events = events, .owner = owner, .loop = l, .fd = fd};
    buf_init(&s->out, STREAM_HARD_CAP);
}

static void watch(struct stream *s, bool reading, bool writing)
{
    if (s->reading == reading && s->writing == writing)
        return;
    s->reading = reading;
    s->writing = writing;
    s->ops->watch(s);
}

ssize_t stream_recv(struct stream *s, void *mem, size_t len)
{
    ssize_t n;

    if (!CHECK(!s->closed && len > 0))
        return ERR_ARG;
    n = s->ops->recv(s, mem, len);
    if (n > 0)
        s->bytes_in += (uint64_t)n;
    else if (n != ERR_AGAIN)
        watch(s, false, s->writing); /* else its readiness would wake us forever */
    return n;
}

static size_t total(const struct iovec *iov, int n)
{
    size_t len = 0;

    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    return len;
}

/* Nothing of this stream can be sent any more. */
static int break_off(struct stream *s, int err)
{
    s->broken = true;
    s->full = false;
    buf_release(&s->out);
    watch(s, s->reading, false);
    return err;
}

/* Queues what follows the first `sent` bytes. */
static int enqueue(struct stream *s, const struct iovec *iov, int n, size_t sent)
{
    char *room;

    if (buf_reserve(&s->out, total(iov, n) - sent, &room) != 0)
        return break_off(s, ERR_FULL);
    for (int i = 0; i < n; i++) {
        size_t skip = MIN(sent, iov[i].iov_len), rest = iov[i].iov_len - skip;
        sent -= skip;
        if (rest == 0)
            continue;
        memcpy(room, (char *)iov[i].iov_base + skip, rest);
        room += rest;
        buf_commit(&s->out, rest);
    }
    watch(s, s->reading, true);
    if (buf_len(&s->out) <= STREAM_HIGH_WATER)
        return 0;
    s->full = true;
    return STREAM_FULL;
}

int stream_write(struct stream *s, const struct iovec *iov, int n)
{
    size_t len = total(iov, n);
    ssize_t sent = 0;

    if (!CHECK(!s->closed && !s->shut))
        return ERR_ARG;
    if (s->broken)
        return ERR_RESET;
    if (len == 0)
        return s->full ? STREAM_FULL : 0;
    if (buf_len(&s->out) == 0) {
        sent = s->ops->send(s, iov, n);
        if (sent < 0 && sent != ERR_AGAIN)
            return break_off(s, (int)sent);
        sent = MAX(sent, 0);
        s->bytes_out += (uint64_t)sent;
        if ((size_t)sent == len)
            return 0;
    }
    return enqueue(s, iov, n, (size_t)sent);
}

size_t stream_queued(const struct stream *s)
{
    return buf_len(&s->out);
}

uint64_t stream_progress(const struct stream *s)
{
    int unacknowledged = 0;

    /* The kernel's buffer is megabytes large and asks for more only when much of it is free
     * again. */
    ioctl(s->fd, SIOCOUTQ, &unacknowledged);
    return s->ops->sent(s) - (uint64_t)unacknowledged;
}

/* With an empty queue. */
static int finish_shutdown(struct stream *s)
{
    int rc = s->ops->shutdown(s);

    if (rc == ERR_AGAIN) {
        watch(s, s->reading, true);
        return 0;
    }
    s->shut_done = true;
    watch(s, s->reading, false);
    return rc;
}

void stream_shutdown(struct stream *s)
{
    if (!CHECK(!s->closed) || s->shut || s->broken)
        return;
    s->shut = true;
    if (buf_len(&s->out) == 0 && finish_shutdown(s) != 0)
        break_off(s, ERR_RESET); /* reading tells the owner what is the matter */
}

void stream_pause(struct stream *s)
{
    if (CHECK(!s->closed))
        watch(s, false, s->writing);
}

void stream_resume(struct stream *s)
{
    if (CHECK(!s->closed))
        watch(s, true, s->writing);
}

/* Sends from the queue once. */
static int flush(struct stream *s)
{
    struct slice out = buf_slice(&s->out);
    struct iovec iov = {(char *)out.ptr, out.len};
    ssize_t sent;

    if (out.len > 0) {
        sent = s->ops->send(s, &iov, 1);
        if (sent < 0)
            return sent == ERR_AGAIN ? 0 : (int)sent;
        s->bytes_out += (uint64_t)sent;
        buf_consume(&s->out, (size_t)sent);
        if (buf_len(&s->out) > 0)
            return 0;
        buf_release(&s->out);
    }
    if (s->shut && !s->shut_done)
        return finish_shutdown(s);
    watch(s, s->reading, false);
    return 0;
}

static void on_writable(struct stream *s)
{
    int rc = flush(s);

    if (rc != 0) {
        break_off(s, rc);
        s->events->on_lost(s, rc);
    } else if (s->shut_done && s->events == &farewell_events) {
        farewell_on_shut(s);
    } else if (s->full && buf_len(&s->out) < STREAM_LOW_WATER) {
        s->full = false;
        s->events->on_room(s);
    }
}

/* Reading comes first: what an upstream said before it broke off is worth more than its refusal to
 * listen. */
void stream_on_ready(struct stream *s, bool readable, bool writable)
{
    if (readable && s->reading)
        s->events->on_readable(s);
    if (writable && s->writing) /* not when closed meanwhile */
        on_writable(s);
}

static void free_stream(void *ptr)
{
    struct stream *s = ptr;

    s->ops->free(s);
}

void stream_close(struct stream *s)
{
    if (!CHECK(!s->closed))
        return;
    if (s->ops->bye && !s->shut && !s->broken && buf_len(&s->out) == 0)
        s->ops->bye(s);
    buf_release(&s->out);
    if (!s->loop) { /* between detach and attach: no callback can be running */
        free_stream(s);
        return;
    }
    watch(s, false, false);
    s->closed = true;
    loop_free_later(s->loop, s, free_stream);
}

void stream_close_hard(struct stream *s)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    s->broken = true;
    stream_close(s);
}

/* A stream that its owner has left. First what is queued is sent, as long as the peer takes some
 * of it; then what the peer still sends is dropped until it ends too. */
struct farewell {
    struct timer timer;
    struct later at_end; /* of the loop */
    struct stream *stream;
    uint64_t progress; /* when the timer was set */
    size_t dropped;
};

static void free_farewell(void *ptr)
{
    struct farewell *f = ptr;

    timer_deinit(&f->timer);
    free(f);
}

static void farewell_end(struct farewell *f)
{
    timer_stop(&f->timer);
    later_cancel(&f->at_end);
    loop_free_later(f->stream->loop, f, free_farewell);
    stream_close(f->stream);
}

static void farewell_on_timer(struct timer *t)
{
    struct farewell *f = container_of(t, struct farewell, timer);

    uint64_t progress = stream_progress(f->stream);

    if (f->stream->shut_done || progress == f->progress) {
        farewell_end(f);
        return;
    }
    f->progress = progress;
    timer_set(t, STALLED_MS);
}

static void farewell_at_end(struct later *d)
{
    farewell_end(container_of(d, struct farewell, at_end));
}

static void farewell_on_shut(struct stream *s)
{
    struct farewell *f = s->owner;

    timer_set(&f->timer, LINGER_MS);
    stream_resume(s); /* the peer's end may have been seen before ours */
}

static void farewell_on_readable(struct stream *s)
{
    struct farewell *f = s->owner;
    char scrap[16 * KIB];
    ssize_t n = stream_recv(s, scrap, sizeof(scrap));

    if (n > 0)
        f->dropped += (size_t)n;
    if (n == ERR_AGAIN || (n > 0 && f->dropped <= LINGER_BYTES))
        return;
    if (s->shut_done || n == ERR_RESET)
        farewell_end(f);
    else
        stream_pause(s); /* it has said enough, but not heard all */
}

static void farewell_on_room(struct stream *s UNUSED)
{
}

static void farewell_on_lost(struct stream *s, int err UNUSED)
{
    farewell_end(s->owner);
}

static const struct stream_events farewell_events = {
    .on_readable = farewell_on_readable,
    .on_room = farewell_on_room,
    .on_lost = farewell_on_lost,
};

void stream_close_gently(struct stream *s)
{
    struct farewell *f;

    if (!CHECK(!s->closed))
        return;
    stream_shutdown(s);
    if (s->broken) {
        stream_close(s);
        return;
    }
    f = calloc(1, sizeof(*f));
    REQUIRE(f != NULL);
    f->stream = s;
    f->progress = stream_progress(s);
    timer_init(&f->timer, s->loop, farewell_on_timer);
    later_init(&f->at_end, farewell_at_end);
    loop_at_end(s->loop, &f->at_end);
    timer_set(&f->timer, s->shut_done ? LINGER_MS : STALLED_MS);
    s->events = &farewell_events;
    s->owner = f;
    stream_resume(s);
}

void stream_detach(struct stream *s)
{
    if (!CHECK(!s->closed && s->loop && buf_len(&s->out) == 0 && !s->writing))
        return;
    s->ops->move(s, NULL);
    s->loop = NULL;
}

void stream_attach(struct stream *s, struct loop *l)
{
    if (!CHECK(!s->closed && !s->loop))
        return;
    s->loop = l;
    s->ops->move(s, l);
}

bool stream_has_left(const struct stream *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0;
}

bool stream_is_quiet(struct stream *s)
{
    return s->ops->is_quiet(s);
}
