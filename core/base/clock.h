/* SPDX-License-Identifier: Apache-2.0 */

/* Time. The monotonic clock is cached per thread and refreshed once a loop turn (clock_refresh);
 * durations and deadlines use it, in milliseconds or microseconds. The wall clock is for dates
 * people read. In tests both can be moved by hand. A deadline of 0 means none. */

#ifndef DML_BASE_CLOCK_H
#define DML_BASE_CLOCK_H

#include "base/base.h"

/* Reads the clocks for this thread; the loop calls it after each wake-up. */
void clock_refresh(void);

/* Cached, this thread. The first call in a thread refreshes. */
uint64_t clock_ms(void);      /* monotonic milliseconds */
uint64_t clock_us(void);      /* monotonic microseconds */
uint64_t clock_wall_ms(void); /* milliseconds since 1970 UTC */

/* Read now, not cached (about 25 ns); what a thread without a loop uses. */
uint64_t clock_us_now(void);
uint64_t clock_ns_now(void); /* monotonic nanoseconds, for what takes less than a microsecond */
uint64_t clock_wall_ms_now(void);

/* CPU time of the calling thread in microseconds. */
uint64_t clock_cpu_us(void);

/* Tests: moves all clocks but the CPU time. Calls add up. The calling thread sees it at once,
 * another one when it refreshes next. */
void clock_advance_ms(int64_t by);

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7), cached per second and thread; 29 bytes. */
const char *clock_http_date(void);

#endif
