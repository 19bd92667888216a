/* SPDX-License-Identifier: Apache-2.0 */

/* PROXY headers, versions 1 and 2, as the protocol's text of 2020 has them: a balancer that passes
 * bytes on says in front of them whom they come from. Reading is strict: what the text does not
 * allow is refused, never guessed. Knows bytes only; net/proxy_read.h takes them from a
 * connection. */

#ifndef DML_NET_PROXY_PROTO_H
#define DML_NET_PROXY_PROTO_H

#include "base/base.h"
#include "base/slice.h"
#include "net/addr.h"

/* Longest header that is taken: a version 1 line has at most 107 bytes; version 2 could have 64 KiB
 * of extensions, of which those in use need some hundred bytes. */
#define PROXY_PROTO_V1_MAX 107
#define PROXY_PROTO_MAX (4 * KIB)

struct proxy_proto {
    /* False: the sender speaks for itself (LOCAL) or does not know (UNKNOWN, AF_UNSPEC): the
     * connection's own addresses hold. */
    bool has_addresses;
    /* The client, and where it had connected to. Of AF_UNIX clients the family only: their paths
     * are text of somebody else's choice, and no address here. */
    struct addr from, to;
};

/* The bytes that the header has (> 0). ERR_AGAIN: it is not whole, and all of the bytes belong to it.
 * ERR_PROTOCOL with a sentence in *why: they are no header, or one that is too long. */
MUST_CHECK ssize_t proxy_proto_read(struct slice bytes, struct proxy_proto *out, const char **why);

#endif
