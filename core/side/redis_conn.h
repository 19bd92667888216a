/* SPDX-License-Identifier: Apache-2.0 */

/* One connection to a Redis server: dialled, greeted (AUTH, SELECT, PING), then commands out and replies in, in order.
 *
 *   DIALS -> GREETS -> READY -> (gone)
 *
 * Commands may be sent from the beginning; they leave once the server has been greeted, and what is sent within a turn
 * of the loop leaves in one write. A request that its sender has given up keeps its place, for its reply is still to
 * come; one that has not left is struck out. When the server says nothing for as long as the oldest request may wait,
 * the connection is dead.
 *
 * One that subscribes has no requests after its greeting: on_push is called for whatever comes.
 *
 * All on one loop's thread. Events come from the loop, never from inside a function of this file, but for the requests'
 * own that redis_conn_close ends. */

#ifndef DML_SIDE_REDIS_CONN_H
#define DML_SIDE_REDIS_CONN_H

#include "base/base.h"
#include "base/buf.h"
#include "base/list.h"
#include "net/loop.h"
#include "side/redis_reply.h"

struct addr;
struct dial;
struct dns;
struct redis_conn;
struct redis_server;
struct stream;

/* What the connections of one thread stand on. */
struct redis_env {
    struct loop *loop;
    struct dns *dns;
    int writer; /* of metric cells */
    bool (*is_denied)(void *arg, const struct addr *to);
    void *denied_arg;
    /* owned by redis.c */
    struct list spare; /* requests for the next commands */
    uint32_t nspare;
};

/* err 0: the replies, one value at the top for each command, which live during the call. Else NULL, and `why` for
 * people, or "". */
typedef void (*redis_reply_fn)(void *arg, int err, const char *why,
                               const struct redis_reply *reply);

struct redis_request {
    struct list link;
    /* borrowed */
    struct redis_conn *conn;
    redis_reply_fn fn; /* NULL: its sender has given it up */
    void *arg;
    /* state */
    uint32_t wanted; /* replies that are still to come */
    uint32_t timeout_ms;
    size_t size; /* bytes */
    uint64_t from_us;
};

/* Why it is down: a code, and a text for people; what the server said stands there word for word. */
struct redis_fault {
    int err;
    char text[160];
};

struct redis_conn_events {
    void (*on_ready)(struct redis_conn *c);

    /* It is lost; its requests are told next. */
    void (*on_gone)(struct redis_conn *c, const struct redis_fault *why);

    /* A request was answered, or ended in err (then reply is NULL), and is told so next. NULL: nobody
     * wants to know. */
    void (*on_end)(struct redis_conn *c, const struct redis_request *r, int err,
                   const struct redis_reply *reply);

    /* Of one that subscribes. */
    void (*on_push)(struct redis_conn *c, const struct redis_reply *reply);
};

enum redis_conn_state { REDIS_DIALS, REDIS_GREETS, REDIS_READY };

struct redis_conn {
    /* for its owner */
    struct list link;
    void *owner;
    const struct redis_conn_events *events;
    /* owned */
    struct redis_server *server; /* a reference */
    struct dial *dial;
    struct stream *stream;
    struct redis_codec *codec;
    struct buf out; /* commands that have not left */
    struct list requests;
    struct timer patience; /* connecting; then: for the next byte while replies are due */
    struct later flush;
    /* borrowed */
    struct redis_env *env;
    /* state */
    enum redis_conn_state state;
    uint32_t nrequests;
    bool is_gone;
    bool has_given_up; /* one of the requests that have not left was */
};

struct redis_conn *redis_conn_new(struct redis_env *env, struct redis_server *server,
                                  const struct redis_conn_events *events, void *owner);

/* Commands that leave together, their words in a row: nwords[i] of them are command i. ERR_FULL: more is on its way than
 * may be; ERR_LIMIT: they are too long. */
struct redis_batch {
    const struct slice *words;
    const uint32_t *nwords;
    uint32_t ncommands;
};

MUST_CHECK int redis_conn_send(struct redis_conn *c, const struct redis_batch *batch,
                               uint32_t timeout_ms, redis_reply_fn fn, void *arg,
                               struct redis_request **out);

/* A command to which what comes is pushed. */
MUST_CHECK int redis_conn_push(struct redis_conn *c, const struct redis_batch *batch);

/* fn is not called any more. */
void redis_request_give_up(struct redis_request *r);

/* While paused nothing is read. Only when READY. */
void redis_conn_pause(struct redis_conn *c, bool paused);

/* Ends it: its requests end in err; on_gone is not called. */
void redis_conn_close(struct redis_conn *c, int err);

#endif
