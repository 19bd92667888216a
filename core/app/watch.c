/* SPDX-License-Identifier: Apache-2.0 */

/* It looks four times a second instead of being told by the kernel: a look costs a microsecond for each file, nothing is
 * missed whatever way a file is replaced (renamed over it, a folder's link turned, a remote file system), and there is no
 * limit of watches to run into. A change counts once two looks in a row have seen the same. */

#include "app/watch.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/hash.h"
#include "net/loop.h"

#define LOOK_MS 250

struct watch {
    /* owned */
    struct timer timer;
    struct arena *arena; /* of seen; NULL: nothing yet */
    struct conf_seen *seen;
    /* borrowed */
    void (*on_change)(void *arg);
    void *arg;
    /* state */
    size_t n;
    uint64_t used, latest; /* over all prints: as it was read, and at the last look */
    bool is_on;
};

static uint64_t together(uint64_t sum, uint64_t print)
{
    return hash_stable(slice_of((const char *)&print, sizeof(print)), sum + 1);
}

static uint64_t look(const struct watch *w)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < w->n; i++)
        sum = together(sum, conf_seen_print(w->seen[i].path.ptr, w->seen[i].is_pattern));
    return sum;
}

static void on_timer(struct timer *t)
{
    struct watch *w = container_of(t, struct watch, timer);
    uint64_t now = look(w), before = w->latest;

    w->latest = now;
    timer_set(t, LOOK_MS);
    if (now == w->used || now != before)
        return;
    w->used = now;
    w->on_change(w->arg);
}

bool watch_look(struct watch *w)
{
    uint64_t now = look(w), before = w->used;

    w->used = w->latest = now;
    return now != before;
}

struct watch *watch_new(struct loop *l, void (*on_change)(void *arg), void *arg)
{
    struct watch *w = calloc(1, sizeof(*w));

    REQUIRE(w != NULL);
    w->on_change = on_change;
    w->arg = arg;
    timer_init(&w->timer, l, on_timer);
    return w;
}

static void forget(struct watch *w)
{
    if (w->arena)
        arena_free(w->arena);
    w->arena = NULL;
    w->n = 0;
}

void watch_free(struct watch *w)
{
    timer_deinit(&w->timer);
    forget(w);
    free(w);
}

void watch_follow(struct watch *w, const struct conf_seen *seen, size_t n)
{
    if (n == 0)
        return;
    forget(w);
    w->arena = arena_new_heap(4 * KIB);
    w->seen = arena_alloc(w->arena, n * sizeof(w->seen[0]));
    w->n = n;
    w->used = 0;
    for (size_t i = 0; i < n; i++) {
        w->seen[i] = seen[i];
        w->seen[i].path = arena_dup(w->arena, seen[i].path);
        w->used = together(w->used, seen[i].print);
    }
    w->latest = w->used;
}

void watch_switch(struct watch *w, bool is_on)
{
    if (is_on && !w->is_on)
        timer_set(&w->timer, LOOK_MS);
    else if (!is_on)
        timer_stop(&w->timer);
    w->is_on = is_on;
}
