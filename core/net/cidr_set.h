/* SPDX-License-Identifier: Apache-2.0 */

/* Sets of networks that are asked for addresses: sorted ranges that lie apart, so that a look-up among
 * thousands is a binary search. */

#ifndef DML_NET_CIDR_SET_H
#define DML_NET_CIDR_SET_H

#include "net/addr.h"

#define CIDR_KEY 17 /* bytes: IP version, then the address, so that IPv4 lies before IPv6 */

struct cidr_range {
    uint8_t first[CIDR_KEY], last[CIDR_KEY];
};

struct cidr_set {
    struct cidr_range *items;
    size_t n, cap;
};

/* Adding is followed by one cidr_set_sort before the first question. */
void cidr_set_add(struct cidr_set *set, const struct cidr *network);
void cidr_set_sort(struct cidr_set *set);
void cidr_set_free(struct cidr_set *set);

/* Lies all of this network (an address is one of a single host) in the set? */
bool cidr_set_covers(const struct cidr_set *set, const struct cidr *network);

#endif
