/* SPDX-License-Identifier: Apache-2.0 */

/* Plain streams over TCP and unix sockets, and connecting them. One watch per stream: what
 * it waits for is changed in place, and what is left of the changes at the end of a turn costs at
 * most one system call. */

#include "net/tcp.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "net/calls.h"
#include "net/loop.h"
#include "net/watch.h"

struct tcp {
    struct stream stream;
    struct watch watch;
};

static struct tcp *tcp_of(struct stream *s)
{
    return container_of(s, struct tcp, stream);
}

static int failure(int errno_value)
{
    return errno_value == EAGAIN ? ERR_AGAIN : ERR_RESET;
}

static ssize_t tcp_recv(struct stream *s, void *mem, size_t len)
{
    ssize_t n;

    do
        n = call_recv(s->fd, mem, len, 0);
    while (UNLIKELY(n < 0 && errno == EINTR));
    if (n > 0)
        return n;
    return n == 0 ? ERR_CLOSED : failure(errno);
}

static ssize_t send_many(int fd, const struct iovec *iov, int n)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)MIN(n, IOV_MAX)};

    return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static ssize_t tcp_send(struct stream *s, const struct iovec *iov, int n)
{
    ssize_t sent;

    do
        sent = n == 1 ? call_send(s->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                      : send_many(s->fd, iov, n);
    while (UNLIKELY(sent < 0 && errno == EINTR));
    return sent < 0 ? failure(errno) : sent;
}

static int tcp_shutdown(struct stream *s)
{
    return shutdown(s->fd, SHUT_WR) == 0 ? 0 : ERR_RESET;
}

static void tcp_watch(struct stream *s)
{
    watch_for(&tcp_of(s)->watch, (s->reading ? WATCH_READ : 0) | (s->writing ? WATCH_WRITE : 0));
}

static void tcp_move(struct stream *s, struct loop *l)
{
    struct tcp *t = tcp_of(s);

    if (!l) {
        watch_end(&t->watch);
        return;
    }
    t->watch.loop = l;
    tcp_watch(s);
}

static bool tcp_is_quiet(struct stream *s)
{
    char c;

    return recv(s->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static uint64_t tcp_sent(const struct stream *s)
{
    return s->bytes_out;
}

static void tcp_free(struct stream *s)
{
    watch_end(&tcp_of(s)->watch);
    close(s->fd);
    free(tcp_of(s));
}

static const struct stream_ops tcp_ops = {
    .name = "tcp",
    .recv = tcp_recv,
    .send = tcp_send,
    .shutdown = tcp_shutdown,
    .watch = tcp_watch,
    .move = tcp_move,
    .is_quiet = tcp_is_quiet,
    .sent = tcp_sent,
    .free = tcp_free,
};

static void on_ready(struct watch *w, unsigned what)
{
    struct tcp *t = container_of(w, struct tcp, watch);

    stream_on_ready(&t->stream, what & WATCH_READ, what & WATCH_WRITE);
}

static struct stream *make(struct loop *l, int fd, const struct stream_events *events, void *owner)
{
    struct tcp *t = malloc(sizeof(*t));

    REQUIRE(t != NULL);
    stream_init(&t->stream, &tcp_ops, l, fd, events, owner);
    watch_init(&t->watch, l, fd, on_ready);
    return &t->stream;
}

struct stream *tcp_new(struct loop *l, int fd, const struct stream_events *events, void *owner)
{
    struct stream *s = make(l, fd, events, owner);

    stream_resume(s);
    return s;
}

static void free_released(void *ptr)
{
    free(tcp_of(ptr));
}

int tcp_release(struct stream *s)
{
    struct tcp *t = tcp_of(s);
    int fd = s->fd;

    watch_end(&t->watch);
    s->reading = s->writing = false;
    s->closed = true;
    loop_free_later(s->loop, s, free_released);
    return fd;
}

struct tcp_connect {
    /* owned */
    struct watch watch; /* and its descriptor, which is -1 when there is none */
    struct timer deadline;
    struct later later;
    /* borrowed */
    struct loop *loop;
    tcp_connect_fn on_done;
    void *arg;
    /* state */
    int err;
};

static void free_connect(void *ptr)
{
    free(ptr);
}

/* Stops everything and gives the descriptor to the caller. */
static int dismantle(struct tcp_connect *c)
{
    int fd = c->watch.fd;

    watch_end(&c->watch);
    timer_deinit(&c->deadline);
    later_cancel(&c->later);
    loop_free_later(c->loop, c, free_connect);
    return fd;
}

static void finish(struct tcp_connect *c, int err)
{
    struct stream *s;
    int fd;

    if (err == 0) {
        s = make(c->loop, c->watch.fd, NULL, NULL);
        watch_pass(&c->watch, &tcp_of(s)->watch);
        dismantle(c);
        c->on_done(c->arg, s, 0);
        return;
    }
    fd = dismantle(c);
    if (fd >= 0)
        close(fd);
    c->on_done(c->arg, NULL, err);
}

/* Why connecting failed, as one of the codes that tcp_connect names. */
static int connect_error(int errno_value)
{
    switch (errno_value) {
    case 0: return 0;
    case ECONNREFUSED:
    case ENOENT: /* a unix socket that is not there, or whose backlog is full */
    case EAGAIN: return ERR_REFUSED;
    case ETIMEDOUT: return ERR_TIMEOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN: return ERR_UNREACHABLE;
    case ECONNRESET:
    case EPIPE: return ERR_RESET;
    case EMFILE: /* what this machine has no more of: descriptors, memory, ports */
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL: return ERR_LIMIT;
    default: return ERR_SYSTEM;
    }
}

static void on_connected(struct watch *w, unsigned what UNUSED)
{
    struct tcp_connect *c = container_of(w, struct tcp_connect, watch);
    int err = 0;
    socklen_t len = sizeof(err);

    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        err = errno;
    finish(c, connect_error(err));
}

static void on_deadline(struct timer *t)
{
    finish(container_of(t, struct tcp_connect, deadline), ERR_TIMEOUT);
}

static void on_later(struct later *d)
{
    struct tcp_connect *c = container_of(d, struct tcp_connect, later);

    finish(c, c->err);
}

/* errno, EINPROGRESS or 0. */
static int begin(const struct addr *to, int *fd)
{
    int on = 1;

    *fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return errno;
    if (!addr_is_unix(to))
        setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return connect(*fd, &to->sa, to->len) == 0 ? 0 : errno;
}

struct tcp_connect *tcp_connect(struct loop *l, const struct addr *to, uint64_t timeout_ms,
                                tcp_connect_fn on_done, void *arg)
{
    struct tcp_connect *c = malloc(sizeof(*c));
    int fd, err = begin(to, &fd);

    REQUIRE(c != NULL);
    *c = (struct tcp_connect){.loop = l, .on_done = on_done, .arg = arg, .err = connect_error(err)};
    watch_init(&c->watch, l, fd, on_connected);
    timer_init(&c->deadline, l, on_deadline);
    later_init(&c->later, on_later);
    if (err == EINPROGRESS) {
        watch_for(&c->watch, WATCH_WRITE);
        timer_set(&c->deadline, timeout_ms);
    } else {
        loop_later(l, &c->later);
    }
    return c;
}

void tcp_connect_cancel(struct tcp_connect *c)
{
    int fd = dismantle(c);

    if (fd >= 0)
        close(fd);
}
