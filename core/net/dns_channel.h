/* SPDX-License-Identifier: Apache-2.0 */

/* c-ares on a loop: questions to name servers, for dns.c, which has the cache and the deadlines. */

#ifndef DML_NET_DNS_CHANNEL_H
#define DML_NET_DNS_CHANNEL_H

#include <ares.h>

#include "base/base.h"

struct dns_channel;
struct loop;

/* servers: "1.2.3.4", "1.2.3.4:53", "[::1]:53"; none: those of the system's resolv.conf.
 * timeout_ms: of one lookup, tries included. NULL when one of the servers is no address. */
struct dns_channel *dns_channel_new(struct loop *l, uint64_t timeout_ms, const char *const *servers,
                                    size_t n);

/* fn is called for what is pending, with ARES_EDESTRUCTION. Not from inside a fn. */
void dns_channel_free(struct dns_channel *c);

/* A and AAAA of a name. fn is called once, perhaps before this returns; it must not call into the
 * channel, and frees the result. */
void dns_channel_ask(struct dns_channel *c, const char *name, ares_addrinfo_callback fn, void *arg);

#endif
