/* SPDX-License-Identifier: Apache-2.0 */

/* The newest key first. Who needs a key looks at the clock too: nothing has to remember to turn the
 * ring. */

#include "net/tls_tickets.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/rand.h"

#define KEYS_MAX 4
#define TURN_S 3600
#define KEPT_S (TURN_S + TLS_TICKET_LIFETIME_S)
#define FORMAT 1 /* of the exported bytes */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_ticket_key ring[KEYS_MAX];
static size_t nkeys;

static void add_key(uint64_t now_s)
{
    memmove(ring + 1, ring, (KEYS_MAX - 1) * sizeof(ring[0]));
    nkeys = MIN(nkeys + 1, KEYS_MAX);
    ring[0].made_s = now_s;
    rand_secure(ring[0].name, sizeof(ring[0].name));
    rand_secure(ring[0].cipher, sizeof(ring[0].cipher));
    rand_secure(ring[0].mac, sizeof(ring[0].mac));
}

static bool is_older(const struct tls_ticket_key *k, uint64_t now_s, uint64_t than_s)
{
    return now_s > k->made_s && now_s - k->made_s >= than_s;
}

static void turn(void)
{
    uint64_t now_s = clock_wall_ms_now() / 1000;

    while (nkeys > 0 && is_older(&ring[nkeys - 1], now_s, KEPT_S))
        explicit_bzero(&ring[--nkeys], sizeof(ring[0]));
    if (nkeys == 0 || is_older(&ring[0], now_s, TURN_S))
        add_key(now_s);
}

void tls_tickets_current(struct tls_ticket_key *out)
{
    pthread_mutex_lock(&lock);
    turn();
    *out = ring[0];
    pthread_mutex_unlock(&lock);
}

enum tls_ticket_found tls_tickets_find(const uint8_t name[16], struct tls_ticket_key *out)
{
    enum tls_ticket_found found = TLS_TICKET_NONE;

    pthread_mutex_lock(&lock);
    turn();
    for (size_t i = 0; i < nkeys && found == TLS_TICKET_NONE; i++) {
        if (memcmp(ring[i].name, name, sizeof(ring[i].name)) != 0)
            continue;
        *out = ring[i];
        found = i == 0 ? TLS_TICKET_CURRENT : TLS_TICKET_OLD;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

size_t tls_tickets_export(uint8_t out[TLS_TICKETS_BYTES])
{
    _Static_assert(1 + sizeof(ring) <= TLS_TICKETS_BYTES, "the ring fits");
    pthread_mutex_lock(&lock);
    turn();
    size_t len = nkeys * sizeof(ring[0]);
    out[0] = FORMAT;
    memcpy(out + 1, ring, len);
    pthread_mutex_unlock(&lock);
    return 1 + len;
}

int tls_tickets_import(struct slice bytes)
{
    size_t len = bytes.len - 1;

    if (bytes.len < 1 || bytes.ptr[0] != FORMAT || len % sizeof(ring[0]) != 0 || len > sizeof(ring))
        return ERR_SYNTAX;
    pthread_mutex_lock(&lock);
    memcpy(ring, bytes.ptr + 1, len);
    nkeys = len / sizeof(ring[0]);
    pthread_mutex_unlock(&lock);
    return 0;
}
