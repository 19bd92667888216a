/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRES_H
#define WIRES_H

/* What a test of wires needs: an environment with a loop, and an owner that writes down what it
 * hears. */

#include "base/buf.h"
#include "http/wire.h"
#include "support/loopback.h"

struct wires {
    struct wire_env env;
    struct blocks recv_blocks, head_blocks, arena_blocks;
    struct http_limits limits;
    /* bad heads that were answered by the wire itself */
    int bad_heads;
    int bad_status;
};

void wires_init(struct wires *ws);
/* Fails when a block was not given back. */
void wires_deinit(struct wires *ws);

/* One exchange's ears. Zero it, then set what is wanted. */
struct ear {
    /* wanted */
    size_t grant; /* at each head, and again whatever body has come; 0 = by hand */
    void (*on_head)(struct ear *e); /* called last in on_head; may give orders */
    void (*on_end)(struct ear *e);  /* called last when the message is complete; may give orders */
    void *arg;
    /* heard */
    struct wire *w;
    struct arena *arena; /* to be freed by ear_done */
    struct message *m;   /* the last head */
    int heads, interims, rooms;
    bool ended;
    int gone;
    char body[512 * KIB];
    size_t len;
    char trailer[64]; /* name of the first one */
};

extern const struct wire_events ear_events;

/* For server wires: an acceptor whose owner is a struct ear; each request resets what was heard. */
extern const struct wire_events ear_acceptor;

/* Releases the wire if it is still there, frees the arena. */
void ear_done(struct ear *e);

/* A response with a body of known length; released. */
void ear_answer(struct ear *e, int status, const char *body);

struct slice ear_header(struct ear *e, const char *name);

/* Non-blocking read of all that is there, appended; NUL-terminated. */
struct inbox {
    char text[512 * KIB];
    size_t len;
    bool eof, reset;
    uint64_t total; /* never forgotten */
};

bool inbox_read(struct inbox *in, int fd);
void put(int fd, const char *text);

#endif
