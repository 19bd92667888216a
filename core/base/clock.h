/* SPDX-License-Identifier: Apache-2.0 */

/* Time. The monotonic clock is cached per thread and refreshed once a loop turn (clock_refresh);
 * durations and deadlines use it, in milliseconds or microseconds. The wall clock is for dates
 * people read. In tests both can be moved by hand. A deadline of 0 means none. */

#ifndef DML_BASE_CLOCK_H
#define DML_BASE_CLOCK_H

#include "base/base.h"

/* What a thread has read last; for this header and clock.c only. */
struct clock_cache {
    uint64_t us; /* 0: never read in this thread */
    uint64_t ms;
    uint64_t wall_ms;
    uint64_t wall_us, wall_read_us; /* what the wall clock said, and when that was */
};

extern _Thread_local struct clock_cache clock_cache __attribute__((tls_model("initial-exec")));

/* Reads the clocks for this thread; the loop calls it after each wake-up. */
void clock_refresh(void);

static inline const struct clock_cache *clock_cached(void)
{
    if (UNLIKELY(clock_cache.us == 0))
        clock_refresh();
    return &clock_cache;
}

/* Cached, this thread. The first call in a thread refreshes. */
static inline uint64_t clock_ms(void) /* monotonic milliseconds */
{
    return clock_cached()->ms;
}

static inline uint64_t clock_us(void) /* monotonic microseconds */
{
    return clock_cached()->us;
}

static inline uint64_t clock_wall_ms(void) /* milliseconds since 1970 UTC */
{
    return clock_cached()->wall_ms;
}

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
