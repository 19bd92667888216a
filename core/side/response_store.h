/* SPDX-License-Identifier: Apache-2.0 */

/* Kept responses, shared by all workers: by a primary key (scheme, host, path, query as text) and, below it, by what the
 * response varies on. Sharded hash tables with a lock each; a budget in bytes, beyond which those go that were not used
 * for long. It knows nothing of HTTP: heads are the caller's bytes, and what fits a request is the caller's function.
 *
 * A response is counted and does not change: who holds one reads it without a lock, whatever the store does meanwhile.
 * It may be put in while its body is still being filled (response_body.h), so that others read along; a body that
 * breaks off takes its response out.
 *
 * Purging during a fill: response_store_note, taken before the origin is asked, tells at response_store_put whether
 * something was purged since that may have been meant; such a response is not put in. Any thread. */

#ifndef DML_SIDE_RESPONSE_STORE_H
#define DML_SIDE_RESPONSE_STORE_H

#include "base/base.h"
#include "base/hash.h"
#include "base/slice.h"
#include "side/response_body.h"
#include "side/response_purges.h"

struct response_store;

/* A text, and what it is found by: made once for all that is asked about it. */
struct response_key {
    struct slice text;
    uint64_t hash;
};

static inline struct response_key response_key_of(struct slice text)
{
    return (struct response_key){text, hash_keyed(text)};
}

struct stored {
    /* owned; borrowed by who holds a reference */
    struct response_key key;
    struct slice vary; /* names that it varies on, as the caller writes them; empty = on nothing */
    struct slice variant; /* the request's values of those */
    struct slice tags;    /* separated by single spaces */
    struct slice head;    /* the caller's bytes, aligned to 8 */
    struct response_body *body;
};

#define RESPONSE_KEY_MAX 8192
#define RESPONSE_VARIANTS_MAX 64 /* of one key; the oldest makes room */

/* The process's stores by name, which outlive reloads: found and resized, or made. Counted; freed with the last. */
struct response_store *response_store_get(struct slice name, size_t bytes);
void response_store_unref(struct response_store *s);

/* Called under the shard's lock, so it compares and does nothing else. STORED_ASKS: what would have to be compared is not
 * there yet. */
enum stored_fit { STORED_DIFFERS, STORED_FITS, STORED_ASKS };
typedef enum stored_fit (*stored_fits_fn)(const struct stored *r, void *arg);

/* The first below the key that fits, or asks, the newest first; counted, or NULL. *fit says which of the two, and
 * without one whether anything is kept of the key (STORED_DIFFERS), or nothing (STORED_ASKS). */
struct stored *response_store_find(struct response_store *s, const struct response_key *key,
                                   stored_fits_fn fits, void *arg, enum stored_fit *fit);

/* A response with copies of all texts; takes over the reference of the body. NULL: no memory (the body is let go). */
struct stored *stored_new(const struct stored *of);

/* The body of one that was made without, before anybody else sees it; takes over the reference. */
void stored_set_body(struct stored *r, struct response_body *body);
struct stored *stored_ref(struct stored *r);
void stored_unref(struct stored *r); /* NULL is fine */

/* It was of use to somebody, and may stay for longer. */
void stored_used(struct stored *r);

/* Somebody holds it beside the caller. */
bool stored_is_shared(struct stored *r);

/* What has been purged so far that a response of this key would have to know. */
struct response_note {
    uint64_t all, key;
};
struct response_note response_store_note(struct response_store *s, const struct response_key *key);

/* Puts it in, in the place of one with the same vary and variant; r stays the caller's, too. ERR_LIMIT: larger than
 * half a shard (a 16th of the store); ERR_GONE: purged meanwhile. */
MUST_CHECK int response_store_put(struct response_store *s, struct stored *r,
                                  struct response_note note);

/* Takes it out, if it is still in. */
void response_store_remove(struct response_store *s, struct stored *r);

/* What this key brings can't be kept just now, so that nobody should wait for it: remembered for ten seconds. Two keys
 * may share a mark, or one lose it: that costs a fetch, or a wait, and nothing else. */
void response_store_mark(struct response_store *s, const struct response_key *key);
bool response_store_is_marked(struct response_store *s, const struct response_key *key);

/* Memory for what is not whole yet and can't be put in before it is: a part of the budget until it is given back. False:
 * half of the shard is taken for such already. */
MUST_CHECK bool response_store_reserve(struct response_store *s, const struct response_key *key,
                                       size_t bytes);
void response_store_release(struct response_store *s, const struct response_key *key, size_t bytes);

/* How many went. prefix, tag: all shards are gone through. */
size_t response_store_purge_key(struct response_store *s, struct slice text);
size_t response_store_purge_prefix(struct response_store *s, struct slice prefix);
size_t response_store_purge_tag(struct response_store *s, struct slice tag);

/* Any of the three, here and for the tier that is behind it, if there is one: what is to be told there is in
 * response_store_purges until it has been. */
size_t response_store_purge(struct response_store *s, enum response_purge what, struct slice text);
struct response_purges *response_store_purges(struct response_store *s);

/* Another place has, or no longer has, a tier behind this store. */
void response_store_share(struct response_store *s, bool is_shared);

/* Purges that the tier tells: it numbers them. What was missed may have meant anything, so everything goes here. _hear:
 * the one of that number; _hear_number: the latest is that number; _hear_nothing: the tier can't be listened to. */
void response_store_hear(struct response_store *s, uint64_t number, enum response_purge what,
                         struct slice text);
void response_store_hear_number(struct response_store *s, uint64_t number);
void response_store_hear_nothing(struct response_store *s);

/* The process's stores one after another, counted (the caller lets each go): NULL at the end. */
struct response_store *response_store_at(size_t i);
struct slice response_store_name(const struct response_store *s);

/* What /metrics says of the store, too (response_store_metrics.c). */
struct response_store_stats {
    uint64_t responses, bytes, budget, evictions;
};
void response_store_stats(struct response_store *s, struct response_store_stats *out);

#endif
