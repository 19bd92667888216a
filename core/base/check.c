/* SPDX-License-Identifier: Apache-2.0 */

/* What happens when a REQUIRE or a CHECK fails. A failing CHECK may sit on the request path and
 * fail a million times, so each place is logged once: places are remembered in a small table, and
 * when that is full (which takes more bugs than we want to read about) further ones are only
 * counted. */

#include "base/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define MAX_PLACES 256

static struct {
    const char *file;
    int line;
} places[MAX_PLACES];
static int nplaces;
static pthread_mutex_t places_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint_fast64_t failures;

static void report(const char *event, const char *file, int line, const char *func,
                   const char *cond)
{
    const struct log_field fields[] = {LOG_C("file", file), LOG_I("line", line),
                                       LOG_C("function", func)};

    log_write(NULL, LOG_ERROR, event, slice_from(cond), fields, COUNT_OF(fields));
}

static bool is_new_place(const char *file, int line)
{
    bool is_new = false;

    pthread_mutex_lock(&places_lock);
    int i = 0;
    while (i < nplaces && (places[i].line != line || strcmp(places[i].file, file) != 0))
        i++;
    if (i == nplaces && nplaces < MAX_PLACES) {
        places[nplaces].file = file;
        places[nplaces++].line = line;
        is_new = true;
    }
    pthread_mutex_unlock(&places_lock);
    return is_new;
}

void check_abort(const char *file, int line, const char *func, const char *cond)
{
    static _Thread_local bool is_aborting;

    /* Writing the line may itself fail a REQUIRE (no memory). */
    if (!is_aborting) {
        is_aborting = true;
        report("check.abort", file, line, func, cond);
    }
    abort();
}

bool check_failed(const char *file, int line, const char *func, const char *cond)
{
    atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
    if (is_new_place(file, line))
        report("check.failed", file, line, func, cond);
    return false;
}

uint64_t check_failures(void)
{
    return atomic_load_explicit(&failures, memory_order_relaxed);
}
