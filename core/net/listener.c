/* SPDX-License-Identifier: Apache-2.0 */

/* Accepting. Options that accepted sockets inherit are set once on the listening one, and the
 * local address is asked for only where the listener has a wildcard, so a connection costs one
 * system call here. A listener that may not accept (the cap, no descriptors) stops watching and
 * looks again by a timer: a level-triggered readiness that nobody takes would spin. */

#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "net/loop.h"
#include "net/watch.h"

#define ACCEPTS_PER_TURN 16
#define FULL_PAUSE_MS 10
#define EXHAUSTED_PAUSE_MS 100
#define UNIX_MODE 0666 /* as a port: its folder says who may reach it */
#define PRIVATE_MODE 0600

struct listener {
    /* owned */
    struct watch watch; /* and its descriptor */
    struct timer pause;
    /* borrowed */
    struct loop *loop;
    struct listener_quota *quota;
    listener_accept_fn on_accept;
    void *owner;
    /* state */
    struct addr local; /* len 0: differs by connection */
    int connections;   /* accepted and not yet released */
    bool at_cap;
    bool exhausted; /* no descriptors; logged */
    bool stopped;   /* accepts no more */
    bool freed;
};

static int set_options(int fd, const struct addr *a, bool shared)
{
    int on = 1;

    if (addr_is_unix(a))
        return 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return -1;
    if (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
        return -1;
    if (a->sa.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
        return -1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static const char *path_of(const struct addr *a)
{
    return ((const struct sockaddr_un *)&a->storage)->sun_path;
}

static bool is_socket_file(const struct addr *a)
{
    struct stat st;

    return lstat(path_of(a), &st) == 0 && S_ISSOCK(st.st_mode);
}

/* A socket file outlives its server. Whether one is alive is told by connecting. */
static bool is_orphan(const struct addr *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool orphan = fd >= 0 && connect(fd, &a->sa, a->len) != 0 && errno == ECONNREFUSED;

    if (fd >= 0)
        close(fd);
    return orphan;
}

/* By a descriptor of the socket itself: root must not be led to another file by whoever owns the folder. */
static int set_mode(const struct addr *a, mode_t mode)
{
    int file = open(path_of(a), O_PATH | O_NOFOLLOW | O_CLOEXEC), rc = -1;
    char name[32];
    struct stat st;

    if (file < 0)
        return -1;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
    errno = EEXIST;
    if (fstat(file, &st) == 0 && S_ISSOCK(st.st_mode))
        rc = (st.st_mode & 0777) == mode ? 0 : chmod(name, mode);
    close(file);
    return rc;
}

int listener_set_private(const struct addr *a, bool is_private)
{
    if (!addr_is_unix(a))
        return 0;
    return set_mode(a, is_private ? PRIVATE_MODE : UNIX_MODE) == 0 ? 0 : ERR_SYSTEM;
}

/* The file has the socket's own mode, less the umask, from its first moment on. */
static int bind_unix(int fd, const struct addr *a, bool is_private)
{
    if (is_private && fchmod(fd, PRIVATE_MODE) != 0)
        return -1;
    if (bind(fd, &a->sa, a->len) != 0) {
        if (errno != EADDRINUSE)
            return -1;
        bool is_socket = is_socket_file(a);
        if (!is_socket || !is_orphan(a)) {
            errno = is_socket ? EADDRINUSE : EEXIST;
            return -1;
        }
        if (unlink(path_of(a)) != 0 && errno != ENOENT)
            return -1;
        if (bind(fd, &a->sa, a->len) != 0)
            return -1;
    }
    return set_mode(a, is_private ? PRIVATE_MODE : UNIX_MODE);
}

static int bind_to(int fd, const struct addr *a, bool is_private)
{
    return addr_is_unix(a) ? bind_unix(fd, a, is_private) : bind(fd, &a->sa, a->len);
}

void listener_remove_file(const struct addr *a)
{
    if (addr_is_unix(a) && is_socket_file(a) && is_orphan(a))
        unlink(path_of(a));
}

static int open_as(const struct addr *a, bool shared, bool is_private, int *fd)
{
    int failure;

    *fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return ERR_SYSTEM;
    if (set_options(*fd, a, shared) == 0 && bind_to(*fd, a, is_private) == 0 &&
        listen(*fd, INT_MAX) == 0)
        return 0;
    failure = errno;
    close(*fd);
    *fd = -1;
    errno = failure;
    return ERR_SYSTEM;
}

int listener_open(const struct addr *a, bool shared, int *fd)
{
    return open_as(a, shared, false, fd);
}

int listener_open_private(const struct addr *a, int *fd)
{
    return open_as(a, false, true, fd);
}

int listener_address(int fd, struct addr *out)
{
    out->len = sizeof(out->storage);
    return getsockname(fd, &out->sa, &out->len) == 0 ? 0 : ERR_SYSTEM;
}

/* The kernel asks a program for the socket: it answers with a random number below n. */
void listener_steer(int fd, unsigned n)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(SKF_AD_OFF + SKF_AD_RANDOM)),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {COUNT_OF(code), code};
    int none = 0;

    if (n > 0)
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
    else
        setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &none, sizeof(none));
}

static void pause_for(struct listener *ln, uint64_t ms)
{
    watch_for(&ln->watch, 0);
    timer_set(&ln->pause, ms);
}

void listener_resume(struct listener *ln)
{
    ln->at_cap = false;
    timer_stop(&ln->pause);
    if (!ln->stopped)
        watch_for(&ln->watch, WATCH_READ);
}

static bool quota_take(struct listener *ln)
{
    int max = atomic_load_explicit(&ln->quota->max, memory_order_relaxed);

    if (atomic_fetch_add_explicit(&ln->quota->open, 1, memory_order_relaxed) < max)
        return true;
    atomic_fetch_sub_explicit(&ln->quota->open, 1, memory_order_relaxed);
    ln->at_cap = true;
    pause_for(ln, FULL_PAUSE_MS);
    return false;
}

static void quota_give(struct listener *ln)
{
    atomic_fetch_sub_explicit(&ln->quota->open, 1, memory_order_relaxed);
}

/* Whether to go on accepting after accept4 failed. */
static bool survive(struct listener *ln, int failure)
{
    switch (failure) {
    case EAGAIN: return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        if (!ln->exhausted)
            LOG_ERROR("listener.exhausted", "can't accept connections, trying again",
                      LOG_C("cause", strerror(failure)));
        ln->exhausted = true;
        pause_for(ln, EXHAUSTED_PAUSE_MS);
        return false;
    default: return true; /* that connection only: it has gone, or a firewall took it */
    }
}

static void welcome(struct listener *ln, int fd, const struct addr *peer)
{
    struct addr local;

    ln->exhausted = false;
    ln->connections++;
    if (ln->local.len == 0 && listener_address(fd, &local) == 0)
        ln->on_accept(ln->owner, ln, fd, peer, &local);
    else
        ln->on_accept(ln->owner, ln, fd, peer, &ln->local);
}

/* One connection; false when there is none or none is wanted. */
static bool accept_one(struct listener *ln)
{
    struct addr peer;
    bool more;
    int fd;

    if (!quota_take(ln))
        return false;
    peer.len = sizeof(peer.storage);
    fd = accept4(ln->watch.fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        more = survive(ln, errno);
        quota_give(ln);
        return more;
    }
    welcome(ln, fd, &peer);
    return true;
}

static void on_ready(struct watch *w, unsigned what UNUSED)
{
    struct listener *ln = container_of(w, struct listener, watch);

    for (int i = 0; i < ACCEPTS_PER_TURN && !ln->stopped; i++)
        if (!accept_one(ln))
            return;
}

static void on_pause_over(struct timer *t)
{
    listener_resume(container_of(t, struct listener, pause));
}

struct listener *listener_start(struct loop *l, int fd, struct listener_quota *quota,
                                listener_accept_fn on_accept, void *owner)
{
    struct listener *ln = calloc(1, sizeof(*ln));

    REQUIRE(ln != NULL);
    ln->loop = l;
    ln->quota = quota;
    ln->on_accept = on_accept;
    ln->owner = owner;
    if (listener_address(fd, &ln->local) != 0 || addr_is_wildcard(&ln->local))
        ln->local.len = 0;
    timer_init(&ln->pause, l, on_pause_over);
    watch_init(&ln->watch, l, fd, on_ready);
    watch_for(&ln->watch, WATCH_READ);
    return ln;
}

static void stop(struct listener *ln)
{
    ln->stopped = true;
    timer_deinit(&ln->pause);
    watch_end(&ln->watch);
}

static void free_listener(void *ptr)
{
    free(ptr);
}

static void free_if_unused(struct listener *ln)
{
    if (ln->freed && ln->connections == 0)
        loop_free_later(ln->loop, ln, free_listener);
}

void listener_released(struct listener *ln)
{
    if (!CHECK(ln->connections > 0))
        return;
    ln->connections--;
    quota_give(ln);
    if (ln->at_cap && !ln->stopped)
        listener_resume(ln);
    free_if_unused(ln);
}

void listener_hold(struct listener *ln)
{
    watch_for(&ln->watch, 0);
}

void listener_take(struct listener *ln, int fd, const struct addr *peer)
{
    atomic_fetch_add_explicit(&ln->quota->open, 1, memory_order_relaxed);
    welcome(ln, fd, peer);
}

void listener_drain(struct listener *ln)
{
    while (!ln->stopped && accept_one(ln))
        ;
    stop(ln);
}

void listener_free(struct listener *ln)
{
    if (!CHECK(!ln->freed))
        return;
    stop(ln);
    close(ln->watch.fd);
    ln->freed = true;
    free_if_unused(ln);
}
