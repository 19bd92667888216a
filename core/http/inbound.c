/* SPDX-License-Identifier: Apache-2.0 */

/* Accepted connections: the stages before the wire, and the wire. Most of them are idle at any
 * moment, so what is known of the peer is kept as small as it can be, and spread out into a
 * wire_peer in the arena of each request. */

#include "http/inbound.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "http/h1.h"
#include "net/proxy_read.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "net/tls_ctx.h"

struct inbound_set {
    /* borrowed */
    struct wire_env *env;
    const struct wire_events *acceptor;
    void *owner;
    /* state */
    struct list conns;
    struct list arrivals;
    size_t n; /* of both */
};

/* A connection whose PROXY header has not come yet. */
struct arrival {
    /* owned */
    struct proxy_read *read;
    struct inbound_from from; /* with a reference to its TLS policy */
    /* borrowed */
    struct inbound_set *set;
    /* state */
    struct list link;
    struct addr peer, local; /* what `from` points to */
};

struct inbound {
    struct h1_server h1; /* when the stages before it have ended */
    /* owned */
    struct tls_handshake *shaking; /* NULL: before or after it */
    /* borrowed */
    struct inbound_set *set; /* NULL when the set was freed before its owner released the wire */
    struct listener *listener;
    /* state */
    struct list link;
    int16_t listener_index;
    bool is_trusted, is_asked;
    uint8_t peer_len, local_len, ip_len;
    char addresses[]; /* sockaddr of the peer, of our end, the peer's address in text */
};

static struct inbound *inbound_of(struct h1_server *s)
{
    return container_of(s, struct inbound, h1);
}

static void get_address(struct addr *out, const char *bytes, size_t len)
{
    slice_put((char *)&out->storage, slice_of(bytes, len));
    out->len = (socklen_t)len;
}

static void describe(struct h1_server *s, struct wire_peer *out)
{
    struct inbound *in = inbound_of(s);

    /* Field by field: an address has room for the longest of its kind. */
    out->ip = slice_of(in->addresses + in->peer_len + in->local_len, in->ip_len);
    out->is_tls = s->is_tls;
    out->is_asked = in->is_asked;
    out->is_trusted = in->is_trusted;
    out->tls_subject = out->tls_thumbprint = out->server_name = SLICE_NONE;
    out->listener = in->listener_index;
    if (s->is_tls) {
        struct tls_facts facts = tls_facts(s->conn.stream);
        out->tls_subject = facts.subject;
        out->tls_thumbprint = facts.thumbprint;
        out->server_name = facts.server_name;
    }
    get_address(&out->address, in->addresses, in->peer_len);
    get_address(&out->local, in->addresses + in->peer_len, in->local_len);
}

/* The peer is described in the arena: it may be looked at (a log line) when the connection is
 * gone already. */
static void on_request(struct h1_server *s, struct wire *w)
{
    struct inbound *in = inbound_of(s);
    struct wire_peer *peer = arena_alloc(w->arena, sizeof(*peer) + in->ip_len);
    char *ip = (char *)(peer + 1);

    describe(s, peer);
    slice_put(ip, peer->ip);
    peer->ip.ptr = ip;
    if (s->is_tls) {
        peer->tls_subject = arena_dup(w->arena, peer->tls_subject);
        peer->tls_thumbprint = arena_dup(w->arena, peer->tls_thumbprint);
        peer->server_name = arena_dup(w->arena, peer->server_name);
    }
    w->peer = peer;
    w->events = in->set->acceptor;
    w->owner = in->set->owner;
}

static void free_inbound(void *ptr)
{
    free(ptr);
}

static void end(struct inbound *in, struct loop *l)
{
    list_remove(&in->link);
    if (in->set != NULL)
        in->set->n--;
    listener_released(in->listener);
    loop_free_later(l, in, free_inbound);
}

static void on_end(struct h1_server *s)
{
    end(inbound_of(s), s->conn.env->loop);
}

static const struct h1_server_host host = {
    .on_request = on_request,
    .describe = describe,
    .on_end = on_end,
};

/* --- the stages before the wire ---------------------------------------------------------------- */

static void begin_wire(struct inbound *in, struct stream *s)
{
    h1_server_init(&in->h1, in->set->env, s, &host);
}

static void on_handshake(void *arg, const struct tls_end *ended)
{
    struct inbound *in = arg;
    struct wire_env *env = in->set->env;
    struct wire_peer peer;

    in->shaking = NULL;
    if (ended->stream != NULL) {
        begin_wire(in, ended->stream);
        in->h1.is_tls = true;
        stream_resume(ended->stream);
    }
    describe(&in->h1, &peer);
    if (env->on_handshake != NULL)
        env->on_handshake(env->owner, &peer, SLICE_NONE, ended);
    if (ended->stream == NULL)
        end(in, env->loop);
}

static void on_hello(void *arg, struct tls_handshake *h, const struct tls_hello *hello)
{
    struct inbound *in = arg;
    struct wire_env *env = in->set->env;
    struct wire_peer peer;

    describe(&in->h1, &peer);
    env->on_hello(env->owner, &peer, h, hello);
}

static void begin_stages(struct inbound *in, int fd, struct tls_server *tls)
{
    struct wire_env *env = in->set->env;

    if (tls == NULL) {
        begin_wire(in, tcp_new(env->loop, fd, NULL, NULL));
        return;
    }
    in->is_asked = tls_server_asks(tls);
    in->shaking = tls_accept(env->loop, fd, tls, env->limits->header_timeout_ms, on_handshake, in);
    if (env->on_hello != NULL)
        tls_ask(in->shaking, on_hello);
}

/* Breaks off a stage; true when there was one. */
static bool abort_stage(struct inbound *in)
{
    if (in->shaking == NULL)
        return false;
    tls_cancel(in->shaking);
    in->shaking = NULL;
    end(in, in->set->env->loop);
    return true;
}

/* --- the set ---------------------------------------------------------------------------------- */

/* What is kept of the addresses, one behind the other. */
static void keep_addresses(struct inbound *in, const struct addr *peer, const struct addr *local,
                           const char *ip)
{
    char *p = in->addresses;

    p = mempcpy(p, &peer->storage, in->peer_len);
    p = mempcpy(p, &local->storage, in->local_len);
    memcpy(p, ip, in->ip_len);
}

/* A peer on a unix socket has no address, and the path that it may have chosen for itself is no text to
 * put into headers and logs. */
static size_t print_ip(const struct addr *peer, char *out, size_t size)
{
    static const struct addr unnamed = {.sa.sa_family = AF_UNIX, .len = sizeof(sa_family_t)};

    return addr_print_ip(addr_is_unix(peer) ? &unnamed : peer, out, size);
}

/* The next stage of a connection whose addresses are known. */
static void begin(struct inbound_set *set, const struct inbound_from *from)
{
    const struct addr *peer = from->peer, *local = from->local;
    char ip[ADDR_TEXT];
    size_t ip_len = print_ip(peer, ip, sizeof(ip));
    struct inbound *in = calloc(1, sizeof(*in) + peer->len + local->len + ip_len);

    REQUIRE(in != NULL);
    in->set = set;
    in->listener = from->listener;
    in->listener_index = (int16_t)from->listener_index;
    in->is_trusted = from->is_trusted;
    in->peer_len = (uint8_t)peer->len;
    in->local_len = (uint8_t)local->len;
    in->ip_len = (uint8_t)ip_len;
    keep_addresses(in, peer, local, ip);
    list_append(&set->conns, &in->link);
    set->n++;
    begin_stages(in, from->fd, from->tls);
}

/* --- PROXY headers ---------------------------------------------------------------------------- */

static void arrival_free(struct arrival *a)
{
    list_remove(&a->link);
    a->set->n--;
    tls_server_unref(a->from.tls);
    free(a);
}

/* What the header says holds from now on; one that says nothing leaves the connection's own. */
static void believe(struct arrival *a, const struct proxy_proto *header)
{
    const struct wire_env *env = a->set->env;

    if (!header->has_addresses)
        return;
    a->peer = header->from;
    a->local = header->to;
    a->from.is_trusted = !addr_is_unix(&a->peer) && env->is_trusted(env->owner, &a->peer);
}

/* Who leaves without a word is a balancer that looked whether anybody is here. */
static void turn_away(struct arrival *a, const struct proxy_read_end *end)
{
    const struct wire_env *env = a->set->env;

    if (end->is_begun || end->err == ERR_TIMEOUT)
        env->on_bad_proxy(env->owner, &a->peer, end->err, end->why);
    close(end->fd);
    listener_released(a->from.listener);
}

static void on_proxy_header(void *arg, const struct proxy_read_end *end)
{
    struct arrival *a = arg;

    a->from.fd = end->fd;
    if (end->header != NULL) {
        believe(a, end->header);
        begin(a->set, &a->from);
    } else {
        turn_away(a, end);
    }
    arrival_free(a);
}

static void await_proxy_header(struct inbound_set *set, const struct inbound_from *from)
{
    struct arrival *a = malloc(sizeof(*a));

    REQUIRE(a != NULL);
    *a = (struct arrival){.set = set, .from = *from, .peer = *from->peer, .local = *from->local};
    a->from.peer = &a->peer;
    a->from.local = &a->local;
    a->from.tls = tls_server_ref(from->tls);
    a->read = proxy_read_start(set->env->loop, from->fd, set->env->limits->header_timeout_ms,
                               on_proxy_header, a);
    list_append(&set->arrivals, &a->link);
    set->n++;
}

static void arrival_abort(struct arrival *a)
{
    proxy_read_cancel(a->read);
    listener_released(a->from.listener);
    arrival_free(a);
}

void inbound_accept(struct inbound_set *set, const struct inbound_from *from)
{
    if (from->has_proxy_header)
        await_proxy_header(set, from);
    else
        begin(set, from);
}

/* --- the set ---------------------------------------------------------------------------------- */

struct inbound_set *inbound_set_new(struct wire_env *env, const struct wire_events *acceptor,
                                    void *owner)
{
    struct inbound_set *set = calloc(1, sizeof(*set));

    REQUIRE(set != NULL);
    *set = (struct inbound_set){.env = env, .acceptor = acceptor, .owner = owner};
    list_init(&set->conns);
    list_init(&set->arrivals);
    return set;
}

void inbound_set_free(struct inbound_set *set)
{
    inbound_abort_all(set);
    LIST_EACH (link, &set->conns) {
        /* Its owner has not released it yet. */
        container_of(link, struct inbound, link)->set = NULL;
        list_remove(link);
    }
    free(set);
}

static void drain(struct inbound *in)
{
    if (in->shaking == NULL)
        h1_server_drain(&in->h1);
    else if (tls_is_silent(in->shaking))
        abort_stage(in);
}

void inbound_drain(struct inbound_set *set)
{
    LIST_EACH (link, &set->arrivals) {
        struct arrival *a = container_of(link, struct arrival, link);
        if (proxy_read_is_idle(a->read))
            arrival_abort(a);
    }
    LIST_EACH (link, &set->conns)
        drain(container_of(link, struct inbound, link));
}

static void renumber_arrivals(struct inbound_set *set, const struct listener *ln, int index)
{
    LIST_EACH (link, &set->arrivals) {
        struct arrival *a = container_of(link, struct arrival, link);
        if (a->from.listener != ln)
            continue;
        a->from.listener_index = index;
        if (index < 0 && proxy_read_is_idle(a->read))
            arrival_abort(a);
    }
}

void inbound_renumber(struct inbound_set *set, const struct listener *ln, int index)
{
    renumber_arrivals(set, ln, index);
    LIST_EACH (link, &set->conns) {
        struct inbound *in = container_of(link, struct inbound, link);
        if (in->listener != ln)
            continue;
        in->listener_index = (int16_t)index;
        if (index < 0)
            drain(in);
    }
}

void inbound_judge(struct inbound_set *set)
{
    const struct wire_env *env = set->env;
    struct addr peer;

    LIST_EACH (link, &set->conns) {
        struct inbound *in = container_of(link, struct inbound, link);
        get_address(&peer, in->addresses, in->peer_len);
        if (!addr_is_unix(&peer))
            in->is_trusted = env->is_trusted(env->owner, &peer);
    }
}

void inbound_abort_all(struct inbound_set *set)
{
    LIST_EACH (link, &set->arrivals)
        arrival_abort(container_of(link, struct arrival, link));
    LIST_EACH (link, &set->conns) {
        struct inbound *in = container_of(link, struct inbound, link);
        if (!abort_stage(in))
            h1_server_abort(&in->h1);
    }
}

void inbound_abort_oldest(struct inbound_set *set)
{
    LIST_EACH (link, &set->conns) {
        struct inbound *in = container_of(link, struct inbound, link);
        if (!abort_stage(in))
            h1_server_abort(&in->h1);
        return;
    }
}

size_t inbound_count(const struct inbound_set *set)
{
    return set->n;
}

size_t inbound_idle_count(const struct inbound_set *set)
{
    size_t n = 0;

    LIST_EACH (link, &set->conns) {
        struct inbound *in = container_of(link, struct inbound, link);
        n += in->shaking ? tls_is_silent(in->shaking) : h1_server_is_idle(&in->h1);
    }
    return n;
}
