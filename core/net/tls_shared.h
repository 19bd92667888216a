/* SPDX-License-Identifier: Apache-2.0 */

/* What TLS objects made from a configuration have in common: they never change, all threads share
 * them, and they are found again by what they were made from. So a reload that changes nothing
 * keeps certificates and contexts, and what is remembered with them. */

#ifndef DML_NET_TLS_SHARED_H
#define DML_NET_TLS_SHARED_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/slice.h"

/* Hex digits of a digest, and the NUL. */
#define TLS_IDENTITY 65

struct tls_shared {
    /* state */
    atomic_int refs;
    char identity[TLS_IDENTITY]; /* a digest of the kind and of all that went in */
    /* borrowed */
    void (*free_fn)(struct tls_shared *s);
};

/* The one with this identity and a new reference, or NULL. Takes a lock, as the next two do. */
struct tls_shared *tls_shared_find(const char *identity);

/* Makes a new object known: its first reference is the caller's. Where another thread has been
 * faster, `made` is freed, and the other one returned. */
struct tls_shared *tls_shared_keep(struct tls_shared *made);

void tls_shared_unref(struct tls_shared *s);

static inline void tls_shared_ref(struct tls_shared *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

#endif
