/* SPDX-License-Identifier: Apache-2.0 */

/* The counting of TLS policies: the last reference frees what a configuration had made. */

#include "net/tls.h"

#include <stdatomic.h>
#include <stdlib.h>

struct tls_server {
    atomic_int refs;
};

struct tls_client {
    atomic_int refs;
    char identity[];
};

struct tls_server *tls_server_ref(struct tls_server *s)
{
    if (s)
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void tls_server_unref(struct tls_server *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        free(s);
}

struct tls_client *tls_client_ref(struct tls_client *c)
{
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void tls_client_unref(struct tls_client *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        free(c);
}

struct slice tls_client_identity(const struct tls_client *c)
{
    return slice_from(c->identity);
}
