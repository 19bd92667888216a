/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOOPBACK_H
#define LOOPBACK_H

/* Real sockets for tests of floors 1 and up, and turning a loop until something has come true. */

#include "base/base.h"
#include "base/clock.h"
#include "net/addr.h"
#include "net/loop.h"
#include "support/test.h"

/* Turns l until cond holds; the test fails when it does not within 10 s. */
#define TURN_UNTIL(l, cond) \
    do { \
        uint64_t give_up_ = clock_us_now() + 10000000; \
        while (!(cond)) { \
            if (clock_us_now() > give_up_) \
                fail_msg("never came true: %s", #cond); \
            loop_turn(l, 20); \
        } \
    } while (0)

/* A connected pair of TCP sockets, both non-blocking. */
void loopback_pair(int fds[2]);

/* A listening TCP socket on a port of the system's choice; its address goes to *at. */
int loopback_listen(int backlog, struct addr *at);

/* A blocking TCP connection to `at`; a unix one when it is such. */
int loopback_connect(const struct addr *at);

/* Reads until the end, which must come; returns the bytes read. Blocking. */
size_t loopback_read_all(int fd, char *out, size_t size);

void loopback_set_blocking(int fd, bool blocking);

#endif
