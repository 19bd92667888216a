/* SPDX-License-Identifier: Apache-2.0 */

#ifndef CLIENT_H
#define CLIENT_H

/* The test as a client of a real server end: it writes and reads bytes over TCP, and its struct
 * ear owns the wires. */

#include "http/inbound.h"
#include "net/listener.h"
#include "support/wires.h"

#define CLIENT_HOST "Host: a.example\r\n"
#define CLIENT_GET "GET / HTTP/1.1\r\n" CLIENT_HOST
#define CLIENT_POST "POST / HTTP/1.1\r\n" CLIENT_HOST

struct client {
    struct wires ws;
    struct inbound_set *set;
    struct listener *listener;
    struct listener_quota quota;
    struct addr at;
    struct ear ear;
    struct inbox inbox;
    int fd;
    /* of connections from now on */
    struct tls_server *tls;
    bool has_proxy_header;
};

int client_setup(void **state);
int client_teardown(void **state);
#define CLIENT_TEST(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)

/* Turns the loop until cond, reading what comes. */
#define CLIENT_UNTIL(c, cond) \
    TURN_UNTIL((c)->ws.env.loop, (inbox_read(&(c)->inbox, (c)->fd), (cond)))

/* Another connection; the fd of the one before is forgotten. */
void client_again(struct client *c);

/* A few turns; reads what has come. */
void client_turn(struct client *c);

/* Moves time and lets timers fire. */
void client_pass(struct client *c, int64_t ms);

bool client_got(struct client *c, const char *text);
void client_forget(struct client *c);

/* Sends with a turn after each piece. mode 0: whole; 1: byte by byte; else: random pieces. */
void client_deliver(struct client *c, const char *bytes, int mode);

#endif
