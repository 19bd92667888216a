/* SPDX-License-Identifier: Apache-2.0 */

/* The registry of targets, process-wide: identity -> target. Identities are made in one spelling
 * (lower case, v6 in brackets), so that a reload which writes the same endpoint in another way
 * finds the same live state. */

#include "gate/target.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/map.h"
#include "base/refs.h"
#include "gate/shelf.h"
#include "net/tls_client.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map targets;

static bool is_unix(struct slice host)
{
    return slice_starts(host, SLICE("unix:"));
}

static struct slice without_brackets(struct slice host)
{
    if (slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]")))
        return slice_sub(host, 1, host.len - 2);
    return host;
}

/* Names do not tell cases apart, paths do. */
static char *lower_dup(struct slice host)
{
    char *text = slice_dup(host);

    if (!is_unix(host))
        for (char *c = text; *c; c++)
            *c = (char)tolower((unsigned char)*c);
    return text;
}

static char *identity_new(struct slice protocol, const char *host, uint16_t port,
                          const struct tls_client *tls, struct slice server_name)
{
    char *place, *text;
    int n;

    if (is_unix(slice_from(host)))
        n = asprintf(&place, "%.*s %s", SLICE_ARG(protocol), host);
    else
        n = asprintf(&place, strchr(host, ':') ? "%.*s [%s]:%u" : "%.*s %s:%u", SLICE_ARG(protocol),
                     host, port);
    REQUIRE(n >= 0);
    if (!tls)
        return place;
    n = asprintf(&text, "%s %.*s %.*s", place, SLICE_ARG(tls_client_identity(tls)),
                 SLICE_ARG(server_name));
    REQUIRE(n >= 0);
    free(place);
    return text;
}

static void set_tls(struct target *t, struct tls_client *tls, struct slice server_name)
{
    t->tls = tls_client_ref(tls);
    t->server_name = slice_from(slice_dup(server_name));
    t->session = tls_session_new();
}

/* Takes both texts over. */
static struct target *target_new(char *identity, char *host, uint16_t port)
{
    struct target *t = calloc(1, sizeof(*t));
    int rc;

    REQUIRE(t != NULL);
    t->identity = slice_from(identity);
    t->host = slice_from(host);
    t->port = port;
    if (is_unix(t->host))
        rc = addr_parse(t->host, &t->addr);
    else
        rc = addr_parse_ip(t->host, port, &t->addr);
    t->is_name = rc < 0;
    t->shelf = shelf_new();
    return t;
}

static void target_free(struct target *t)
{
    shelf_free(t->shelf);
    tls_client_unref(t->tls);
    tls_session_unref(t->session);
    free((char *)t->server_name.ptr);
    free((char *)t->identity.ptr);
    free((char *)t->host.ptr);
    free(t);
}

struct target *target_ref_tls(struct slice protocol, struct slice host, uint16_t port,
                              struct tls_client *tls, struct slice server_name)
{
    char *name = lower_dup(without_brackets(host));

    if (!server_name.ptr)
        server_name = slice_from(name);
    char *identity = identity_new(protocol, name, port, tls, server_name);

    pthread_mutex_lock(&lock);
    struct target *t = map_find(&targets, slice_from(identity));
    if (t) {
        free(identity);
        free(name);
    } else {
        t = target_new(identity, name, port);
        if (tls)
            set_tls(t, tls, server_name);
        map_set(&targets, t->identity, t);
    }
    atomic_fetch_add(&t->refs, 1);
    pthread_mutex_unlock(&lock);
    return t;
}

struct target *target_hold(struct target *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void target_unref(struct target *t)
{
    if (refs_drop_unless_last(&t->refs))
        return;

    pthread_mutex_lock(&lock);
    bool is_last = atomic_fetch_sub(&t->refs, 1) == 1;
    if (is_last) {
        map_remove(&targets, t->identity);
        if (targets.n == 0)
            map_deinit(&targets);
    }
    pthread_mutex_unlock(&lock);
    if (is_last)
        target_free(t);
}

struct slice target_authority(const struct target *t, struct arena *a)
{
    bool is_v6 = slice_find_char(t->host, ':') >= 0;

    if (is_unix(t->host))
        return SLICE("localhost");
    return arena_printf(a, t->port == (t->tls ? 443 : 80) ? "%s%.*s%s" : "%s%.*s%s:%u",
                        is_v6 ? "[" : "", SLICE_ARG(t->host), is_v6 ? "]" : "", t->port);
}
