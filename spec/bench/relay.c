/* SPDX-License-Identifier: Apache-2.0 */

/* The floor of the benchmark: what moving a request costs when nothing is done with it.
 * Each client connection has one upstream connection; what is received on one is sent on
 * the other, so a request is receive, send, receive, send and a share of one epoll_wait.
 * It knows nothing of HTTP. When a send falls short, the rest is held and the reading side
 * stops until it has left. */

#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

struct side {
    int fd;
    bool paused; /* not read: the other side still holds what came from here */
    bool dead;
    char *held; /* received by the other side, not yet taken by this socket */
    size_t held_at, held_len;
    struct side *other;
    struct side *next_dead;
};

static char buf[65536];
static struct side *dead_pairs;

static void side_watch(int ep, struct side *s, int op)
{
    unsigned events = (s->paused ? 0u : EPOLLIN) | (s->held ? EPOLLOUT : 0u);

    epoll_set(ep, op, s->fd, events, s);
}

/* Both ends at once; memory lives until the turn is over, since events may still name it. */
static void pair_end(struct side *s)
{
    if (s->dead)
        return;
    s->dead = s->other->dead = true;
    close(s->fd);
    close(s->other->fd);
    s->next_dead = dead_pairs;
    dead_pairs = s;
}

static void pairs_free(void)
{
    while (dead_pairs) {
        struct side *s = dead_pairs;
        dead_pairs = s->next_dead;
        free(s->held);
        free(s->other->held);
        free(s->other);
        free(s);
    }
}

static void side_hold(int ep, struct side *to, const char *rest, size_t len)
{
    to->held = malloc(len);
    if (!to->held)
        fail("malloc");
    memcpy(to->held, rest, len);
    to->held_at = 0;
    to->held_len = len;
    to->other->paused = true;
    side_watch(ep, to, EPOLL_CTL_MOD);
    side_watch(ep, to->other, EPOLL_CTL_MOD);
}

static void side_flush(int ep, struct side *s)
{
    ssize_t n = send(s->fd, s->held + s->held_at, s->held_len - s->held_at, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN) {
        pair_end(s);
        return;
    }
    s->held_at += n > 0 ? (size_t)n : 0;
    if (s->held_at < s->held_len)
        return;
    free(s->held);
    s->held = NULL;
    s->other->paused = false;
    side_watch(ep, s, EPOLL_CTL_MOD);
    side_watch(ep, s->other, EPOLL_CTL_MOD);
}

static void side_relay(int ep, struct side *from)
{
    ssize_t got = recv(from->fd, buf, sizeof(buf), 0);

    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            pair_end(from);
        return;
    }
    ssize_t sent = send(from->other->fd, buf, (size_t)got, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        pair_end(from);
    else if (sent < got)
        side_hold(ep, from->other, buf + (sent > 0 ? sent : 0),
                  (size_t)(got - (sent > 0 ? sent : 0)));
}

static void side_ready(int ep, struct side *s, unsigned events)
{
    if (s->held && (events & (EPOLLOUT | EPOLLERR)))
        side_flush(ep, s);
    else if (!s->paused)
        side_relay(ep, s);
    else
        pair_end(s); /* only a hang-up is told of a socket that is not read */
}

static struct side *side_new(int ep, int fd)
{
    struct side *s = calloc(1, sizeof(*s));

    if (!s)
        fail("calloc");
    s->fd = fd;
    no_delay(fd);
    side_watch(ep, s, EPOLL_CTL_ADD);
    return s;
}

/* The connect blocks: on loopback it is done when the origin's backlog has taken it. */
static int connect_to(const struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
        fail("connect");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void accept_all(int ep, int listener, const struct sockaddr_in *origin)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct side *client = side_new(ep, fd), *upstream = side_new(ep, connect_to(origin));
        client->other = upstream;
        upstream->other = client;
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];

    if (argc != 3) {
        fputs("usage: relay PORT ORIGIN_PORT\n", stderr);
        return 2;
    }

    struct sockaddr_in origin = loopback(argv[2]);
    int ep = epoll_create1(EPOLL_CLOEXEC), listener = listen_on(argv[1]);
    epoll_set(ep, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct side *s = events[i].data.ptr;
            if (!s)
                accept_all(ep, listener, &origin);
            else if (!s->dead)
                side_ready(ep, s, events[i].events);
        }
        pairs_free();
    }
}
