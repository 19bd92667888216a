/* SPDX-License-Identifier: Apache-2.0 */

/* A note on the wire: a head of fixed size, the text behind it, descriptors beside it. Both ends run the same program or
 * the next version of it; all the same, nothing in a note is believed before it was looked at. */

#include "app/note.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"

/* The kernel limits the descriptors that are under way: then there is room when the other end has read some. */
#define CROWDED_MS 1

struct head {
    uint32_t kind, number;
};

union control {
    char bytes[CMSG_SPACE(NOTE_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

int note_pair(int *fds)
{
    int rc = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);

    return rc == 0 ? 0 : ERR_SYSTEM;
}

bool note_is_end(int fd)
{
    int domain, type;
    socklen_t len = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

/* 0, ERR_TIMEOUT or ERR_SYSTEM. until_us 0: for ever. */
static int wait_for(int fd, short events, uint64_t until_us)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n, left_ms = -1;

    do {
        uint64_t now = clock_us_now();
        if (until_us)
            left_ms = until_us > now ? (int)((until_us - now + 999) / 1000) : 0;
        n = poll(&p, 1, left_ms);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : n == 0 ? ERR_TIMEOUT : ERR_SYSTEM;
}

static uint64_t until(int timeout_ms)
{
    return timeout_ms < 0 ? 0 : clock_us_now() + (uint64_t)timeout_ms * 1000;
}

/* Whether to try again; else *rc is what became of it. */
static bool overcome(int fd, uint64_t until_us, int *rc)
{
    switch (errno) {
    case EINTR: return true;
    case EAGAIN: *rc = wait_for(fd, POLLOUT, until_us); return *rc == 0;
    case ETOOMANYREFS:
        poll(NULL, 0, CROWDED_MS);
        *rc = ERR_TIMEOUT;
        return clock_us_now() < until_us;
    case EPIPE:
    case ECONNRESET: *rc = ERR_CLOSED; return false;
    default: *rc = ERR_SYSTEM; return false;
    }
}

int note_send(int fd, enum note_kind kind, uint32_t number, struct slice text, const int *fds,
              int nfds, int timeout_ms)
{
    struct head head = {kind, number};
    struct iovec pieces[] = {{&head, sizeof(head)}, {(void *)(uintptr_t)text.ptr, text.len}};
    union control control = {0};
    struct msghdr m = {.msg_iov = pieces, .msg_iovlen = text.len ? 2 : 1};
    uint64_t until_us = until(timeout_ms);
    int rc = ERR_SYSTEM;

    REQUIRE(text.len <= NOTE_TEXT_MAX && nfds <= NOTE_FDS_MAX);
    if (nfds > 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)nfds * sizeof(int));
    }
    do {
        if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
            return 0;
    } while (overcome(fd, until_us, &rc));
    return rc;
}

static void take_fds(struct note *note, struct msghdr *m)
{
    note->nfds = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n && note->nfds < NOTE_FDS_MAX; i++)
            memcpy(&note->fds[note->nfds++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
}

/* An end that was closed with notes unread says so once; what it has sent before can be read all the same. */
static ssize_t receive(int fd, struct msghdr *m)
{
    ssize_t n;

    do
        n = recvmsg(fd, m, MSG_CMSG_CLOEXEC);
    while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    return n;
}

int note_receive(int fd, struct note *note, int timeout_ms)
{
    struct head head;
    struct iovec pieces[] = {{&head, sizeof(head)}, {note->text, sizeof(note->text)}};
    union control control;
    struct msghdr m = {.msg_iov = pieces,
                       .msg_iovlen = 2,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    int rc = wait_for(fd, POLLIN, until(timeout_ms));

    note->nfds = 0;
    if (rc < 0)
        return rc;
    ssize_t n = receive(fd, &m);
    if (n <= 0)
        return n == 0 ? ERR_CLOSED : ERR_SYSTEM;
    take_fds(note, &m);
    if ((size_t)n < sizeof(head) || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || head.kind == 0 ||
        head.kind >= NOTE_KINDS) {
        note_close_fds(note);
        return ERR_PROTOCOL;
    }
    note->kind = (enum note_kind)head.kind;
    note->number = head.number;
    note->len = (size_t)n - sizeof(head);
    return 0;
}

void note_close_fds(struct note *note)
{
    for (int i = 0; i < note->nfds; i++)
        if (note->fds[i] >= 0)
            close(note->fds[i]);
    note->nfds = 0;
}

struct slice note_text(const struct note *note)
{
    return slice_of(note->text, note->len);
}
