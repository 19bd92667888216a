/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts, for Lua. An attempt is named by its number; the latest is what balance and attempt hooks are about. */

#include <math.h>

#include "base/clock.h"
#include "gate/target.h"
#include "gate/upstream.h"
#include "script/api_find.h"

#define LONGEST_S (24.0 * 3600)

static struct attempt *find_attempt(struct exchange *x, int number)
{
    struct attempt *a = x->attempt;

    while (a && a->number != number)
        a = a->previous;
    return a;
}

static struct slice endpoint_of(const struct attempt *a)
{
    return a->endpoint ? a->endpoint->address : SLICE_NONE;
}

int dml_attempt_text(struct gateway *g, double handle, int number, int which, struct dml_slice *out)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    const struct attempt *a = find_attempt(x, number);
    if (!a)
        return ERR_NOT_FOUND;
    switch ((enum dml_attempt_text)which) {
    case DML_ATTEMPT_UPSTREAM: return api_give(out, a->upstream->name);
    case DML_ATTEMPT_ENDPOINT: return api_give(out, endpoint_of(a));
    case DML_ATTEMPT_ERROR: return api_give(out, slice_from(attempt_error_word(a)));
    }
    return ERR_ARG;
}

/* A failed one lasted until the next began, or the exchange ended. */
static double duration_of(const struct exchange *x, const struct attempt *a)
{
    uint64_t end = x->end_us;

    for (const struct attempt *next = x->attempt; next != a; next = next->previous)
        end = next->start_us;
    if (a->head_us)
        end = a->head_us;
    if (!end)
        end = clock_us_now();
    return end > a->start_us ? (double)(end - a->start_us) / 1e6 : 0;
}

double dml_attempt_number(struct gateway *g, double handle, int number, int which)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    const struct attempt *a = find_attempt(x, number);
    if (!a)
        return ERR_NOT_FOUND;
    switch ((enum dml_attempt_number)which) {
    case DML_ATTEMPT_STATUS: return a->response ? a->response->status : ERR_NOT_FOUND;
    case DML_ATTEMPT_DURATION: return duration_of(x, a);
    case DML_ATTEMPT_CONNECT_TIMEOUT: return a->connect_timeout_ms / 1000.0;
    case DML_ATTEMPT_TIMEOUT: return a->timeout_ms / 1000.0;
    }
    return ERR_ARG;
}

/* The attempt that a balance hook may still change: the latest, before it connects. */
static int find_open(struct gateway *g, double handle, struct attempt **out)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    if (!x->attempt || x->attempt->state != ATTEMPT_PICK)
        return ERR_LIMIT;
    *out = x->attempt;
    return 0;
}

int dml_attempt_set_timeout(struct gateway *g, double handle, int number, int which, double seconds)
{
    struct attempt *a;
    int rc = find_open(g, handle, &a);

    if (rc < 0)
        return rc;
    if (a->number != number)
        return ERR_LIMIT;
    if (!(seconds >= 0.001 && seconds <= LONGEST_S))
        return ERR_ARG;
    uint32_t ms = (uint32_t)ceil(seconds * 1000);
    if (which == DML_ATTEMPT_CONNECT_TIMEOUT)
        a->connect_timeout_ms = ms;
    else
        a->timeout_ms = ms;
    return 0;
}

int dml_attempt_set_endpoint(struct gateway *g, double handle, int number, const char *ptr,
                             size_t len)
{
    struct attempt *a;
    int rc = find_open(g, handle, &a);

    if (rc < 0)
        return rc;
    if (a->number != number)
        return ERR_LIMIT;
    for (uint32_t i = 0; i < a->upstream->nendpoints; i++) {
        if (slice_eq(a->upstream->endpoints[i].address, slice_of(ptr, len))) {
            a->endpoint = &a->upstream->endpoints[i];
            return 0;
        }
    }
    return ERR_NOT_FOUND;
}

int dml_retry(struct gateway *g, double handle, double delay)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    if (x->phase != PHASE_ATTEMPT || !x->attempt)
        return ERR_LIMIT;
    if (!(delay >= 0 && delay <= LONGEST_S))
        return ERR_ARG;
    exchange_retry(x, (uint32_t)ceil(delay * 1000));
    return 0;
}
