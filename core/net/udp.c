/* SPDX-License-Identifier: Apache-2.0 */

/* One watch per socket, set to what is asked for. */

#include "net/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "net/loop.h"
#include "net/watch.h"

struct udp {
    /* owned */
    struct watch watch; /* and its descriptor */
    /* borrowed */
    struct loop *loop;
    udp_fn on_ready;
    void *owner;
};

static void on_event(struct watch *w, unsigned what)
{
    struct udp *u = container_of(w, struct udp, watch);

    watch_for(w, w->wanted & ~what);
    u->on_ready(u->owner,
                (what & WATCH_READ ? UDP_READ : 0) | (what & WATCH_WRITE ? UDP_WRITE : 0));
}

void udp_watch(struct udp *u, int what)
{
    watch_for(&u->watch, (what & UDP_READ ? WATCH_READ : 0) | (what & UDP_WRITE ? WATCH_WRITE : 0));
}

/* The descriptor is the socket's or closed. */
static int make(struct loop *l, int fd, int rc, udp_fn on_ready, void *owner, struct udp **out)
{
    if (rc < 0) {
        int err = err_from_errno(errno);
        if (fd >= 0)
            close(fd);
        return err;
    }
    struct udp *u = calloc(1, sizeof(*u));
    REQUIRE(u != NULL);
    *u = (struct udp){.loop = l, .on_ready = on_ready, .owner = owner};
    watch_init(&u->watch, l, fd, on_event);
    *out = u;
    return 0;
}

static int open_socket(const struct addr *a)
{
    return socket(a->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int udp_connect(struct loop *l, const struct addr *to, udp_fn on_ready, void *owner,
                struct udp **out)
{
    int fd = open_socket(to), rc = fd < 0 ? -1 : connect(fd, &to->sa, to->len);

    return make(l, fd, rc, on_ready, owner, out);
}

int udp_bind(struct loop *l, const struct addr *at, udp_fn on_ready, void *owner, struct udp **out)
{
    int fd = open_socket(at), rc = fd < 0 ? -1 : bind(fd, &at->sa, at->len);

    return make(l, fd, rc, on_ready, owner, out);
}

void udp_close(struct udp *u)
{
    watch_end(&u->watch);
    close(u->watch.fd);
    loop_free_later(u->loop, u, free); /* its callback may be on the stack */
}

static int failure(void)
{
    return errno == EMSGSIZE ? ERR_LIMIT : err_from_errno(errno);
}

int udp_send(struct udp *u, struct slice text, const struct addr *to)
{
    ssize_t n;

    do
        n = sendto(u->watch.fd, text.ptr, text.len, MSG_NOSIGNAL, to ? &to->sa : NULL,
                   to ? to->len : 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? failure() : 0;
}

ssize_t udp_recv(struct udp *u, char *out, size_t size, struct addr *from)
{
    socklen_t len = from ? sizeof(from->storage) : 0;
    ssize_t n;

    do
        n = recvfrom(u->watch.fd, out, size, 0, from ? &from->sa : NULL, from ? &len : NULL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return failure();
    if (from)
        from->len = len;
    return n;
}

int udp_address(const struct udp *u, struct addr *out)
{
    out->len = sizeof(out->storage);
    return getsockname(u->watch.fd, &out->sa, &out->len) == 0 ? 0 : ERR_SYSTEM;
}
