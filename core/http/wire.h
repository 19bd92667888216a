/* SPDX-License-Identifier: Apache-2.0 */

/* The seam between an exchange and what carries it. A wire is one request/response pair on one
 * connection, seen from one end. HTTP/1, HTTP/2 and the loopback of the tests implement it; the
 * exchange cannot tell which.
 *
 *                       orders: head body finish abort grant release
 *        owner  -------------------------------------------------------->  wire
 *     (exchange,                                           (h1_server: hears requests,
 *      attempt)  <------------------------------------------ h1_client: hears responses,
 *                       events: on_head on_body on_room on_gone      h2..., in memory)
 *
 * Glossary
 *   server wire   hears a request, is told a response. It exists before its owner: its first event,
 *                 on_head, goes to the acceptor that was given to its connection, which makes an
 *                 exchange and sets events and owner.
 *   client wire   is told a request, hears a response. Opened on an upstream connection for an
 *                 owner.
 *   credit        how many more body bytes the wire may deliver. It starts at 0: no body arrives
 *                 that nobody asked for, and a stalled reader stalls the sender. Heads need no
 *                 credit. The end of a body needs none.
 *   end           this is the last of the message. Trailers, if any, lie in w->trailers when
 *                 on_body says end.
 *   interim       a response head with a status of 1xx but 101; the final one is still to come.
 *   tunnel        after a head with body BODY_TUNNEL both directions are raw bytes; end is a
 *                 half-close.
 *
 * Rules
 *   1. Events come from the loop or from the wire's own pump: never from inside head, body, finish,
 *      grant. (Inside grant a wire that holds bytes only queues its pump for the end of the turn,
 *      or goes on when its pump is already on the stack.)
 *   2. Pieces given to body (either way) are borrowed for the call. on_body delivers all spans of
 *      one read at once.
 *   3. What head, body and finish are given may be held back until the end of the turn, so that a
 *      short message leaves in one system call, and all those of a turn behind each other. That
 *      it could not be sent is then told by on_gone.
 *   4. After on_gone, and after abort, no event follows. After on_gone the owner still calls
 *      release. abort releases. A server wire that said ERR_BAD_REQUEST or ERR_REQUEST_TIMEOUT
 *      still takes an answer; its connection closes. It may say on_room then, and on_gone once more
 *      when its client has left before the answer was complete.
 *   5. release: the owner is done with this wire. When both messages are complete the connection
 *      lives on (keep-alive, pool); when not, the wire cuts it off as its protocol can.
 *   6. Memory: what on_head delivers (struct message, its slices, trailers, peer) lives in the
 *      arena of the exchange. A server wire makes that arena (w->arena) and gives it away with
 *      on_head: the owner frees it, after release or abort. To a client wire it is given when it is
 *      opened. A head is copied into it, so that neither depends on how long the other's memory
 *      lives. */

#ifndef DML_HTTP_WIRE_H
#define DML_HTTP_WIRE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/blocks.h"
#include "base/slice.h"
#include "http/message.h"
#include "net/addr.h"
#include "net/loop.h"

struct h1_conn;
struct tls_end;
struct tls_handshake;
struct tls_hello;
struct wire;

enum { WIRE_FULL = 1 }; /* taken, but hold back until on_room */

struct wire_orders {
    /* Sends a head (request or response, interim ones too). 0 or a negative code. m and what it
     * points to must stay until the call returns. */
    int (*head)(struct wire *w, const struct message *m, bool end);

    /* Sends body bytes; 0, WIRE_FULL, or a negative code (the wire is broken: release or abort
     * it). A server wire drops the bytes of an answer to HEAD, 204, 304. */
    int (*body)(struct wire *w, const struct slice *pieces, int n, bool end);

    /* The end that was not said with head or body. trailers may be NULL. */
    int (*finish)(struct wire *w, const struct headers *trailers);

    /* Breaks the message off so that the peer can tell it is not whole. why is for the log. */
    void (*abort)(struct wire *w, int why);

    /* n more bytes may be delivered by on_body. */
    void (*grant)(struct wire *w, size_t n);

    void (*release)(struct wire *w);
};

struct wire_events {
    /* m lives in the arena (rule 6). end: no body follows. A client wire may deliver interim
     * heads first. */
    void (*on_head)(void *owner, struct wire *w, struct message *m, bool end);

    void (*on_body)(void *owner, struct wire *w, const struct slice *pieces, int n, bool end);

    /* After WIRE_FULL: there is room again. */
    void (*on_room)(void *owner, struct wire *w);

    /* The other side is gone or broke the rules: ERR_CLOSED, ERR_RESET, ERR_TIMEOUT (a head or
     * body that did not come in time), ERR_REQUEST_TIMEOUT, ERR_BAD_REQUEST (server: framing of
     * the body), ERR_PROTOCOL (client), ... */
    void (*on_gone)(void *owner, struct wire *w, int err);
};

struct wire {
    /* borrowed */
    const struct wire_orders *orders;
    const struct wire_events *events; /* set by the owner */
    void *owner;
    const struct wire_peer *peer; /* server: who is at the other end; lives in the arena */
    /* owned until given away (rule 6) */
    struct arena *arena;
    /* state */
    const struct headers *trailers; /* after end: what came behind the body, or NULL */
    const char *why; /* after on_gone(ERR_PROTOCOL, ERR_BAD_REQUEST): a sentence for the log */
    /* client: longest wait for the response head, from the request's last byte; 0 = none */
    uint32_t head_ms;
    /* client: longest silence: between body bytes either way; in a tunnel; 0 = the default */
    uint32_t idle_ms;
    /* server: longest silence between bytes of the request's body; 0 = the default. (While the
     * client takes nothing of the response, and in a tunnel, idle_timeout holds.) */
    uint32_t body_ms;
    bool untouched : 1; /* client: not a byte of the response has come */
    bool unsent : 1;    /* client: not a byte of the request was written */
    bool reused : 1;    /* client: the connection had carried a request before */
    bool head_held : 1; /* server: nothing follows the head yet (rule 3): another takes its place */
    /* client: so far before the owner lies something else that a response will be about: WIRE_AHEAD bytes
     * of it, and the owner, come into the cache while the kernel is asked for one. 0: no such thing */
    uint16_t ahead;
};

/* What is known of the connection's other end. */
struct wire_peer {
    struct addr address; /* of the socket, or what a PROXY header said */
    struct addr local;
    struct slice ip; /* printed, no port; "unix:" of every peer on a unix socket */
    bool is_tls;
    bool is_asked;            /* TLS: its listener asks for client certificates */
    bool is_trusted;          /* set by the acceptor: in trusted_proxies */
    struct slice tls_subject; /* of the verified client certificate, or empty */
    struct slice tls_thumbprint;
    struct slice server_name; /* TLS: that was asked for, in lower case, or empty */
    int listener; /* index in the configuration that is current when the request comes; -1: a reload
                     has taken the listener away */
};

#define WIRE_RECV_BLOCK (16 * KIB)
#define WIRE_HEAD_BLOCK (4 * KIB)
#define WIRE_ARENA_BLOCK (8 * KIB)
#define WIRE_SCRATCH (128 * KIB)
#define WIRE_LEAVING_MAX 64
#define WIRE_AHEAD 704
#define WIRE_AHEAD_OWNER 256

/* What all wires of a thread share. Filled by the worker. */
struct wire_env {
    struct loop *loop;
    struct blocks *recv_blocks; /* WIRE_RECV_BLOCK bytes: what was read and has to wait */
    struct blocks
        *head_blocks; /* WIRE_HEAD_BLOCK bytes: a head that leaves, and what fits behind it */
    struct blocks *arena_blocks; /* WIRE_ARENA_BLOCK bytes: the first of an exchange's arena */
    char *scratch; /* WIRE_SCRATCH bytes: all is read here and passed on before the next read */
    const struct http_limits *limits; /* replaced at a reload */
    bool draining;                    /* server wires: close after the next answer */
    bool retiring;                    /* the same, but not after an answer that has not said so */
    /* A head that can't be parsed has been answered by the wire itself, and the client was told
     * this id: log it and count it. May be NULL. */
    void (*on_bad_head)(void *owner, const struct wire_peer *peer, int err, const char *why,
                        struct slice id);
    /* A client has said hello by TLS: to be answered with tls_go_on or tls_refuse. NULL: nobody
     * wants to choose its certificate. */
    void (*on_hello)(void *owner, const struct wire_peer *peer, struct tls_handshake *h,
                     const struct tls_hello *hello);
    /* A TLS handshake has ended, of a client or (peer NULL) with an upstream of this name. May be
     * NULL. */
    void (*on_handshake)(void *owner, const struct wire_peer *peer, struct slice upstream,
                         const struct tls_end *end);
    /* For connections with PROXY headers (inbound.h): is this address one of trusted_proxies? And what
     * came from a peer in place of a header; why may be NULL. */
    bool (*is_trusted)(void *owner, const struct addr *a);
    void (*on_bad_proxy)(void *owner, const struct addr *peer, int err, const char *why);
    void *owner;              /* of these */
    struct slice server_name; /* value of Server in answers of the wire's own */
    /* h1_out.c's own, zero at first: connections with messages that leave at the end of the turn. One
     * that was closed meanwhile leaves a gap. */
    struct h1_conn *leaving[WIRE_LEAVING_MAX];
    struct later leave;
    uint32_t nleaving, ngaps;
};

static inline int wire_head(struct wire *w, const struct message *m, bool end)
{
    return w->orders->head(w, m, end);
}

static inline int wire_body(struct wire *w, const struct slice *pieces, int n, bool end)
{
    return w->orders->body(w, pieces, n, end);
}

static inline int wire_finish(struct wire *w, const struct headers *trailers)
{
    return w->orders->finish(w, trailers);
}

static inline void wire_abort(struct wire *w, int why)
{
    w->orders->abort(w, why);
}

static inline void wire_grant(struct wire *w, size_t n)
{
    w->orders->grant(w, n);
}

static inline void wire_release(struct wire *w)
{
    w->orders->release(w);
}

#endif
