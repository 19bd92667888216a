/* SPDX-License-Identifier: Apache-2.0 */

/* Each thread keeps what it last read, in thread-local storage of the cheapest model (the program
 * is never dlopen'ed): reading the cached time is one load. The offset that tests set is added when
 * a clock is read. */

#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

#include "base/text.h"

struct clock_cache {
    uint64_t us; /* 0: never read in this thread */
    uint64_t ms;
    uint64_t wall_ms;
    uint64_t date_s; /* the second that `date` shows */
    char date[30];
};

static _Thread_local struct clock_cache cache __attribute__((tls_model("initial-exec")));
static atomic_int_fast64_t offset_us;

static uint64_t read_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t offset(void)
{
    return (uint64_t)atomic_load_explicit(&offset_us, memory_order_relaxed);
}

void clock_refresh(void)
{
    cache.us = clock_us_now();
    cache.ms = cache.us / 1000;
    cache.wall_ms = clock_wall_ms_now();
}

static inline const struct clock_cache *cached(void)
{
    if (UNLIKELY(cache.us == 0))
        clock_refresh();
    return &cache;
}

uint64_t clock_ms(void)
{
    return cached()->ms;
}

uint64_t clock_us(void)
{
    return cached()->us;
}

uint64_t clock_wall_ms(void)
{
    return cached()->wall_ms;
}

uint64_t clock_us_now(void)
{
    return read_us(CLOCK_MONOTONIC) + offset();
}

uint64_t clock_ns_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec + offset() * 1000;
}

uint64_t clock_wall_ms_now(void)
{
    return (read_us(CLOCK_REALTIME) + offset()) / 1000;
}

uint64_t clock_cpu_us(void)
{
    return read_us(CLOCK_THREAD_CPUTIME_ID);
}

void clock_advance_ms(int64_t by)
{
    atomic_fetch_add_explicit(&offset_us, by * 1000, memory_order_relaxed);
    clock_refresh();
}

const char *clock_http_date(void)
{
    uint64_t now_s = cached()->wall_ms / 1000;

    if (UNLIKELY(now_s != cache.date_s)) {
        text_http_date((time_t)now_s, cache.date);
        cache.date_s = now_s;
    }
    return cache.date;
}
