/* SPDX-License-Identifier: Apache-2.0 */

/* Keyrings: whose secret is this? What a request brings is hashed with a key that nobody outside knows, and compared
 * with what is found by that hash in a time that does not tell how much of a guess was right. It is looked at where it
 * lies and never becomes a Lua text.
 *
 * A ring is an open table of hashes; a secret lies behind its owner's number, so that asking looks at two places. */

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "gate/snapshot.h"
#include "script/api_find.h"
#include "script/scope.h"

#define SLOTS_FIRST 16

struct secret {
    uint32_t owner, len;
    char bytes[];
};

struct slot {
    uint64_t hash;
    const struct secret *secret; /* NULL = free */
};

struct dml_keyring {
    /* owned */
    struct arena *arena; /* the secrets */
    struct slot *slots;
    /* state */
    size_t mask; /* slots - 1 */
    size_t n;
    double version; /* of the snapshot that the owners' numbers are of */
};

struct dml_keyring *dml_keyring_new(double version)
{
    struct dml_keyring *ring = calloc(1, sizeof(*ring));
    struct slot *slots = calloc(SLOTS_FIRST, sizeof(*slots));

    REQUIRE(ring != NULL && slots != NULL);
    *ring = (struct dml_keyring){arena_new_heap(1024), slots, SLOTS_FIRST - 1, 0, version};
    return ring;
}

void dml_keyring_free(struct dml_keyring *ring)
{
    arena_free(ring->arena);
    free(ring->slots);
    free(ring);
}

/* The slot of a secret, or the free one where it belongs. */
static struct slot *find(const struct dml_keyring *ring, uint64_t hash, struct slice text)
{
    for (size_t i = hash & ring->mask;; i = (i + 1) & ring->mask) {
        struct slot *slot = &ring->slots[i];
        const struct secret *s = slot->secret;
        if (!s || (slot->hash == hash && slice_eq_secret(slice_of(s->bytes, s->len), text)))
            return slot;
    }
}

/* At most half of the slots are taken. */
static void grow(struct dml_keyring *ring)
{
    size_t n = 2 * (ring->mask + 1);
    struct slot *old = ring->slots;

    ring->slots = calloc(n, sizeof(old[0]));
    REQUIRE(ring->slots != NULL);
    for (size_t i = 0; i < n / 2; i++) {
        size_t at = old[i].hash & (n - 1);
        while (old[i].secret && ring->slots[at].secret)
            at = (at + 1) & (n - 1);
        if (old[i].secret)
            ring->slots[at] = old[i];
    }
    ring->mask = n - 1;
    free(old);
}

int dml_keyring_add(struct dml_keyring *ring, const char *ptr, size_t len, uint32_t owner)
{
    struct slice text = slice_of(ptr, len);
    uint64_t hash = hash_keyed(text);

    if (len > UINT32_MAX)
        return ERR_ARG;
    if (2 * ring->n > ring->mask)
        grow(ring);
    struct slot *slot = find(ring, hash, text);
    if (slot->secret)
        return ERR_EXISTS;

    struct secret *s = arena_alloc(ring->arena, sizeof(*s) + len);
    *s = (struct secret){.owner = owner, .len = (uint32_t)len};
    memcpy(s->bytes, ptr, len);
    *slot = (struct slot){hash, s};
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
    const struct secret *s = find(ring, hash_keyed(text), text)->secret;
    if (!s || !CHECK(s->owner < snapshot->nconsumers))
        return 0;
    x->consumer = snapshot->consumers[s->owner];
    return 1;
}
