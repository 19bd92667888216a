/* SPDX-License-Identifier: Apache-2.0 */

/* Taking counts first and looks then: of two who take the last one at the same time both may be refused, but
 * never do both get it. */

#include "side/budget.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/refs.h"
#include "side/tally.h"

enum { ASKED, TAKEN };

struct budget {
    struct slice key; /* window and name */
    atomic_int refs;
    struct tally tally;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map budgets;

static struct budget *budget_new(struct slice key, uint64_t window_ms)
{
    struct budget *b = calloc(1, sizeof(*b));

    REQUIRE(b != NULL);
    b->key = slice_of(slice_dup(key), key.len);
    tally_init(&b->tally, window_ms);
    map_set(&budgets, b->key, b);
    return b;
}

struct budget *budget_ref(struct slice name, uint64_t window_ms)
{
    char *text = NULL;
    int len = asprintf(&text, "%llu %.*s", (unsigned long long)window_ms, SLICE_ARG(name));

    REQUIRE(len >= 0);
    struct slice key = slice_of(text, (size_t)len);
    pthread_mutex_lock(&lock);
    struct budget *b = map_find(&budgets, key);
    if (!b)
        b = budget_new(key, window_ms);
    atomic_fetch_add(&b->refs, 1);
    pthread_mutex_unlock(&lock);
    free(text);
    return b;
}

struct budget *budget_hold(struct budget *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void budget_unref(struct budget *b)
{
    if (refs_drop_unless_last(&b->refs))
        return;

    pthread_mutex_lock(&lock);
    bool is_last = atomic_fetch_sub(&b->refs, 1) == 1;
    if (is_last) {
        map_remove(&budgets, b->key);
        if (budgets.n == 0)
            map_deinit(&budgets);
    }
    pthread_mutex_unlock(&lock);
    if (is_last) {
        free((char *)b->key.ptr);
        free(b);
    }
}

void budget_count(struct budget *b)
{
    tally_add(&b->tally, ASKED, clock_ms());
}

bool budget_take(struct budget *b, double share, uint32_t least)
{
    uint64_t now = clock_ms();
    uint32_t slot = tally_add(&b->tally, TAKEN, now);
    double allowed = share * (double)tally_sum(&b->tally, ASKED, now);

    if ((double)tally_sum(&b->tally, TAKEN, now) <= MAX(allowed, (double)least))
        return true;
    tally_take_back(&b->tally, TAKEN, slot);
    return false;
}

void budget_counts(const struct budget *b, struct budget_counts *out)
{
    uint64_t now = clock_ms();

    out->asked = tally_sum(&b->tally, ASKED, now);
    out->taken = tally_sum(&b->tally, TAKEN, now);
}
