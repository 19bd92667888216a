/* SPDX-License-Identifier: Apache-2.0 */

/* One registry for all kinds: the kind is part of the identity. */

#include "net/tls_shared.h"

#include <pthread.h>

#include "base/map.h"
#include "base/refs.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map known;

static struct tls_shared *find(const char *identity)
{
    struct tls_shared *s = map_find(&known, slice_from(identity));

    if (s)
        tls_shared_ref(s);
    return s;
}

struct tls_shared *tls_shared_find(const char *identity)
{
    pthread_mutex_lock(&lock);
    struct tls_shared *s = find(identity);
    pthread_mutex_unlock(&lock);
    return s;
}

struct tls_shared *tls_shared_keep(struct tls_shared *made)
{
    pthread_mutex_lock(&lock);
    struct tls_shared *other = find(made->identity);
    if (!other) {
        atomic_store(&made->refs, 1);
        map_set(&known, slice_from(made->identity), made);
    }
    pthread_mutex_unlock(&lock);
    if (!other)
        return made;
    made->free_fn(made);
    return other;
}

void tls_shared_unref(struct tls_shared *s)
{
    if (refs_drop_unless_last(&s->refs))
        return;

    pthread_mutex_lock(&lock);
    bool is_last = atomic_fetch_sub(&s->refs, 1) == 1;
    if (is_last) {
        map_remove(&known, slice_from(s->identity));
        if (known.n == 0)
            map_deinit(&known);
    }
    pthread_mutex_unlock(&lock);
    if (is_last)
        s->free_fn(s);
}
