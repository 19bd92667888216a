/* SPDX-License-Identifier: Apache-2.0 */

/* Bytes are peeked at first. As long as the header is not whole all of them are its own, and are
 * taken and kept; of the last ones no more is taken than belongs to it. So nothing that was left in
 * the socket makes it readable again, and nothing has to be handed on. Nearly always a header comes
 * whole: then nothing is kept, and two system calls have done it. */

#include "net/proxy_read.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "net/loop.h"
#include "net/watch.h"

struct proxy_read {
    /* owned */
    struct watch watch; /* and its descriptor */
    struct timer deadline;
    char *kept; /* PROXY_PROTO_MAX bytes, or NULL */
    /* borrowed */
    struct loop *loop;
    proxy_read_fn on_done;
    void *arg;
    /* state */
    size_t nkept;
};

static void free_read(void *ptr)
{
    struct proxy_read *r = ptr;

    free(r->kept);
    free(r);
}

static void dismantle(struct proxy_read *r)
{
    watch_end(&r->watch);
    timer_deinit(&r->deadline);
    loop_free_later(r->loop, r, free_read);
}

static void finish(struct proxy_read *r, const struct proxy_proto *header, int err, const char *why)
{
    struct proxy_read_end end = {
        .header = header,
        .why = why,
        .fd = r->watch.fd,
        .err = err,
        .is_begun = r->nkept > 0 || err == ERR_PROTOCOL,
    };

    dismantle(r);
    r->on_done(r->arg, &end);
}

static ssize_t receive(const struct proxy_read *r, char *mem, size_t len, int flags)
{
    ssize_t n;

    do
        n = recv(r->watch.fd, mem, len, flags);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    if (n == 0)
        return ERR_CLOSED;
    return errno == EAGAIN ? ERR_AGAIN : ERR_RESET;
}

/* Takes n bytes that have been seen out of the socket. */
static bool take(struct proxy_read *r, char *mem, size_t n)
{
    return receive(r, mem, n, 0) == (ssize_t)n;
}

/* All of bytes[0..len) belongs to a header that is not whole. */
static void keep(struct proxy_read *r, char *bytes, size_t len)
{
    if (!r->kept)
        r->kept = malloc(PROXY_PROTO_MAX);
    REQUIRE(r->kept != NULL);
    if (!take(r, bytes + r->nkept, len - r->nkept)) {
        finish(r, NULL, ERR_RESET, NULL);
        return;
    }
    memcpy(r->kept, bytes, len);
    r->nkept = len;
}

static void on_readable(struct watch *w, unsigned what UNUSED)
{
    struct proxy_read *r = container_of(w, struct proxy_read, watch);
    char bytes[PROXY_PROTO_MAX];
    struct proxy_proto header;
    const char *why = NULL;

    if (r->nkept > 0)
        memcpy(bytes, r->kept, r->nkept);
    ssize_t n = receive(r, bytes + r->nkept, sizeof(bytes) - r->nkept, MSG_PEEK);
    if (n == ERR_AGAIN)
        return;
    if (n < 0) {
        finish(r, NULL, (int)n, NULL);
        return;
    }
    size_t len = r->nkept + (size_t)n;
    ssize_t size = proxy_proto_read(slice_of(bytes, len), &header, &why);
    if (size == ERR_AGAIN)
        keep(r, bytes, len);
    else if (size < 0)
        finish(r, NULL, (int)size, why);
    else if (take(r, bytes + r->nkept, (size_t)size - r->nkept))
        finish(r, &header, 0, NULL);
    else
        finish(r, NULL, ERR_RESET, NULL);
}

static void on_deadline(struct timer *t)
{
    finish(container_of(t, struct proxy_read, deadline), NULL, ERR_TIMEOUT, NULL);
}

struct proxy_read *proxy_read_start(struct loop *l, int fd, uint64_t timeout_ms,
                                    proxy_read_fn on_done, void *arg)
{
    struct proxy_read *r = malloc(sizeof(*r));

    REQUIRE(r != NULL);
    *r = (struct proxy_read){.loop = l, .on_done = on_done, .arg = arg};
    timer_init(&r->deadline, l, on_deadline);
    timer_set(&r->deadline, timeout_ms);
    watch_init(&r->watch, l, fd, on_readable);
    watch_for(&r->watch, WATCH_READ);
    return r;
}

bool proxy_read_is_idle(const struct proxy_read *r)
{
    char byte;

    return r->nkept == 0 && receive(r, &byte, 1, MSG_PEEK) == ERR_AGAIN;
}

void proxy_read_cancel(struct proxy_read *r)
{
    dismantle(r);
    close(r->watch.fd);
}
