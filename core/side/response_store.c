/* SPDX-License-Identifier: Apache-2.0 */

/* A key's hash chooses the shard by its upper bits; there, one map entry per key holds the list of its variants, the
 * newest first. A shard's age list has all of its responses, those used last in front: a hit only marks, and eviction
 * gives what is marked a second turn, so that hits move nothing. */

#include "side/response_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "side/response_store_metrics.h"

#define SHARDS 8u
#define NOTES 1024u /* purges of keys are told apart by as many counters */
#define MARKS 4096u
#define MARK_S 10u
#define OVERHEAD \
    320u /* its body's head, its family and a place in the map, and what malloc adds to each */

/* The variants of a key. */
struct family {
    struct slice key; /* a copy of its own: variants come and go */
    struct list variants;
    uint32_t n;
};

struct kept {
    struct stored stored; /* what others see of it */
    atomic_uint refs;
    /* state, under the shard's lock */
    struct family *family; /* NULL: not in the store */
    struct list link;      /* among its family's variants */
    struct list age;
    size_t bytes;
    atomic_bool was_used;
};

struct shard {
    pthread_mutex_t lock;
    /* owned */
    struct map families;
    struct list ages; /* the youngest first */
    /* state */
    size_t bytes, budget;
    size_t reserved; /* of bytes: what is not whole yet, and in no list */
    uint64_t responses, evictions;
} __attribute__((aligned(64)));

struct response_store {
    struct shard shards[SHARDS];
    struct slice name;
    struct list link;
    unsigned refs;                  /* under the list's lock */
    struct response_purges *purges; /* to be told to the tier */
    atomic_uint sharers;
    atomic_ullong heard; /* the number of the last purge that the tier told */
    atomic_ullong all_purges, key_purges[NOTES];
    atomic_ullong
        marks[MARKS]; /* the upper half of a key's hash, and the second in which its mark ends */
};

static struct kept *kept_of(struct stored *r)
{
    return container_of(r, struct kept, stored);
}

/* --- responses --------------------------------------------------------------------------------- */

static char *put_text(char *at, struct slice *text, struct slice from)
{
    *text = slice_of(at, from.len);
    return slice_put(at, from);
}

struct stored *stored_new(const struct stored *of)
{
    size_t texts = of->head.len + of->key.text.len + of->vary.len + of->variant.len + of->tags.len;
    struct kept *k = malloc(sizeof(*k) + texts);

    if (!k) {
        response_body_unref(of->body);
        return NULL;
    }
    *k = (struct kept){.stored = {.key.hash = of->key.hash, .body = of->body}};
    k->bytes = sizeof(*k) + OVERHEAD + texts + of->key.text.len +
               (of->body ? response_body_size(of->body) : 0);
    atomic_init(&k->refs, 1);
    list_init(&k->link);
    list_init(&k->age);
    char *at = put_text((char *)(k + 1), &k->stored.head, of->head);
    at = put_text(at, &k->stored.key.text, of->key.text);
    at = put_text(at, &k->stored.vary, of->vary);
    at = put_text(at, &k->stored.variant, of->variant);
    put_text(at, &k->stored.tags, of->tags);
    return &k->stored;
}

void stored_set_body(struct stored *r, struct response_body *body)
{
    r->body = body;
    kept_of(r)->bytes += response_body_size(body);
}

struct stored *stored_ref(struct stored *r)
{
    atomic_fetch_add_explicit(&kept_of(r)->refs, 1, memory_order_relaxed);
    return r;
}

void stored_used(struct stored *r)
{
    atomic_store_explicit(&kept_of(r)->was_used, true, memory_order_relaxed);
}

bool stored_is_shared(struct stored *r)
{
    return atomic_load_explicit(&kept_of(r)->refs, memory_order_acquire) > 1;
}

void stored_unref(struct stored *r)
{
    if (!r || atomic_fetch_sub_explicit(&kept_of(r)->refs, 1, memory_order_acq_rel) != 1)
        return;
    response_body_unref(r->body);
    free(kept_of(r));
}

/* --- shards, each under its lock --------------------------------------------------------------- */

static struct shard *enter(struct response_store *s, const struct response_key *key)
{
    struct shard *shard = &s->shards[(key->hash >> 61) % SHARDS];

    pthread_mutex_lock(&shard->lock);
    return shard;
}

static void leave(struct shard *shard)
{
    pthread_mutex_unlock(&shard->lock);
}

static struct family *find_family(const struct shard *shard, const struct response_key *key)
{
    return map_find_hashed(&shard->families, key->text, key->hash);
}

static struct family *make_family(struct shard *shard, const struct response_key *key)
{
    struct family *f = find_family(shard, key);

    if (f)
        return f;
    f = calloc(1, sizeof(*f));
    REQUIRE(f != NULL);
    f->key = slice_of(slice_dup(key->text), key->text.len);
    list_init(&f->variants);
    map_set(&shard->families, f->key, f);
    return f;
}

/* Lets go of the store's reference. */
static void take_out(struct shard *shard, struct kept *k)
{
    struct family *f = k->family;

    list_remove(&k->link);
    list_remove(&k->age);
    k->family = NULL;
    shard->bytes -= k->bytes;
    shard->responses--;
    stored_unref(&k->stored);
    if (--f->n > 0)
        return;
    map_remove(&shard->families, f->key);
    free((char *)f->key.ptr);
    free(f);
}

/* spared: the one that is being put in, or NULL. */
static void evict(struct shard *shard, size_t down_to, const struct kept *spared)
{
    while (shard->bytes > down_to && !list_is_empty(&shard->ages)) {
        struct kept *oldest = container_of(list_last(&shard->ages), struct kept, age);
        if (oldest == spared && shard->responses == 1)
            break; /* the rest is reserved */
        if (oldest == spared ||
            atomic_exchange_explicit(&oldest->was_used, false, memory_order_relaxed)) {
            list_remove(&oldest->age);
            list_push(&shard->ages, &oldest->age);
        } else {
            take_out(shard, oldest);
            shard->evictions++;
        }
    }
}

/* What the new one stands for goes, and the oldest when there are too many. */
static void make_place(struct shard *shard, const struct stored *r)
{
    struct family *f = find_family(shard, &r->key);

    if (!f)
        return;
    struct kept *oldest = container_of(list_last(&f->variants), struct kept, link);
    bool is_full = f->n == RESPONSE_VARIANTS_MAX;
    LIST_EACH (link, &f->variants) {
        struct kept *k = container_of(link, struct kept, link);
        if (slice_eq(k->stored.vary, r->vary) && slice_eq(k->stored.variant, r->variant)) {
            take_out(shard, k); /* f may be gone with it */
            return;
        }
    }
    if (is_full)
        take_out(shard, oldest);
}

static void put_in(struct shard *shard, struct kept *k)
{
    struct family *f = make_family(shard, &k->stored.key);

    k->family = f;
    f->n++;
    list_push(&f->variants, &k->link);
    list_push(&shard->ages, &k->age);
    shard->bytes += k->bytes;
    shard->responses++;
    stored_ref(&k->stored);
}

/* --- the store --------------------------------------------------------------------------------- */

struct stored *response_store_find(struct response_store *s, const struct response_key *key,
                                   stored_fits_fn fits, void *arg, enum stored_fit *fit)
{
    struct shard *shard = enter(s, key);
    struct family *f = find_family(shard, key);
    struct stored *found = NULL;

    *fit = f ? STORED_DIFFERS : STORED_ASKS;
    if (f)
        LIST_EACH (link, &f->variants) {
            struct kept *k = container_of(link, struct kept, link);
            *fit = fits(&k->stored, arg);
            if (*fit == STORED_DIFFERS)
                continue;
            found = stored_ref(&k->stored);
            break;
        }
    leave(shard);
    return found;
}

static atomic_ullong *key_purges(struct response_store *s, const struct response_key *key)
{
    return &s->key_purges[key->hash % NOTES];
}

struct response_note response_store_note(struct response_store *s, const struct response_key *key)
{
    return (struct response_note){atomic_load(&s->all_purges), atomic_load(key_purges(s, key))};
}

int response_store_put(struct response_store *s, struct stored *r, struct response_note note)
{
    struct kept *k = kept_of(r);
    struct shard *shard = enter(s, &r->key);
    struct response_note now = response_store_note(s, &r->key);
    int rc = 0;

    if (now.all != note.all || now.key != note.key) {
        rc = ERR_GONE;
    } else if (k->bytes > shard->budget / 2) {
        rc = ERR_LIMIT;
    } else if (!k->family) {
        make_place(shard, r);
        put_in(shard, k);
        evict(shard, shard->budget, k); /* k is at most half of it: it never stays alone */
    }
    leave(shard);
    return rc;
}

void response_store_remove(struct response_store *s, struct stored *r)
{
    struct shard *shard = enter(s, &r->key);

    if (kept_of(r)->family)
        take_out(shard, kept_of(r));
    leave(shard);
}

bool response_store_reserve(struct response_store *s, const struct response_key *key, size_t bytes)
{
    struct shard *shard = enter(s, key);
    bool fits = shard->reserved + bytes <= shard->budget / 2;

    if (fits) {
        shard->reserved += bytes;
        shard->bytes += bytes;
        evict(shard, shard->budget, NULL);
    }
    leave(shard);
    return fits;
}

void response_store_release(struct response_store *s, const struct response_key *key, size_t bytes)
{
    struct shard *shard = enter(s, key);

    shard->reserved -= bytes;
    shard->bytes -= bytes;
    leave(shard);
}

/* --- marks ------------------------------------------------------------------------------------- */

static uint64_t upper(uint64_t hash)
{
    return hash & ~(uint64_t)UINT32_MAX;
}

void response_store_mark(struct response_store *s, const struct response_key *key)
{
    uint64_t until = clock_ms() / 1000 + MARK_S;

    atomic_store_explicit(&s->marks[key->hash % MARKS], upper(key->hash) | (uint32_t)until,
                          memory_order_relaxed);
}

bool response_store_is_marked(struct response_store *s, const struct response_key *key)
{
    uint64_t mark = atomic_load_explicit(&s->marks[key->hash % MARKS], memory_order_relaxed);

    return mark != 0 && upper(mark) == upper(key->hash) && (uint32_t)mark > clock_ms() / 1000;
}

/* --- purging ----------------------------------------------------------------------------------- */

size_t response_store_purge_key(struct response_store *s, struct slice text)
{
    struct response_key key = response_key_of(text);
    struct shard *shard = enter(s, &key);
    size_t n = 0;

    atomic_fetch_add(key_purges(s, &key), 1); /* under the lock: a put before it, or sees it */
    for (struct family *f; (f = find_family(shard, &key)); n++)
        take_out(shard, container_of(list_first(&f->variants), struct kept, link));
    leave(shard);
    return n;
}

static size_t purge_where(struct response_store *s,
                          bool (*is_meant)(const struct stored *, struct slice), struct slice text)
{
    size_t n = 0;

    atomic_fetch_add(&s->all_purges, 1);
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &s->shards[i];
        pthread_mutex_lock(&shard->lock);
        LIST_EACH (link, &shard->ages) {
            struct kept *k = container_of(link, struct kept, age);
            if (!is_meant(&k->stored, text))
                continue;
            take_out(shard, k);
            n++;
        }
        leave(shard);
    }
    return n;
}

static bool has_prefix(const struct stored *r, struct slice prefix)
{
    return slice_starts(r->key.text, prefix);
}

static bool has_tag(const struct stored *r, struct slice tag)
{
    struct slice rest = r->tags, one;

    while (rest.len && slice_split(&rest, ' ', &one))
        if (slice_eq(one, tag))
            return true;
    return false;
}

size_t response_store_purge_prefix(struct response_store *s, struct slice prefix)
{
    return purge_where(s, has_prefix, prefix);
}

size_t response_store_purge_tag(struct response_store *s, struct slice tag)
{
    return purge_where(s, has_tag, tag);
}

static size_t purge_here(struct response_store *s, enum response_purge what, struct slice text)
{
    switch (what) {
    case RESPONSE_PURGE_KEY: return response_store_purge_key(s, text);
    case RESPONSE_PURGE_PREFIX: return response_store_purge_prefix(s, text);
    default: return response_store_purge_tag(s, text);
    }
}

/* --- a tier ------------------------------------------------------------------------------------ */

/* Told first: whoever finds nothing here any more finds there that it waits to be purged. */
size_t response_store_purge(struct response_store *s, enum response_purge what, struct slice text)
{
    if (atomic_load(&s->sharers) > 0)
        response_purges_add(s->purges, what, text);
    return purge_here(s, what, text);
}

struct response_purges *response_store_purges(struct response_store *s)
{
    return s->purges;
}

void response_store_share(struct response_store *s, bool is_shared)
{
    if (is_shared)
        atomic_fetch_add(&s->sharers, 1);
    else
        atomic_fetch_sub(&s->sharers, 1);
}

/* One that was heard already may come once more, after its number was asked for: that costs a fetch. */
void response_store_hear(struct response_store *s, uint64_t number, enum response_purge what,
                         struct slice text)
{
    uint64_t before = atomic_exchange(&s->heard, number);

    if (before == UINT64_MAX || number > before + 1)
        (void)purge_here(s, RESPONSE_PURGE_PREFIX, SLICE(""));
    else
        (void)purge_here(s, what, text);
}

void response_store_hear_number(struct response_store *s, uint64_t number)
{
    if (atomic_exchange(&s->heard, number) != number)
        (void)purge_here(s, RESPONSE_PURGE_PREFIX, SLICE(""));
}

void response_store_hear_nothing(struct response_store *s)
{
    atomic_store(&s->heard, UINT64_MAX);
}

/* --- all stores -------------------------------------------------------------------------------- */

static pthread_mutex_t stores_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list stores = {&stores, &stores}; /* in the order in which they were made */

static struct response_store *store_new(struct slice name)
{
    struct response_store *s = aligned_alloc(_Alignof(struct response_store), sizeof(*s));

    REQUIRE(s != NULL);
    memset(s, 0, sizeof(*s));
    s->name = slice_of(slice_dup(name), name.len);
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&s->shards[i].lock, NULL);
        map_init(&s->shards[i].families);
        list_init(&s->shards[i].ages);
    }
    s->purges = response_purges_new();
    list_append(&stores, &s->link);
    response_store_show(s, true);
    return s;
}

static void store_free(struct response_store *s)
{
    list_remove(&s->link);
    response_store_show(s, false);
    for (size_t i = 0; i < SHARDS; i++) {
        evict(&s->shards[i], 0, NULL);
        map_deinit(&s->shards[i].families);
        pthread_mutex_destroy(&s->shards[i].lock);
    }
    response_purges_free(s->purges);
    free((char *)s->name.ptr);
    free(s);
}

static void resize(struct response_store *s, size_t bytes)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &s->shards[i];
        pthread_mutex_lock(&shard->lock);
        shard->budget = bytes / SHARDS;
        evict(shard, shard->budget, NULL);
        leave(shard);
    }
}

struct response_store *response_store_get(struct slice name, size_t bytes)
{
    struct response_store *found = NULL;

    pthread_mutex_lock(&stores_lock);
    LIST_EACH (link, &stores) {
        struct response_store *s = container_of(link, struct response_store, link);
        if (slice_eq(s->name, name))
            found = s;
    }
    if (!found)
        found = store_new(name);
    found->refs++;
    resize(found, bytes);
    pthread_mutex_unlock(&stores_lock);
    return found;
}

void response_store_unref(struct response_store *s)
{
    pthread_mutex_lock(&stores_lock);
    if (--s->refs == 0)
        store_free(s);
    pthread_mutex_unlock(&stores_lock);
}

struct response_store *response_store_at(size_t i)
{
    struct response_store *found = NULL;

    pthread_mutex_lock(&stores_lock);
    LIST_EACH (link, &stores)
        if (i-- == 0) {
            found = container_of(link, struct response_store, link);
            found->refs++;
            break;
        }
    pthread_mutex_unlock(&stores_lock);
    return found;
}

struct slice response_store_name(const struct response_store *s)
{
    return s->name;
}

void response_store_stats(struct response_store *s, struct response_store_stats *out)
{
    *out = (struct response_store_stats){0};
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &s->shards[i];
        pthread_mutex_lock(&shard->lock);
        out->responses += shard->responses;
        out->bytes += shard->bytes;
        out->budget += shard->budget;
        out->evictions += shard->evictions;
        leave(shard);
    }
}
