/* SPDX-License-Identifier: Apache-2.0 */

/* Names to addresses by c-ares on the loop: A and AAAA, a cache that honours TTLs within bounds,
 * one query for many askers. /etc/hosts is read when the resolver is made and when it changes
 * (looked at once a second at most). One resolver per thread. Literal addresses and "localhost"
 * are answered without a query. */

#ifndef DML_NET_DNS_H
#define DML_NET_DNS_H

#include "base/base.h"
#include "base/slice.h"
#include "net/addr.h"

struct loop;
struct dns;
struct dns_query;

struct dns_options {
    /* "1.2.3.4", "1.2.3.4:53", "[::1]:53"; none: those of the system's resolv.conf. */
    const char *const *servers;
    size_t nservers;
    uint32_t min_ttl_ms, max_ttl_ms; /* bounds of what the answer says */
    uint32_t negative_ttl_ms;        /* for "no such name"; failures of servers are not cached */
    uint32_t timeout_ms;             /* of one lookup, tries included */
    size_t max_entries;              /* of the cache */
    const char *hosts_path;          /* NULL: /etc/hosts */
};

struct dns_answer {
    const struct addr *addrs; /* IPv4 first; port 0; valid during the callback */
    size_t naddrs;
    uint64_t ttl_ms; /* left */
};

/* err 0, or ERR_DNS (no such name, no address), ERR_TIMEOUT, ERR_LIMIT (out of descriptors). A
 * stale answer is used, with a warning in the log, for up to max_ttl_ms when the servers fail. */
typedef void (*dns_fn)(void *arg, int err, const struct dns_answer *answer);

/* NULL when one of the servers is no address. */
struct dns *dns_new(struct loop *l, const struct dns_options *o);

/* From now on with these servers and TTLs (the rest stays). With other servers all names are asked for anew, also what is
 * being asked. Its texts are copied; the servers are addresses. Not from inside a dns_fn. */
void dns_configure(struct dns *d, const struct dns_options *o);

/* Open queries end with ERR_CANCELLED. Not from inside a dns_fn. */
void dns_free(struct dns *d);

/* NULL when the answer was there: then fn has been called already. Otherwise fn is called from the
 * loop, unless cancelled; the query has ended by then. Names are taken as they are: no search
 * list. */
struct dns_query *dns_resolve(struct dns *d, struct slice name, dns_fn fn, void *arg);
void dns_cancel(struct dns_query *q);

#endif
