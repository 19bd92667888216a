/* SPDX-License-Identifier: Apache-2.0 */

/* Each thread keeps what it last read, in thread-local storage of the cheapest model (the program
 * is never dlopen'ed): reading the cached time is one load. The wall clock goes on with the
 * monotonic one and is compared with it now and then: a turn of a loop reads one clock. The offset
 * that tests set is added when a clock is read. */

#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

#include "base/text.h"

#define WALL_EVERY_US 10000u /* it may have been set meanwhile */

_Thread_local struct clock_cache clock_cache;

static _Thread_local uint64_t date_s; /* the second that `date` shows */
static _Thread_local char date[30];
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
    struct clock_cache *c = &clock_cache;

    c->us = clock_us_now();
    c->ms = c->us / 1000;
    if (c->us - c->wall_read_us >= WALL_EVERY_US) { /* also when the clock was moved back */
        c->wall_read_us = c->us;
        c->wall_us = read_us(CLOCK_REALTIME) + offset();
    }
    c->wall_ms = (c->wall_us + (c->us - c->wall_read_us)) / 1000;
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
    uint64_t now_s = clock_wall_ms() / 1000;

    if (UNLIKELY(now_s != date_s)) {
        text_http_date((time_t)now_s, date);
        date_s = now_s;
    }
    return date;
}
