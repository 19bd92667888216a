/* SPDX-License-Identifier: Apache-2.0 */

/* A call of the HTTP client of plugins, blind to Lua: to a URL (its host is resolved first, its addresses are held
 * against outbound.deny, and the connection is pooled by address) or to an upstream of the configuration, with its
 * balancing, limits and health. Two faces stand on it: call_http.c gathers the whole response, call_http_stream.c hands
 * bodies on piece by piece.
 *
 *   http_call_start -> [resolve] -> pool_take -> [connect] -> on_open -> wire_body ... -> on_head -> on_body ... end
 *                                                                  ^________ stale connection: once more
 *
 * The owner fills in what it asks for, and calls http_call_end before it lets go of the struct. Events may come from inside
 * http_call_start; none comes after on_failed, after a message's end, or after http_call_end. On the worker's thread. */

#ifndef DML_SCRIPT_HTTP_CALL_H
#define DML_SCRIPT_HTTP_CALL_H

#include "base/arena.h"
#include "gate/gateway.h"
#include "gate/upstream.h"
#include "http/wire.h"
#include "net/addr.h"

#define HTTP_CALL_ADDRESSES 4 /* of one name that are tried */

struct dns_query;
struct http_call;
struct tls_client;

struct http_call_events {
    /* The request's head has been given to a connection (call->wire): the body may follow. Comes again when that
     * connection turned out to have been closed (not with is_fresh): then the body begins anew. */
    void (*on_open)(struct http_call *call);

    /* The final head: call->response. Nothing comes until http_call_grant. end: no body follows. */
    void (*on_head)(struct http_call *call, bool end);
    void (*on_body)(struct http_call *call, const struct slice *pieces, int n, bool end);

    /* After WIRE_FULL. */
    void (*on_room)(struct http_call *call);

    /* It broke off. */
    void (*on_failed)(struct http_call *call, int err);
};

struct http_call {
    /* owned */
    struct arena *own;   /* of the request's fields */
    struct arena *arena; /* of one try: its heads; the last one's until http_call_end */
    struct pool_claim claim;
    struct dns_query *query;
    struct target *target;  /* a reference, unless it is an upstream's */
    struct tls_client *tls; /* a reference; NULL: plain, or as the upstream says */
    struct headers headers; /* the request's, but for Host and framing */
    /* borrowed */
    const struct http_call_events *events;
    struct gateway *gateway;
    struct plan *plan;               /* counted */
    struct upstream *upstream;       /* named, or NULL until start: by URL */
    const struct endpoint *endpoint; /* of a named upstream, once chosen and until it is left */
    struct wire *wire;               /* while it is under way */
    struct message *response;
    struct slice host, path, query_text, authority; /* the owner keeps the texts */
    struct slice server_name;                       /* of TLS; absent: the host */
    /* state */
    enum method method;
    uint16_t port;
    enum body_kind body; /* NONE, LENGTH or UNKNOWN */
    bool says_empty;     /* the length is told although there is nothing */
    uint64_t length;
    uint64_t connect_timeout_ms; /* 0: the upstream's */
    uint64_t from_us, head_us;   /* the endpoint's time begins; its response head came */
    bool is_named, is_claimed;
    struct addr addrs[HTTP_CALL_ADDRESSES]; /* that the host stands for */
    uint32_t naddrs, next;                  /* those not tried begin at `next` */
    int err;                                /* of those tried */
    bool is_fresh; /* a connection of its own: none that may have been closed meanwhile */
};

/* Counts on the plan. The gateway has one (gateway->plan). */
void http_call_init(struct http_call *call, struct plan *plan,
                    const struct http_call_events *events);

void http_call_start(struct http_call *call);

/* So much more of the response's body may come. */
void http_call_grant(struct http_call *call, size_t n);

/* Breaks off what is under way, and gives everything back. May be called again. is_late: the endpoint took too long. */
void http_call_end(struct http_call *call, bool is_late);

#endif
