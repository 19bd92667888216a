/* SPDX-License-Identifier: Apache-2.0 */

/* Workers with pools, an upstream with two endpoints and a named one, and wishes for
 * connections: what tests of the pool play with. Connections are fake_outbound's, names are
 * answered here. Every test ends in world_tear_down, which wants that nothing is left: no slot,
 * no connection, no waiting claim. */

#ifndef POOL_WORLD_H
#define POOL_WORLD_H

#include "gate/pool.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "support/test.h"

enum { WORKERS = 4, NAMED = 2, ENDPOINTS = 3 };

struct world_worker {
    struct loop *loop;
    struct mailbox *mailbox;
    struct wire_env wire;
    struct pool *pool;
};

extern struct world_worker workers[WORKERS];
extern struct upstream up;
extern struct target *targets[ENDPOINTS]; /* 10.0.0.1:8000, 10.0.0.2:8001, orders.internal:8080 */

/* How names end: three addresses, or an error, or never. */
extern struct world_names {
    int err;
    bool is_silent;
    int cancelled;
} names;

int world_set_up(void **state);
int world_tear_down(void **state);
void world_stop_worker(int worker);
struct wire_env world_env(struct loop *l);

/* Lets all workers run until nothing moves any more. */
void turn_all(void);

/* Moves the clock in steps, so that timers fire about when they should. */
void pass_time(int ms);

struct wish {
    struct pool_claim claim;
    int worker;
    bool got; /* on_done came, or it was there at once */
    int err;
    struct outbound *o;
};

void prepare(struct wish *w, int worker, int target);
int ask_prepared(struct wish *w);
int ask(struct wish *w, int worker, int target);

/* With a connection, in the end. */
void get(struct wish *w, int worker, int target);

#endif
