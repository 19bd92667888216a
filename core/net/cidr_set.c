/* SPDX-License-Identifier: Apache-2.0 */

#include "net/cidr_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

static struct cidr_range range_of(const struct cidr *network)
{
    struct cidr_range r = {.first = {network->v6}, .last = {network->v6}};
    size_t len = network->v6 ? 16 : 4;

    memcpy(r.first + 1, network->bytes, len);
    memcpy(r.last + 1, network->bytes, len);
    for (size_t i = 0; i < len; i++) {
        size_t kept = network->bits > i * 8 ? MIN(network->bits - i * 8, 8) : 0;
        r.last[1 + i] |= (uint8_t)(0xff >> kept);
    }
    return r;
}

void cidr_set_add(struct cidr_set *set, const struct cidr *network)
{
    vec_push(set, range_of(network));
}

void cidr_set_free(struct cidr_set *set)
{
    vec_free(set);
}

static int compare(const void *a, const void *b)
{
    const struct cidr_range *x = a, *y = b;

    return memcmp(x->first, y->first, CIDR_KEY);
}

/* Networks lie within each other or apart, so that one which begins in another adds nothing to it. */
void cidr_set_sort(struct cidr_set *set)
{
    size_t n = 0;

    if (set->n == 0)
        return;
    qsort(set->items, set->n, sizeof(*set->items), compare);
    for (size_t i = 1; i < set->n; i++) {
        struct cidr_range *kept = &set->items[n], *next = &set->items[i];
        if (memcmp(next->first, kept->last, CIDR_KEY) > 0)
            set->items[++n] = *next;
        else if (memcmp(next->last, kept->last, CIDR_KEY) > 0)
            *kept = *next; /* begins at the same place and is wider */
    }
    set->n = n + 1;
}

bool cidr_set_covers(const struct cidr_set *set, const struct cidr *network)
{
    struct cidr_range wanted = range_of(network);
    size_t low = 0, high = set->n;

    while (low < high) { /* the first range that begins behind it */
        size_t middle = low + (high - low) / 2;
        if (memcmp(set->items[middle].first, wanted.first, CIDR_KEY) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && memcmp(wanted.last, set->items[low - 1].last, CIDR_KEY) <= 0;
}
