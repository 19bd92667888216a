/* SPDX-License-Identifier: Apache-2.0 */

/* What both ends of an HTTP/1 connection share. Internal to core/http: h1_server.c and
 * h1_client.c are its roles.
 *
 *   reading   A read goes to the thread's scratch memory, and what is used of it at once never lies
 *             anywhere else. What is left (a piece of a head, a body without credit, a pipelined
 *             request) is kept in `hold`, a block that is given back when it is empty. When hold is
 *             full, reading pauses.
 *   the pump  calls the role's step until nothing more can be done with the bytes at hand. Events
 *             are delivered from steps only, and every order may be given inside of them: after
 *             each one the role looks anew.
 *   writing   A head is serialised into a block and waits there for the first body bytes, the end,
 *             or the end of the turn. How the body is framed is decided then (the head is closed): a
 *             body that is whole by then gets a length. A closed head with a short body behind it
 *             waits for the end of the turn, when all that do so leave one after the other. */

#ifndef DML_HTTP_H1_CONN_H
#define DML_HTTP_H1_CONN_H

#include "base/base.h"
#include "base/slice.h"
#include "http/h1_body.h"
#include "http/wire.h"
#include "net/loop.h"
#include "net/stream.h"

struct h1_conn;

struct h1_scan {
    uint32_t pos;   /* looked at */
    uint32_t line;  /* where the line at pos begins */
    uint32_t lines; /* before it */
};

enum h1_in {
    H1_IN_HEAD, /* waits for a head, or has a piece of one */
    H1_IN_BODY,
    H1_IN_DONE, /* the message is complete */
    H1_IN_TUNNEL,
    H1_IN_DROP, /* the rest of a body that nobody wants any more */
};

enum h1_out {
    H1_OUT_NONE, /* no (final) head yet */
    H1_OUT_OPEN,
    H1_OUT_DONE,
};

/* A block of bytes that wait. Its own numbers lie in it, so that an idle connection pays a
 * pointer. */
struct h1_block {
    uint32_t start, end; /* what is in it: bytes[start..end) */
    uint32_t size;       /* of all of it */
    char bytes[];
};

/* What may wait before reading pauses (but a head may be larger): what fits a block of the pool. */
#define H1_HOLD_MAX (WIRE_RECV_BLOCK - sizeof(struct h1_block))

enum h1_wait {
    H1_WAIT_NONE,
    H1_WAIT_IDLE, /* for the first byte of a message */
    H1_WAIT_HEAD, /* for the rest of a head, or for a response */
    H1_WAIT_BODY, /* for content that was asked for */
    H1_WAIT_DROP,
    H1_WAIT_TUNNEL,
    H1_WAIT_LEAVING, /* for nothing: from time to time to see whether the peer is still there */
};

struct h1_role {
    /* Uses what it can of *c->view. False: nothing more to be done now. */
    bool (*step)(struct h1_conn *c);
    /* No step is left to do, and reading has ended (c->eof). */
    void (*on_eof)(struct h1_conn *c);
    /* Says by h1_conn_wait what is waited for now. No events. */
    void (*wait)(struct h1_conn *c);
    /* How many bytes to read next; 0 = none until something changes. */
    size_t (*want)(struct h1_conn *c);
    /* Bytes have arrived (or the end); not yet looked at. False: the connection is gone. May be
     * NULL. */
    bool (*on_bytes)(struct h1_conn *c);
    /* The connection fields of the head that leaves now; end: the message ends with it. */
    struct slice (*connection)(struct h1_conn *c, bool end);
    /* The body broke its framing: ERR_BAD_REQUEST. */
    void (*on_bad_body)(struct h1_conn *c);
    void (*on_deadline)(struct h1_conn *c);
    /* Nothing can be sent any more. */
    void (*on_lost)(struct h1_conn *c, int err);
};

struct h1_conn {
    struct wire wire;
    /* borrowed */
    struct wire_env *env;
    const struct h1_role *role;
    struct slice *view; /* the unread bytes while the pump runs, else NULL */
    /* owned */
    struct stream *stream; /* NULL when closed */
    struct h1_block *hold; /* unread bytes between pumps, or NULL */
    struct h1_block *head; /* a serialised head that has not left, or NULL */
    struct h1_body body;
    struct timer timer;
    struct later later;
    /* state */
    size_t credit;
    uint64_t sent_before;     /* bytes that the stream had sent when the wire was opened */
    uint64_t out_left;        /* of a body with a length */
    uint64_t in_due, out_due; /* deadlines, 0 = none */
    uint32_t out_mark;        /* bytes sent when out_due was set (their low bits) */
    uint32_t in_ms;           /* in_due is so long after the last byte */
    struct h1_scan scan;
    int eof;       /* what ended the reading side, or 0 */
    int out_err;   /* what ended the writing side, where its owner was not told so at once */
    uint8_t waits; /* enum h1_wait */
    uint8_t in;    /* enum h1_in */
    uint8_t out;   /* enum h1_out */
    uint8_t kind;  /* enum body_kind of what is sent */
    bool later_is_heads : 1; /* `later` is queued for the head alone */
    bool head_closed : 1;    /* the body's framing is in c->head, and perhaps some of the body */
    uint8_t leaving;         /* index in env->leaving + 1: it leaves at the end of the turn; or 0 */
    bool chunked;
    bool silent;   /* the content is not sent: HEAD, 204, 304 */
    bool old_peer; /* HTTP/1.0 */
    bool owned;    /* between open or on_head and release */
    bool gone;     /* no event may follow */
    bool full;     /* WIRE_FULL was said, on_room is owed */
};

void h1_conn_init(struct h1_conn *c, struct wire_env *env, struct stream *s,
                  const struct wire_orders *orders, const struct h1_role *role);

/* Forgets what belongs to one exchange. */
void h1_conn_reset(struct h1_conn *c);

/* Closes the stream, gives memory back, stops the clock. The struct stays. */
void h1_conn_close(struct h1_conn *c);
void h1_conn_close_gently(struct h1_conn *c);
/* With a reset, where an ordinary end would look like the end of the message. */
void h1_conn_close_hard(struct h1_conn *c);

/* Reads once, as when the stream has become readable. */
void h1_conn_read(struct h1_conn *c);

/* What is to be done at the end of the turn: a head leaves that has waited for its body, on_lost is told, hold is looked at.
 * h1_conn_later_head: the first alone; it is taken back when the body has come. */
void h1_conn_later(struct h1_conn *c);
void h1_conn_later_head(struct h1_conn *c);

/* Is there something that only a pump at the end of the turn would look at? */
static inline bool h1_conn_wants_pump(const struct h1_conn *c)
{
    return c->eof != 0 || c->hold != NULL || c->in == H1_IN_DROP || c->in == H1_IN_TUNNEL;
}

/* Goes on with what is in hold, at the end of the turn. */
void h1_conn_pump_later(struct h1_conn *c);

/* Steps that roles share: the body or the tunnel's bytes within the credit. */
bool h1_conn_step_body(struct h1_conn *c);
bool h1_conn_step_tunnel(struct h1_conn *c);

/* Order grant. */
void h1_conn_grant(struct h1_conn *c, size_t n);

/* What has arrived and was not used. */
struct slice h1_conn_unread(const struct h1_conn *c);
bool h1_conn_is_empty(const struct h1_conn *c);
size_t h1_conn_held(const struct h1_conn *c);

/* For roles' want: what hold still has room for; what a body or tunnel may read by its credit. */
size_t h1_conn_want_held(const struct h1_conn *c);
size_t h1_conn_want_body(const struct h1_conn *c);

/* Pauses or resumes reading by what the role wants. */
void h1_conn_watch(struct h1_conn *c);

/* The peer has closed its half of a tunnel: tells the owner once all before it was delivered. */
void h1_conn_end_tunnel(struct h1_conn *c);

/* Blocks for bytes that were read, or for heads, which are smaller: of a pool when `size` bytes fit
 * one, else from the heap. */
struct h1_block *h1_block_take(struct h1_conn *c, size_t size);
struct h1_block *h1_block_take_head(struct h1_conn *c, size_t size);
void h1_block_give(struct h1_conn *c, struct h1_block *b);

/* Memory for a head of `size` bytes and what h1_conn_write puts behind it; then how many there
 * are. */
char *h1_conn_head_room(struct h1_conn *c, size_t size);
void h1_conn_head_ready(struct h1_conn *c, const char *end);
void h1_conn_drop_head(struct h1_conn *c);

/* Sends the waiting head as an interim one. */
int h1_conn_write_interim(struct h1_conn *c);

/* Sends what waits for the end of the turn. 0, WIRE_FULL, or a negative code. */
int h1_conn_flush(struct h1_conn *c);

/* Sends the waiting head, the pieces, the end; perhaps at the end of the turn. 0, WIRE_FULL, or a
 * negative code. */
int h1_conn_write(struct h1_conn *c, const struct slice *pieces, int n, bool end,
                  const struct headers *trailers);

/* What is waited for from now on, and how long. The same as before keeps its deadline. */
void h1_conn_wait(struct h1_conn *c, enum h1_wait what, uint32_t ms);

/* Asks the role what it waits for, and sets the timer. */
void h1_conn_rearm(struct h1_conn *c);

/* Whether out_due has passed without a byte sent since; sets it anew otherwise. */
bool h1_conn_is_stalled(struct h1_conn *c);

/* After on_gone(err) no event follows. The stream is closed. */
void h1_conn_gone(struct h1_conn *c, int err);

uint32_t h1_conn_idle_ms(const struct h1_conn *c);

#endif
