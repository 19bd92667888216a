/* SPDX-License-Identifier: Apache-2.0 */

/* Socket addresses and networks: IPv4, IPv6, unix. */

#ifndef DML_NET_ADDR_H
#define DML_NET_ADDR_H

#include <sys/socket.h>

#include "base/base.h"
#include "base/slice.h"

struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_storage storage;
    };
    socklen_t len;
};

#define ADDR_TEXT 128 /* room for any printed form */

/* "1.2.3.4:80", "[::1]:80", "unix:/path"; host must be an address, not a name. ERR_SYNTAX,
 * ERR_RANGE (port). */
MUST_CHECK int addr_parse(struct slice s, struct addr *out);

/* An IP address without port. */
MUST_CHECK int addr_parse_ip(struct slice s, uint16_t port, struct addr *out);

/* Is it an IPv6 address with a zone ("fe80::1%eth0", in brackets or not), which no function here takes? */
bool addr_has_zone(struct slice s);
#define ADDR_ZONE_FAULT \
    "zones of IPv6 addresses (%eth0) are not supported: use an address that is not link-local"

/* "host:port" or "[v6]:port" -> its parts; the host may be a name. *port is 0 when there is
 * none. */
MUST_CHECK int addr_split(struct slice s, struct slice *host, uint16_t *port);

/* With and without port; return the length, NUL-terminated. IPv4-mapped IPv6 prints as IPv4. */
size_t addr_print(const struct addr *a, char *out, size_t size);
size_t addr_print_ip(const struct addr *a, char *out, size_t size);

uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port); /* an IP address's */
bool addr_is_unix(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
bool addr_eq(const struct addr *a, const struct addr *b); /* with port */
bool addr_is_wildcard(const struct addr *a);              /* 0.0.0.0 or :: */

/* A listener on the wildcard `a` stands for one on b, too: same port (not 0) and IP version. */
bool addr_covers(const struct addr *a, const struct addr *b);

/* An IPv4-mapped IPv6 address becomes the IPv4 one. */
void addr_unmap(struct addr *a);

/* Networks in CIDR notation; a bare address is a host network. IPv4-mapped addresses match IPv4
 * networks. */
struct cidr {
    uint8_t bytes[16];
    uint8_t bits;
    bool v6;
};
MUST_CHECK int cidr_parse(struct slice s, struct cidr *out);
bool cidr_has(const struct cidr *c, const struct addr *a);
bool cidr_list_has(const struct cidr *list, size_t n, const struct addr *a);

#endif
