/* SPDX-License-Identifier: Apache-2.0 */

/* Keyrings: whose secret is this? What a request brings is hashed with a key that nobody outside knows, and compared
 * with what is found by that hash in a time that does not tell how much of a guess was right. It is looked at where it
 * lies and never becomes a Lua text.
 *
 * A ring is an open table with a cache line for each secret, in which those of usual length lie
 * themselves: among many keys each place that is looked at is one that has to be waited for. */

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "gate/snapshot.h"
#include "script/api_find.h"
#include "script/scope.h"

#define SLOTS_FIRST 16
#define SHORT_MAX 48

struct slot {
    uint32_t hash; /* half of it */
    uint32_t owner;
    uint32_t len;
    bool is_taken;
    union {
        char bytes[SHORT_MAX];
        const char *text; /* of a longer one, in the ring's arena */
    };
};

_Static_assert(sizeof(struct slot) == 64, "a cache line");

struct dml_keyring {
    /* owned */
    struct arena *arena; /* long secrets */
    struct slot *slots;
    /* state */
    size_t mask; /* slots - 1 */
    size_t n;
    double version; /* of the snapshot that the owners' numbers are of */
};

static struct slot *make_slots(size_t n)
{
    struct slot *slots = aligned_alloc(sizeof(*slots), n * sizeof(*slots));

    REQUIRE(slots != NULL);
    memset(slots, 0, n * sizeof(*slots));
    return slots;
}

struct dml_keyring *dml_keyring_new(double version)
{
    struct dml_keyring *ring = calloc(1, sizeof(*ring));

    REQUIRE(ring != NULL);
    *ring = (struct dml_keyring){arena_new_heap(1024), make_slots(SLOTS_FIRST), SLOTS_FIRST - 1, 0,
                                 version};
    return ring;
}

void dml_keyring_free(struct dml_keyring *ring)
{
    arena_free(ring->arena);
    free(ring->slots);
    free(ring);
}

static struct slice secret_of(const struct slot *slot)
{
    return slice_of(slot->len <= SHORT_MAX ? slot->bytes : slot->text, slot->len);
}

/* The slot of a secret, or the free one where it belongs. */
static struct slot *find(const struct dml_keyring *ring, uint32_t hash, struct slice text)
{
    for (size_t i = hash & ring->mask;; i = (i + 1) & ring->mask) {
        struct slot *slot = &ring->slots[i];
        if (!slot->is_taken || (slot->hash == hash && slice_eq_secret(secret_of(slot), text)))
            return slot;
    }
}

static uint32_t hash_of(struct slice text)
{
    return (uint32_t)(hash_keyed(text) >> 32);
}

/* At most half of the slots are taken. */
static void grow(struct dml_keyring *ring)
{
    size_t n = 2 * (ring->mask + 1);
    struct slot *old = ring->slots;

    ring->slots = make_slots(n);
    for (size_t i = 0; i < n / 2; i++) {
        size_t at = old[i].hash & (n - 1);
        while (old[i].is_taken && ring->slots[at].is_taken)
            at = (at + 1) & (n - 1);
        if (old[i].is_taken)
            ring->slots[at] = old[i];
    }
    ring->mask = n - 1;
    free(old);
}

int dml_keyring_add(struct dml_keyring *ring, const char *ptr, size_t len, uint32_t owner)
{
    struct slice text = slice_of(ptr, len);
    uint32_t hash = hash_of(text);

    if (len > UINT32_MAX)
        return ERR_ARG;
    if (2 * ring->n > ring->mask)
        grow(ring);
    struct slot *slot = find(ring, hash, text);
    if (slot->is_taken)
        return ERR_EXISTS;

    *slot = (struct slot){.hash = hash, .owner = owner, .len = (uint32_t)len, .is_taken = true};
    if (len <= SHORT_MAX)
        slice_put(slot->bytes, text);
    else
        slot->text = arena_dup(ring->arena, text).ptr;
    ring->n++;
    return 0;
}

int dml_keyring_identify(struct gateway *g, double handle, const struct dml_keyring *ring,
                         const struct dml_template *source)
{
    struct exchange *x = api_find(g, handle);
    const struct snapshot *snapshot = x ? x->plan->snapshot : NULL;

    if (!x || (double)snapshot->version != ring->version)
        return ERR_GONE;
    struct slice text = template_value(source, x);
    if (!text.ptr)
        return ERR_NOT_FOUND;
    const struct slot *slot = find(ring, hash_of(text), text);
    if (!slot->is_taken || !CHECK(slot->owner < snapshot->nconsumers))
        return 0;
    exchange_set_consumer(x, snapshot->consumers[slot->owner]);
    __builtin_prefetch(x->consumer + 1); /* its name lies behind it, and is mostly wanted next */
    return 1;
}
