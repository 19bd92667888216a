/* SPDX-License-Identifier: Apache-2.0 */

/* One request/response pair: the centre of the program. It cannot see the wire (wire.h) nor Lua (phase.h).
 *
 *   down: the client's wire                                            up: the attempt's wire
 *      client --- request head, body ---> exchange ---> attempt ---> upstream
 *      client <-- response head, body --- exchange <--- attempt <--- upstream
 *
 *   HEAD -> REWRITE -> ACCESS -> UPSTREAM -> RESPONSE -> RELAY (or TUNNEL) -> LOG -> DONE
 *             |          |          |           |          |
 *             +----------+----------+-----------+----------+--> FAIL -> RESPONSE (an error answer) or LOG
 *
 * The state says where the decision lies. The two bodies are half-machines of their own (struct flow): a response may
 * start, and end, before the request body has. One function, exchange_to, changes the state.
 *
 * Hooks of one exchange never overlap: while one waits (x->phase != PHASE_NONE), body credit stops, and what happens
 * meanwhile (client gone, deadline, upstream's end) is noted and acted on when it has finished, or cancels it.
 *
 * Memory: x lives in its arena, which the server wire made (wire.h, rule 6). Thread: its worker's. */

#ifndef DML_GATE_EXCHANGE_H
#define DML_GATE_EXCHANGE_H

#include "base/buf.h"
#include "gate/attempt.h"
#include "gate/exchange_table.h"
#include "gate/phase.h"
#include "gate/router.h"
#include "http/uri.h"
#include "http/wire.h"

struct cache_use;
struct consumer;
struct gateway;
struct plan;

enum exchange_state {
    EXCHANGE_HEAD,     /* the request head is here, nothing decided */
    EXCHANGE_REWRITE,  /* global hooks, before routing */
    EXCHANGE_ACCESS,   /* routed; access hooks */
    EXCHANGE_UPSTREAM, /* attempts are under way */
    EXCHANGE_RESPONSE, /* a response head is ready; response hooks */
    EXCHANGE_RELAY,    /* the head is on its way down, bodies follow */
    EXCHANGE_TUNNEL,   /* raw bytes both ways */
    EXCHANGE_LOG,      /* cut loose from both wires; log hooks */
    EXCHANGE_DONE,
};

const char *exchange_state_name(enum exchange_state s);

/* One body on its way through. */
enum flow_state {
    FLOW_NONE,    /* there is no body */
    FLOW_HELD,    /* open, and nobody asks for it yet: no credit given */
    FLOW_COLLECT, /* a hook wants all of it; gathered in `held` up to the cap */
    FLOW_RELAY,   /* passed on as it comes */
    FLOW_ENDED,   /* all of it has come */
    FLOW_CUT,     /* given up: what still comes is dropped */
};

enum side { SIDE_REQUEST, SIDE_RESPONSE };

typedef void (*flow_fn)(void *arg, int err);

struct flow {
    enum flow_state state;
    bool is_replaced; /* body:set(): `held` is what goes on, whatever came */
    bool is_whole;    /* `held` has all of it: it can be read again, and replayed */
    bool is_full;     /* the wire it goes to said WIRE_FULL */
    bool keeps;       /* FLOW_RELAY: a copy goes to `held`, for another attempt */
    bool wants_all;   /* the waiter is served at the end only */
    int err;          /* why it was cut */
    uint64_t bytes;   /* come so far */
    size_t owed;      /* credit to give back when there is room */
    size_t ahead;     /* credit given already for bytes that a response hook has seen */
    struct buf held;
    size_t
        taken; /* of held (or of a reply's body): what a reader by chunks has had, what was sent */
    uint64_t limit;   /* of bytes; 0 = none */
    flow_fn on_ready; /* a waiting hook */
    void *arg;
};

struct exchange {
    /* owned */
    struct arena *arena;
    struct exchange_slot *slot; /* handle and timer */
    struct flow flows[2];       /* by enum side */

    /* borrowed */
    struct gateway *gateway;
    struct plan *plan; /* counted */
    struct wire *down; /* NULL once cut loose */
    struct message *request;
    struct message
        *response; /* NULL before there is one: upstream's, a reply's, or the gateway's own */
    const struct route *route;       /* NULL: none matched (yet) */
    struct upstream *upstream;       /* the route's, or chosen by a hook; NULL when none */
    const struct consumer *consumer; /* set by exchange_set_consumer */
    struct attempt *attempt; /* the one that hooks are about; the latest but for hedges; or NULL */
    struct attempt *rival;   /* another one that is under way beside it (hedge.h), or NULL */
    struct cache_use *cache; /* the response cache's part in it, or NULL */
    void *script;            /* the script floor's own (a waiting coroutine) */
    struct exchange_note *notes; /* what plugins keep beyond their VM (exchange_note.h), or NULL */

    /* state */
    double handle;
    uint32_t consumer_hooks; /* of the consumer's chain */
    enum exchange_state state;
    enum phase phase;    /* whose hooks run or wait now */
    int err;             /* why it failed, 0 while all is well (err.def) */
    int pending_err;     /* happened while a hook waited: acted on when it has finished */
    bool hook_waits;     /* run returned PHASE_WAITS */
    bool hook_failed;    /* a hook raised: 500 */
    bool ran_hooks;      /* phase_host forget is owed */
    bool keeps_context;  /* Lua keeps a ctx table for it */
    bool replied;        /* the answer is a plugin's or the gateway's own, not upstream's */
    bool reply_fresh;    /* a hook has replied just now */
    bool goes_on;        /* the next answer is for the response hooks behind the one that failed */
    bool head_is_down;   /* the final response head was sent to the client, or: */
    bool head_is_held;   /* it is settled, but waits for what the first body hook says */
    bool upstream_ended; /* noted while a body hook waited: the upstream's body is complete */
    bool is_cancelled;   /* later waits of hooks end at once */
    bool client_is_gone;
    bool is_own;             /* the gateway's own request (exchange_fetch.c): no client, no hooks */
    bool has_moved;          /* to the plan of a later configuration */
    bool is_past_body_hooks; /* ... while its response was being sent: it goes on without them */

    struct slice reply_body; /* of the gateway's or a plugin's answer */
    struct headers
        overlay; /* response headers set before there is a response; a removal has value.ptr NULL */

    struct slice id;   /* request id: set by the request-id plugin or made on first use */
    struct slice path; /* normalised */
    struct slice scheme;
    struct slice client_ip;
    struct slice tls_subject; /* of the verified client certificate; empty = none */
    struct slice tls_thumbprint;
    bool client_is_trusted; /* the peer is in trusted_proxies */
    struct slice claims; /* verified claims as JSON, set by an authenticating plugin; or absent */
    struct slice rewritten;     /* upstream path set by a hook; or absent */
    struct slice upstream_path; /* what the route makes of the path */

    /* the body hooks' chunk: in and out */
    struct slice chunk;
    char *chunk_mem; /* owns chunk while its hook waits, or NULL */
    bool chunk_is_last;
    bool chunk_replaced;    /* chunk_out stands for it */
    struct slice chunk_out; /* lives in the script floor until the next run */

    int attempts;         /* begun so far */
    uint64_t hedge_at_us; /* when another attempt may begin beside the one that waits; 0 = never */

    uint64_t start_us; /* head read */
    uint64_t start_wall_ms;
    uint64_t upstream_us; /* first attempt began; 0 = none */
    uint64_t head_us;     /* upstream's final head */
    uint64_t end_us;
    uint64_t bytes_down; /* body bytes sent to the client */

    struct route_match match; /* the last one: its params are never zeroed as a whole */
};

/* The acceptor of all server wires of a gateway (inbound_set_new; owner = struct gateway). */
extern const struct wire_events exchange_acceptor;

/* The begin of an exchange: a head from a server wire, whose arena becomes the exchange's. */
void exchange_accept(struct gateway *g, struct wire *w, struct message *m, bool end);

/* One without wires, for test.exchange: request is copied. The caller ends it with exchange_drop. */
struct exchange *exchange_new_detached(struct gateway *g, const struct message *request);
void exchange_drop(struct exchange *x);

/* Timer of the slots (gateway_init gives it to the table). */
void exchange_on_timer(struct timer *t);

/* --- for hooks (script floor) ---------------------------------------------------------------------------------- */

/* The phase's hooks have finished after PHASE_WAITS. May end x. Called from the loop only. */
void exchange_phase_done(struct exchange *x, enum phase_result result);

/* Answers the exchange. body is copied; headers may be NULL (borrowed until the exchange's end, or in its arena).
 * status 200..599. Replaces an earlier reply. The running phase's later hooks are skipped, but for the phase response,
 * whose later hooks see the reply instead. In phase body and log: ERR_ARG. */
MUST_CHECK int exchange_reply(struct exchange *x, int status, const struct headers *headers,
                              struct slice body);

/* Headers for response: the present one's, or, before there is one, the overlay. op: */
enum header_op { HEADER_SET, HEADER_ADD, HEADER_REMOVE };

/* Copies name and value. ERR_ARG: not allowed by RFC 9110, or the core's own (framing, hop-by-hop). Lookalikes
 * (X_Name) are removed with it. After the head has gone down: ERR_GONE. */
MUST_CHECK int exchange_header(struct exchange *x, enum side side, enum header_op op,
                               struct slice name, struct slice value);

/* In the overlay a field's note is the operation: OVERLAY_ADD or OVERLAY_SET. */
enum { OVERLAY_SET, OVERLAY_ADD };

/* Changes of the request before it goes upstream (rewrite: before routing too). ERR_ARG for what RFC 9110/3986 does not
 * allow. path is normalised. */
MUST_CHECK int exchange_set_path(struct exchange *x, struct slice path);
MUST_CHECK int exchange_set_query(struct exchange *x, struct slice query);
MUST_CHECK int exchange_set_method(struct exchange *x, struct slice method);
MUST_CHECK int exchange_set_host(struct exchange *x, struct slice host);
MUST_CHECK int exchange_set_status(struct exchange *x, int status);

/* The request's id: given by exchange_set_id, else made on first use (UUID v4). */
struct slice exchange_id(struct exchange *x);
void exchange_set_id(struct exchange *x, struct slice id);

/* Parameter by name, decoded (encoded: as it stood). Absent when there is none. */
struct slice exchange_param(struct exchange *x, struct slice name, bool encoded);

/* Bodies. collect: 0 = all of it is held now; ERR_AGAIN = fn(arg, err) later, from the loop; ERR_BODY_TOO_LARGE, ...
 * more: some bytes beyond flow.taken are held or the end has come (0), else as collect. One waiter at a time. */
MUST_CHECK int exchange_body_collect(struct exchange *x, enum side side, flow_fn fn, void *arg);
MUST_CHECK int exchange_body_more(struct exchange *x, enum side side, flow_fn fn, void *arg);
void exchange_body_forget(struct exchange *x, enum side side); /* the waiter is cancelled */
struct slice exchange_body_held(const struct exchange *x, enum side side);

/* Replaces it (copied). In response hooks, and for the request before it goes upstream; later ERR_GONE. */
MUST_CHECK int exchange_body_set(struct exchange *x, enum side side, struct slice content);

/* Body hooks: what goes on instead of x->chunk. Borrowed until the phase is done. */
void exchange_chunk_replace(struct exchange *x, struct slice out);

/* Attempt hooks: try again after delay. */
void exchange_retry(struct exchange *x, uint32_t delay_ms);

/* Which chains run for it, in forward order, and the union of their hooks. */
uint32_t exchange_hooks(const struct exchange *x);

/* NULL: nobody any more. Of the exchange's snapshot, or as long-lived as the exchange. */
void exchange_set_consumer(struct exchange *x, const struct consumer *c);

#endif
