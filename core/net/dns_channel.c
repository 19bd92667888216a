/* SPDX-License-Identifier: Apache-2.0 */

/* c-ares's sockets and timeouts on a loop. c-ares must neither read files nor open sockets per
 * lookup: hence only "b" for lookups, no service names, no aliases, and sockets that stay open. */

#include "net/dns_channel.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/watch.h"

#define TRIES 2

struct dns_channel {
    /* owned */
    ares_channel ares;
    struct timer timer; /* c-ares's own timeouts */
    /* borrowed */
    struct loop *loop;
    /* state */
    struct list sockets; /* of c-ares */
};

struct socket_watch {
    struct list link;
    struct watch watch;
    struct dns_channel *channel;
};

/* After each call into c-ares. */
static void rearm(struct dns_channel *c)
{
    struct timeval tv;

    if (ares_timeout(c->ares, NULL, &tv))
        timer_set(&c->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
    else
        timer_stop(&c->timer);
}

static void on_timer(struct timer *t)
{
    struct dns_channel *c = container_of(t, struct dns_channel, timer);

    ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(c);
}

static void on_socket(struct watch *watch, unsigned what)
{
    struct dns_channel *c = container_of(watch, struct socket_watch, watch)->channel;
    int fd = watch->fd;

    ares_process_fd(c->ares, what & WATCH_READ ? fd : ARES_SOCKET_BAD,
                    what & WATCH_WRITE ? fd : ARES_SOCKET_BAD);
    rearm(c);
}

static struct socket_watch *watch_of(struct dns_channel *c, int fd)
{
    struct socket_watch *w;

    LIST_EACH (link, &c->sockets) {
        w = container_of(link, struct socket_watch, link);
        if (w->watch.fd == fd)
            return w;
    }
    w = calloc(1, sizeof(*w));
    REQUIRE(w != NULL);
    w->channel = c;
    watch_init(&w->watch, c->loop, fd, on_socket);
    list_push(&c->sockets, &w->link);
    return w;
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns_channel *c = arg;
    struct socket_watch *w = watch_of(c, fd);

    if (!readable && !writable) { /* it will be closed now */
        watch_end(&w->watch);
        list_remove(&w->link);
        loop_free_later(c->loop, w, free);
        return;
    }
    watch_for(&w->watch, (readable ? WATCH_READ : 0) | (writable ? WATCH_WRITE : 0));
}

/* ERR_SYNTAX when one is no address. */
static int set_servers(struct dns_channel *c, const char *const *servers, size_t n)
{
    struct ares_addr_port_node *nodes = calloc(n, sizeof(*nodes));
    int rc = 0;

    REQUIRE(nodes != NULL);
    for (size_t i = 0; i < n; i++) {
        struct slice host;
        struct addr a;
        uint16_t port;
        if (addr_split(slice_from(servers[i]), &host, &port) != 0 ||
            addr_parse_ip(host, port, &a) != 0) {
            rc = ERR_SYNTAX;
            break;
        }
        nodes[i].family = a.sa.sa_family;
        nodes[i].udp_port = nodes[i].tcp_port = port;
        if (a.sa.sa_family == AF_INET)
            nodes[i].addr.addr4 = ((struct sockaddr_in *)&a.storage)->sin_addr;
        else
            memcpy(&nodes[i].addr.addr6, &((struct sockaddr_in6 *)&a.storage)->sin6_addr, 16);
        nodes[i].next = i + 1 < n ? &nodes[i + 1] : NULL;
    }
    if (rc == 0)
        REQUIRE(ares_set_servers_ports(c->ares, nodes) == ARES_SUCCESS);
    free(nodes);
    return rc;
}

static void open_ares(struct dns_channel *c, uint64_t timeout_ms)
{
    struct ares_options options = {
        .flags = ARES_FLAG_STAYOPEN | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .timeout = (int)MAX(timeout_ms / (2 * TRIES), 50), /* doubled at the second try */
        .tries = TRIES,
        .lookups = (char *)"b",
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = c,
        .ednspsz = 1232, /* 70 addresses in one datagram that no path fragments */
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB | ARES_OPT_EDNSPSZ;

    REQUIRE(ares_init_options(&c->ares, &options, mask) == ARES_SUCCESS);
}

struct dns_channel *dns_channel_new(struct loop *l, uint64_t timeout_ms, const char *const *servers,
                                    size_t n)
{
    struct dns_channel *c = calloc(1, sizeof(*c));

    REQUIRE(c != NULL);
    c->loop = l;
    list_init(&c->sockets);
    timer_init(&c->timer, l, on_timer);
    open_ares(c, timeout_ms);
    if (n && set_servers(c, servers, n) != 0) {
        dns_channel_free(c);
        return NULL;
    }
    return c;
}

void dns_channel_free(struct dns_channel *c)
{
    ares_destroy(c->ares); /* ends what is pending, closes the sockets */
    timer_deinit(&c->timer);
    free(c);
}

void dns_channel_ask(struct dns_channel *c, const char *name, ares_addrinfo_callback fn, void *arg)
{
    const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = ARES_AI_NOSORT, /* sorting would connect a socket to each address */
    };

    ares_getaddrinfo(c->ares, name, NULL, &hints, fn, arg);
    rearm(c);
}
