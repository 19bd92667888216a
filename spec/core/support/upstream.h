/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UPSTREAM_H
#define UPSTREAM_H

/* The test as the upstream of a real client end: it accepts one connection of an outbound, writes
 * and reads bytes, and its struct ear owns the wires. */

#include "http/outbound.h"
#include "support/wires.h"

struct upstream {
    struct wires ws;
    struct addr at;
    int listening, fd;
    struct outbound *o;
    int connects, idles, closes, err;
    struct ear ear;
    struct inbox inbox;
};

int upstream_setup(void **state);
int upstream_teardown(void **state);
#define UPSTREAM_TEST(name) cmocka_unit_test_setup_teardown(name, upstream_setup, upstream_teardown)

/* Turns the loop until cond, reading what comes. */
#define UPSTREAM_UNTIL(u, cond) \
    TURN_UNTIL((u)->ws.env.loop, (inbox_read(&(u)->inbox, (u)->fd), (cond)))

extern const struct outbound_events upstream_events; /* their owner is the struct upstream */

/* An outbound that has connected to us. */
void upstream_connect(struct upstream *u);

/* Ends this connection however it stands, and makes a new one. */
void upstream_again(struct upstream *u);

/* A wire with an arena for the ear. */
void upstream_open(struct upstream *u);
struct message upstream_request(struct upstream *u, enum method method);

/* A request without content, on its way. */
void upstream_ask(struct upstream *u, enum method method);

/* Sends with a turn after each piece. mode 0: whole; 1: byte by byte; else: random pieces. */
void upstream_deliver(struct upstream *u, const char *bytes, int mode);

/* Moves time and lets timers fire. */
void upstream_pass(struct upstream *u, int64_t ms);

bool upstream_got(struct upstream *u, const char *text);
void upstream_forget(struct upstream *u);

#endif
