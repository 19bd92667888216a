/* SPDX-License-Identifier: Apache-2.0 */

/* The list is short and its lock is held for a few pointers only: all system calls (leaving a
 * loop, closing) are made outside of it. An outbound's owner says, while it lies here, whose
 * slot it holds; each holds a reference on that. */

#include "gate/shelf.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "gate/slot_queue.h"
#include "gate/upstream.h"
#include "http/outbound.h"

struct shelf {
    /* owned */
    struct list items; /* the latest first */
    /* state */
    pthread_mutex_t lock;
    size_t n;
};

struct shelf *shelf_new(void)
{
    struct shelf *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    list_init(&s->items);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void shelf_free(struct shelf *s)
{
    shelf_sweep(s, NULL, 0);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static struct outbound *item_of(struct list *link)
{
    return container_of(link, struct outbound, link);
}

/* Under the lock. */
static void pick_up(struct shelf *s, struct outbound *o)
{
    list_remove(&o->link);
    s->n--;
    atomic_fetch_sub(&((struct upstream_live *)o->owner)->shelved, 1);
}

static bool put_up(struct shelf *s, struct outbound *o, struct upstream_live *l, size_t max)
{
    pthread_mutex_lock(&s->lock);
    bool has_room = s->n < max;
    if (has_room) {
        o->owner = upstream_live_hold(l);
        list_push(&s->items, &o->link);
        s->n++;
        atomic_fetch_add(&l->shelved, 1);
    }
    pthread_mutex_unlock(&s->lock);
    return has_room;
}

bool shelf_give(struct shelf *s, struct outbound *o, struct upstream_live *l, size_t max)
{
    if (!outbound_detach(o))
        return false;
    if (put_up(s, o, l, max))
        return true;
    outbound_close(o);
    return false;
}

struct outbound *shelf_take(struct shelf *s, struct upstream_live *l)
{
    struct outbound *found = NULL;

    if (atomic_load(&l->shelved) == 0)
        return NULL;
    pthread_mutex_lock(&s->lock);
    LIST_EACH (it, &s->items) {
        if (item_of(it)->owner == l) {
            found = item_of(it);
            pick_up(s, found);
            break;
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (found) {
        found->owner = NULL;
        upstream_live_unref(l);
    }
    return found;
}

static void discard(struct outbound *o)
{
    struct upstream_live *l = o->owner;
    struct target *t = o->target;

    outbound_close(o);
    atomic_fetch_sub_explicit(&t->connections, 1, memory_order_relaxed);
    slot_release(l);
    upstream_live_unref(l);
}

size_t shelf_sweep(struct shelf *s, struct upstream_live *l, uint64_t max_idle_ms)
{
    uint64_t now = clock_ms();
    struct list old;
    size_t n = 0;

    list_init(&old);
    pthread_mutex_lock(&s->lock);
    LIST_EACH (it, &s->items) {
        struct outbound *o = item_of(it);
        if ((!l || o->owner == l) && o->idle_since_ms + max_idle_ms <= now) {
            pick_up(s, o);
            list_append(&old, &o->link);
        }
    }
    pthread_mutex_unlock(&s->lock);

    for (struct list *link; (link = list_pop(&old)); n++)
        discard(item_of(link));
    return n;
}

size_t shelf_count(struct shelf *s, struct upstream_live *l)
{
    size_t n = 0;

    pthread_mutex_lock(&s->lock);
    LIST_EACH (it, &s->items)
        n += item_of(it)->owner == l;
    pthread_mutex_unlock(&s->lock);
    return n;
}
