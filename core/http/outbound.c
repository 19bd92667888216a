/* SPDX-License-Identifier: Apache-2.0 */

/* Connections to upstreams: connecting, and then the HTTP/1 client that lies on the stream. */

#include "http/outbound.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "http/h1.h"
#include "net/tcp.h"
#include "net/tls.h"

struct outbound_h1 {
    struct outbound base;
    struct h1_client h1;
    /* borrowed */
    struct wire_env *env; /* NULL between detach and attach */
    /* owned */
    struct tcp_connect *connecting; /* NULL when it has ended */
    struct tls_handshake *shaking;  /* the same */
    /* state */
    struct outbound_to to; /* as long as it connects */
    uint64_t deadline_ms;
};

static struct outbound_h1 *self_of(struct outbound *o)
{
    return container_of(o, struct outbound_h1, base);
}

static void free_outbound(void *ptr)
{
    free(ptr);
}

static void free_later(struct outbound_h1 *o)
{
    loop_free_later(o->env->loop, o, free_outbound);
}

static void on_idle(struct h1_client *cl)
{
    struct outbound_h1 *o = container_of(cl, struct outbound_h1, h1);

    o->base.idle_since_ms = clock_ms();
    o->base.events->on_idle(o->base.owner, &o->base);
}

static void on_end(struct h1_client *cl)
{
    struct outbound_h1 *o = container_of(cl, struct outbound_h1, h1);

    o->base.events->on_closed(o->base.owner, &o->base);
    free_later(o);
}

static const struct h1_client_host host = {.on_idle = on_idle, .on_end = on_end};

static void ready(struct outbound_h1 *o, struct stream *s, int err)
{
    if (s != NULL)
        h1_client_init(&o->h1, o->env, s, &host);
    o->base.idle_since_ms = clock_ms();
    o->base.events->on_connected(o->base.owner, &o->base, err);
    if (err != 0)
        free_later(o);
}

static void on_handshake(void *arg, const struct tls_end *end)
{
    struct outbound_h1 *o = arg;

    o->shaking = NULL;
    if (o->env->on_handshake != NULL)
        o->env->on_handshake(o->env->owner, NULL, o->to.server_name, end);
    ready(o, end->stream, end->err);
}

static void on_connected(void *arg, struct stream *s, int err)
{
    struct outbound_h1 *o = arg;
    const struct tls_to to = {o->to.tls, o->to.session, o->to.server_name};
    uint64_t now = clock_ms();

    o->connecting = NULL;
    if (s == NULL || to.client == NULL) {
        ready(o, s, err);
        return;
    }
    o->shaking = tls_connect(o->env->loop, tcp_release(s), &to,
                             o->deadline_ms > now ? o->deadline_ms - now : 0, on_handshake, o);
}

struct outbound *outbound_connect(struct wire_env *env, const struct outbound_to *to,
                                  const struct outbound_events *events, void *owner)
{
    struct outbound_h1 *o = calloc(1, sizeof(*o));

    REQUIRE(o != NULL);
    o->base.events = events;
    o->base.owner = owner;
    o->env = env;
    o->to = *to;
    o->deadline_ms = clock_ms() + to->timeout_ms;
    list_init(&o->base.link);
    o->connecting = tcp_connect(env->loop, to->addr, to->timeout_ms, on_connected, o);
    return &o->base;
}

struct wire *outbound_open(struct outbound *o, struct arena *arena,
                           const struct wire_events *events, void *owner)
{
    return h1_client_open(&self_of(o)->h1, arena, events, owner, o->requests++ > 0);
}

void outbound_close(struct outbound *base)
{
    struct outbound_h1 *o = self_of(base);

    if (o->env == NULL) { /* detached: no loop knows it */
        h1_client_close(&o->h1);
        free(o);
        return;
    }
    if (o->connecting != NULL)
        tcp_connect_cancel(o->connecting);
    else if (o->shaking != NULL)
        tls_cancel(o->shaking);
    else
        h1_client_close(&o->h1);
    free_later(o);
}

bool outbound_detach(struct outbound *base)
{
    struct outbound_h1 *o = self_of(base);

    if (!h1_client_detach(&o->h1)) {
        free_later(o);
        return false;
    }
    o->env = NULL;
    return true;
}

bool outbound_attach(struct outbound *base, struct wire_env *env)
{
    struct outbound_h1 *o = self_of(base);

    o->env = env;
    if (h1_client_attach(&o->h1, env))
        return true;
    free_later(o);
    return false;
}
