/* SPDX-License-Identifier: Apache-2.0 */

/* Key -> one owner and a list of waiting ones, over all workers: one does a thing, the rest wait
 * for its result. Used for store.once, cache misses, key sets.
 *
 * join: the first becomes the owner and must land or drop the flight within lease_ms; the others
 * wait. land: the owner hands its bytes to every waiter (each gets a copy by mail) and the key
 * is free again. drop: the owner failed: the first waiter becomes the new owner (it is told so).
 * When a lease runs out, the same happens (flights_sweep), and what the late owner still lands or
 * drops counts for nothing. A waiter may leave. Bounded: at most max_waiters per key (ERR_FULL). */

#ifndef DML_SIDE_FLIGHT_H
#define DML_SIDE_FLIGHT_H

#include "base/base.h"
#include "base/slice.h"
#include "net/mailbox.h"

struct flights;
struct flight_seat; /* one joined caller, owner or waiter */

enum flight_event { FLIGHT_LANDED, FLIGHT_OWNER };

/* On the waiter's own thread. value is valid during the call (FLIGHT_LANDED); after
 * FLIGHT_LANDED the seat is gone. */
typedef void (*flight_fn)(void *arg, enum flight_event event, struct slice value);

/* The process's, for what goes by keys; they live until the process ends. */
struct flights *flights_shared(void);

struct flights *flights_new(void);
void flights_free(struct flights *f); /* every seat has been given up */

enum { FLIGHT_IS_OWNER = 0, FLIGHT_WAITS = 1 };

/* mailbox: of the calling thread; fn(arg) comes through it. lease_ms counts from when the caller
 * is the owner. Returns FLIGHT_IS_OWNER or FLIGHT_WAITS with *seat set, or ERR_FULL. */
MUST_CHECK int flight_join(struct flights *f, struct slice key, uint64_t lease_ms,
                           size_t max_waiters, struct mailbox *mailbox, flight_fn fn, void *arg,
                           struct flight_seat **seat);

/* Owner only; the seat is gone afterwards. */
void flight_land(struct flight_seat *seat, struct slice value);
void flight_drop(struct flight_seat *seat);

/* A waiter leaves (cancelled): fn is not called any more; the seat is gone afterwards. An
 * owner's leave is a drop. */
void flight_leave(struct flight_seat *seat);

/* Control thread, about once in 100 ms: ends leases that ran out. */
void flights_sweep(struct flights *f);

#endif
