/* SPDX-License-Identifier: Apache-2.0 */

/* A flight lives as long as it has an owner. A seat gets at most one letter in its life, that it
 * has become the owner or that the flight has landed, so the letter is a part of it; while that
 * is on its way the seat can't be freed, and who leaves meanwhile only marks it. A seat whose
 * lease ran out belongs to no flight: whatever its owner still does with it just frees it. */

#include "side/flight.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"

#define SHARDS 16u

struct flight_shard {
    pthread_mutex_t lock;
    struct map by_key;
    struct list flights;
} __attribute__((aligned(64)));

struct flights {
    struct flight_shard shards[SHARDS];
};

struct flight {
    /* owned */
    struct slice key;
    /* borrowed */
    struct flight_seat *owner;
    struct list waiters; /* who waits longest first */
    /* state */
    struct list link;
    size_t nwaiters;
    uint64_t lease_ends_ms;
};

/* What was landed, shared by the letters. */
struct landing {
    atomic_size_t refs;
    size_t len;
    char bytes[];
};

struct flight_seat {
    struct mail mail;
    /* owned */
    struct landing *landing; /* in a letter of FLIGHT_LANDED */
    /* borrowed */
    struct flight_shard *shard;
    struct flight *flight; /* NULL: landed, or the lease was lost */
    struct mailbox *mailbox;
    flight_fn fn;
    void *arg;
    /* state, under the shard's lock */
    struct list link;
    uint64_t lease_ms;
    enum flight_event event;
    bool is_mailed; /* the letter is on its way */
    bool has_left;
};

struct flights *flights_new(void)
{
    struct flights *f = aligned_alloc(_Alignof(struct flights), sizeof(*f));

    REQUIRE(f != NULL);
    for (size_t i = 0; i < SHARDS; i++) {
        struct flight_shard *s = &f->shards[i];
        pthread_mutex_init(&s->lock, NULL);
        map_init(&s->by_key);
        list_init(&s->flights);
    }
    return f;
}

void flights_free(struct flights *f)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct flight_shard *s = &f->shards[i];
        (void)CHECK(list_is_empty(&s->flights));
        map_deinit(&s->by_key);
        pthread_mutex_destroy(&s->lock);
    }
    free(f);
}

static struct flights *shared;

static void make_shared(void)
{
    shared = flights_new();
}

struct flights *flights_shared(void)
{
    static pthread_once_t made = PTHREAD_ONCE_INIT;

    pthread_once(&made, make_shared);
    return shared;
}

static void landing_unref(struct landing *l)
{
    if (l && atomic_fetch_sub(&l->refs, 1) == 1)
        free(l);
}

static void seat_free(struct flight_seat *seat)
{
    landing_unref(seat->landing);
    free(seat);
}

static void on_letter(struct mail *m, void *reader UNUSED)
{
    struct flight_seat *seat = container_of(m, struct flight_seat, mail);

    pthread_mutex_lock(&seat->shard->lock);
    seat->is_mailed = false;
    bool has_left = seat->has_left;
    pthread_mutex_unlock(&seat->shard->lock);

    if (has_left) {
        seat_free(seat);
    } else if (seat->event == FLIGHT_OWNER) {
        seat->fn(seat->arg, FLIGHT_OWNER, SLICE_NONE);
    } else {
        seat->fn(seat->arg, FLIGHT_LANDED, slice_of(seat->landing->bytes, seat->landing->len));
        seat_free(seat);
    }
}

/* From here on, under the shard's lock. */
static void tell(struct flight_seat *seat, enum flight_event event)
{
    seat->event = event;
    seat->is_mailed = true;
    mailbox_send(seat->mailbox, &seat->mail);
}

static struct flight *flight_new(struct flight_shard *s, struct slice key)
{
    struct flight *f = calloc(1, sizeof(*f));

    REQUIRE(f != NULL);
    f->key = slice_of(slice_dup(key), key.len);
    list_init(&f->waiters);
    list_append(&s->flights, &f->link);
    map_set(&s->by_key, f->key, f);
    return f;
}

static void flight_free(struct flight_shard *s, struct flight *f)
{
    map_remove(&s->by_key, f->key);
    list_remove(&f->link);
    free((char *)f->key.ptr);
    free(f);
}

static struct flight_seat *pop_waiter(struct flight *f)
{
    struct list *first = list_pop(&f->waiters);

    if (!first)
        return NULL;
    f->nwaiters--;
    return container_of(first, struct flight_seat, link);
}

static void make_owner(struct flight *f, struct flight_seat *seat)
{
    f->owner = seat;
    f->lease_ends_ms = clock_ms() + seat->lease_ms;
}

/* The owner has failed: the next, or the end. */
static void pass_on(struct flight_shard *s, struct flight *f)
{
    struct flight_seat *next = pop_waiter(f);

    f->owner->flight = NULL;
    if (!next) {
        flight_free(s, f);
        return;
    }
    make_owner(f, next);
    tell(next, FLIGHT_OWNER);
}

static bool lease_is_over(const struct flight *f)
{
    return f->lease_ends_ms <= clock_ms();
}

static int take_seat(struct flight_shard *s, struct slice key, size_t max_waiters,
                     struct flight_seat *seat)
{
    struct flight *f = map_find(&s->by_key, key);

    if (f && lease_is_over(f)) {
        pass_on(s, f);
        f = map_find(&s->by_key, key);
    }
    if (!f) {
        seat->flight = flight_new(s, key);
        make_owner(seat->flight, seat);
        return FLIGHT_IS_OWNER;
    }
    if (f->nwaiters >= max_waiters)
        return ERR_FULL;
    seat->flight = f;
    list_append(&f->waiters, &seat->link);
    f->nwaiters++;
    return FLIGHT_WAITS;
}

static void land_all(struct flight_shard *s, struct flight *f, struct slice value)
{
    struct flight_seat *seat;

    if (f->nwaiters > 0) {
        struct landing *l = malloc(sizeof(*l) + value.len);
        REQUIRE(l != NULL);
        atomic_init(&l->refs, f->nwaiters);
        l->len = value.len;
        if (value.len > 0)
            memcpy(l->bytes, value.ptr, value.len);
        while ((seat = pop_waiter(f))) {
            seat->landing = l;
            seat->flight = NULL;
            tell(seat, FLIGHT_LANDED);
        }
    }
    flight_free(s, f);
}

int flight_join(struct flights *f, struct slice key, uint64_t lease_ms, size_t max_waiters,
                struct mailbox *mailbox, flight_fn fn, void *arg, struct flight_seat **out)
{
    struct flight_shard *s = &f->shards[hash_keyed(key) >> 60];
    struct flight_seat *seat = calloc(1, sizeof(*seat));

    REQUIRE(seat != NULL);
    seat->mail.fn = on_letter;
    seat->shard = s;
    seat->mailbox = mailbox;
    seat->fn = fn;
    seat->arg = arg;
    seat->lease_ms = lease_ms;
    list_init(&seat->link);

    pthread_mutex_lock(&s->lock);
    int rc = take_seat(s, key, max_waiters, seat);
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        seat_free(seat);
    else
        *out = seat;
    return rc;
}

void flight_land(struct flight_seat *seat, struct slice value)
{
    struct flight_shard *s = seat->shard;

    pthread_mutex_lock(&s->lock);
    if (seat->flight && CHECK(seat->flight->owner == seat))
        land_all(s, seat->flight, value);
    pthread_mutex_unlock(&s->lock);
    seat_free(seat);
}

void flight_drop(struct flight_seat *seat)
{
    flight_leave(seat);
}

void flight_leave(struct flight_seat *seat)
{
    struct flight_shard *s = seat->shard;
    struct flight *f;

    pthread_mutex_lock(&s->lock);
    f = seat->flight;
    if (f && f->owner == seat) {
        pass_on(s, f);
    } else if (f) {
        list_remove(&seat->link);
        f->nwaiters--;
    }
    seat->has_left = true;
    bool is_mailed = seat->is_mailed;
    pthread_mutex_unlock(&s->lock);
    if (!is_mailed)
        seat_free(seat);
}

void flights_sweep(struct flights *f)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct flight_shard *s = &f->shards[i];
        pthread_mutex_lock(&s->lock);
        LIST_EACH (it, &s->flights) {
            struct flight *flight = container_of(it, struct flight, link);
            if (lease_is_over(flight))
                pass_on(s, flight);
        }
        pthread_mutex_unlock(&s->lock);
    }
}
