/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_WIRE_H
#define MEMORY_WIRE_H

/* A wire in memory, in either role, for tests of what owns wires. The test plays the other side:
 * it says heads and bodies, which the owner hears within its credit when the loop turns, and it
 * looks at what the owner has ordered.
 *
 *     struct memory_wire mw;
 *     memory_wire_init(&mw, &ws.env);
 *     memory_wire_request(&mw, acceptor, owner, "GET", "/path", "X: y\r\n");     as a client would
 *     memory_wire_say(&mw, "body", true);
 *     assert_int_equal(mw.status, 200); assert_string_equal(mw.body, "hello");
 *
 * For a client wire: memory_wire_open instead, then memory_wire_respond and memory_wire_say. */

#include "base/buf.h"
#include "http/wire.h"
#include "net/loop.h"

struct memory_wire {
    struct wire wire;
    /* what the owner has ordered */
    int heads, interims; /* final ones, interim ones */
    int status;          /* of the last head (server wires) */
    enum method method;  /* (client wires) */
    char path[256];
    char fields[4096]; /* of the last head, "name: value\n" each */
    bool has_length;
    enum body_kind kind;
    uint64_t content_length;
    char body[64 * KIB];
    size_t len;
    char trailers[256];
    bool ended;  /* with head, body or finish */
    int aborted; /* the reason */
    bool released;
    size_t granted; /* all in all */
    /* what the test decides */
    bool full; /* body orders answer WIRE_FULL; memory_wire_room ends it */
    int fail;  /* body and head orders answer this negative code */
    /* its own */
    struct wire_env *env;
    struct later later;
    struct buf incoming;
    size_t credit;
    bool incoming_ends, end_told;
    int incoming_err;
    struct headers incoming_trailers;
    struct wire_peer peer;
};

void memory_wire_init(struct memory_wire *mw, struct wire_env *env);
void memory_wire_deinit(struct memory_wire *mw);

/* A request arrives: makes the arena and calls the acceptor's on_head. fields: lines of "Name:
 * value\r\n", parsed like a real head's (so Content-Length and Transfer-Encoding say that a body
 * follows). */
void memory_wire_request(struct memory_wire *mw, const struct wire_events *acceptor, void *owner,
                         const char *method, const char *target, const char *fields);

/* A wire for an owner that will send a request. */
struct wire *memory_wire_open(struct memory_wire *mw, struct arena *arena,
                              const struct wire_events *events, void *owner);

/* A response head arrives (interim ones too), as its bytes: "HTTP/1.1 200 OK\r\n...\r\n\r\n". */
void memory_wire_respond(struct memory_wire *mw, const char *head);

/* Body bytes arrive: heard within the credit, when the loop turns. */
void memory_wire_say(struct memory_wire *mw, const char *text, bool end);

/* The end, with one trailer field. */
void memory_wire_say_trailer(struct memory_wire *mw, const char *name, const char *value);

/* The other side is gone, once all that was said has been heard. */
void memory_wire_leave(struct memory_wire *mw, int err);

void memory_wire_room(struct memory_wire *mw);

/* Value of a field of the last head that was ordered, or NULL. Valid until the next call. */
const char *memory_wire_field(struct memory_wire *mw, const char *name);

#endif
