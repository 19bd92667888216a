/* SPDX-License-Identifier: Apache-2.0 */

/* Addresses as text and back. IPv4-mapped IPv6 addresses, which dual-stack sockets and proxies
 * deliver, count as the IPv4 addresses that they stand for, in printing, comparing and matching
 * alike. */

#include "net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/text.h"

#define UNIX_PREFIX SLICE("unix:")
#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct sockaddr_in *in4(const struct addr *a)
{
    return (struct sockaddr_in *)&a->storage;
}

static struct sockaddr_in6 *in6(const struct addr *a)
{
    return (struct sockaddr_in6 *)&a->storage;
}

static struct sockaddr_un *un(const struct addr *a)
{
    return (struct sockaddr_un *)&a->storage;
}

/* The address's bytes, mapped ones as IPv4; 4, 16, or 0 when it is no IP address. */
static size_t ip_bytes(const struct addr *a, const uint8_t **bytes)
{
    if (a->sa.sa_family == AF_INET) {
        *bytes = (const uint8_t *)&in4(a)->sin_addr;
        return 4;
    }
    if (a->sa.sa_family != AF_INET6)
        return 0;
    *bytes = in6(a)->sin6_addr.s6_addr;
    if (memcmp(*bytes, mapped_prefix, sizeof(mapped_prefix)) != 0)
        return 16;
    *bytes += sizeof(mapped_prefix);
    return 4;
}

static int parse_unix(struct slice path, struct addr *out)
{
    if (path.len < 2 || path.ptr[0] != '/' || memchr(path.ptr, '\0', path.len))
        return ERR_SYNTAX;
    if (path.len >= sizeof(un(out)->sun_path))
        return ERR_RANGE;
    memset(&out->storage, 0, sizeof(out->storage));
    un(out)->sun_family = AF_UNIX;
    memcpy(un(out)->sun_path, path.ptr, path.len);
    out->len = (socklen_t)(PATH_OFFSET + path.len + 1);
    return 0;
}

static int parse_port(struct slice s, uint16_t *out)
{
    uint64_t port;
    int rc = text_to_u64(s, UINT16_MAX, &port);

    if (rc == 0)
        *out = (uint16_t)port;
    return rc;
}

int addr_parse_ip(struct slice s, uint16_t port, struct addr *out)
{
    char text[INET6_ADDRSTRLEN];

    if (s.len == 0 || s.len >= sizeof(text) || memchr(s.ptr, '\0', s.len))
        return ERR_SYNTAX;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    memset(&out->storage, 0, sizeof(out->storage));
    if (inet_pton(AF_INET, text, &in4(out)->sin_addr) == 1) {
        in4(out)->sin_family = AF_INET;
        in4(out)->sin_port = htons(port);
        out->len = sizeof(struct sockaddr_in);
        return 0;
    }
    if (inet_pton(AF_INET6, text, &in6(out)->sin6_addr) == 1) {
        in6(out)->sin6_family = AF_INET6;
        in6(out)->sin6_port = htons(port);
        out->len = sizeof(struct sockaddr_in6);
        return 0;
    }
    return ERR_SYNTAX;
}

bool addr_has_zone(struct slice s)
{
    ssize_t open = slice_find_char(s, '['), percent = slice_find_char(s, '%');
    struct slice ip = slice_sub(s, (size_t)(open + 1), (size_t)MAX(percent - open - 1, 0));
    struct addr a;

    return percent > open && addr_parse_ip(ip, 0, &a) == 0 && a.sa.sa_family == AF_INET6;
}

/* "[v6]" or "[v6]:port": what is in the brackets, and what follows them. */
static int split_brackets(struct slice s, struct slice *host, struct slice *port)
{
    struct addr a;
    ssize_t end = slice_find_char(s, ']');

    if (end < 0)
        return ERR_SYNTAX;
    *host = slice_sub(s, 1, (size_t)end - 1);
    if (addr_parse_ip(*host, 0, &a) != 0 || a.sa.sa_family != AF_INET6)
        return ERR_SYNTAX;
    *port = slice_from_index(s, (size_t)end + 1);
    if (port->len == 0)
        *port = SLICE_NONE;
    else if (port->ptr[0] != ':')
        return ERR_SYNTAX;
    else
        *port = slice_from_index(*port, 1);
    return 0;
}

static int split_plain(struct slice s, struct slice *host, struct slice *port)
{
    struct addr a;
    ssize_t colon = slice_find_char(s, ':');

    *host = s;
    *port = SLICE_NONE;
    if (colon >= 0 && colon != slice_find_last_char(s, ':'))
        return addr_parse_ip(s, 0, &a); /* IPv6 without brackets has no port */
    if (colon >= 0) {
        *host = slice_sub(s, 0, (size_t)colon);
        *port = slice_from_index(s, (size_t)colon + 1);
    }
    if (host->len == 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < host->len; i++)
        if (host->ptr[i] <= ' ' || host->ptr[i] >= 0x7f || strchr("\"#/<>?@[\\]", host->ptr[i]))
            return ERR_SYNTAX;
    return 0;
}

int addr_split(struct slice s, struct slice *host, uint16_t *port)
{
    struct slice digits;
    int rc;

    *port = 0;
    if (s.len > 0 && s.ptr[0] == '[')
        rc = split_brackets(s, host, &digits);
    else
        rc = split_plain(s, host, &digits);
    if (rc == 0 && digits.ptr)
        rc = parse_port(digits, port);
    return rc;
}

int addr_parse(struct slice s, struct addr *out)
{
    struct slice host, digits;
    uint16_t port = 0;
    int rc;

    if (slice_starts(s, UNIX_PREFIX))
        return parse_unix(slice_from_index(s, UNIX_PREFIX.len), out);
    if (s.len > 0 && s.ptr[0] == '[')
        rc = split_brackets(s, &host, &digits);
    else
        rc = split_plain(s, &host, &digits);
    if (rc == 0)
        rc = digits.ptr ? parse_port(digits, &port) : ERR_SYNTAX;
    return rc ? rc : addr_parse_ip(host, port, out);
}

static size_t print_unix(const struct addr *a, char *out, size_t size)
{
    size_t len = a->len > PATH_OFFSET ? a->len - PATH_OFFSET : 0;
    const char *path = un(a)->sun_path;
    int n;

    if (len > 0 && path[0] == '\0') /* Linux's abstract names, which only a peer can have */
        n = snprintf(out, size, "unix:@%.*s", (int)strnlen(path + 1, len - 1), path + 1);
    else
        n = snprintf(out, size, "unix:%.*s", (int)strnlen(path, len), path);
    return MIN((size_t)n, size - 1);
}

size_t addr_print_ip(const struct addr *a, char *out, size_t size)
{
    const uint8_t *bytes;
    size_t len = ip_bytes(a, &bytes);
    char text[INET6_ADDRSTRLEN];
    int n;

    if (len == 0)
        return print_unix(a, out, size);
    n = snprintf(out, size, "%s",
                 inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, text, sizeof(text)));
    return MIN((size_t)n, size - 1);
}

size_t addr_print(const struct addr *a, char *out, size_t size)
{
    const uint8_t *bytes;
    size_t len = ip_bytes(a, &bytes);
    char text[INET6_ADDRSTRLEN];
    int n;

    if (len == 0)
        return print_unix(a, out, size);
    inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, text, sizeof(text));
    n = snprintf(out, size, len == 4 ? "%s:%u" : "[%s]:%u", text, addr_port(a));
    return MIN((size_t)n, size - 1);
}

uint16_t addr_port(const struct addr *a)
{
    if (a->sa.sa_family == AF_INET)
        return ntohs(in4(a)->sin_port);
    return a->sa.sa_family == AF_INET6 ? ntohs(in6(a)->sin6_port) : 0;
}

void addr_set_port(struct addr *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET6)
        in6(a)->sin6_port = htons(port);
    else
        in4(a)->sin_port = htons(port);
}

bool addr_is_unix(const struct addr *a)
{
    return a->sa.sa_family == AF_UNIX;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    const uint8_t *bytes;
    size_t len = ip_bytes(a, &bytes);

    return len == 4 ? bytes[0] == 127 : len == 16 && memcmp(bytes, loopback6, 16) == 0;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    const uint8_t *x, *y;
    size_t len = ip_bytes(a, &x);

    if (len == 0)
        return a->len == b->len && memcmp(&a->storage, &b->storage, a->len) == 0;
    if (ip_bytes(b, &y) != len || memcmp(x, y, len) != 0 || addr_port(a) != addr_port(b))
        return false;
    return len == 4 || in6(a)->sin6_scope_id == in6(b)->sin6_scope_id;
}

bool addr_is_wildcard(const struct addr *a)
{
    static const uint8_t any[16];
    const uint8_t *bytes;
    size_t len = ip_bytes(a, &bytes);

    return len > 0 && memcmp(bytes, any, len) == 0;
}

bool addr_covers(const struct addr *a, const struct addr *b)
{
    const uint8_t *x, *y;

    return addr_is_wildcard(a) && ip_bytes(a, &x) == ip_bytes(b, &y) && addr_port(a) > 0 &&
           addr_port(a) == addr_port(b);
}

void addr_unmap(struct addr *a)
{
    const uint8_t *bytes;
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (a->sa.sa_family != AF_INET6 || ip_bytes(a, &bytes) != 4)
        return;
    memcpy(&in.sin_addr, bytes, 4);
    in.sin_port = in6(a)->sin6_port;
    memset(&a->storage, 0, sizeof(a->storage));
    memcpy(&a->storage, &in, sizeof(in));
    a->len = sizeof(in);
}

/* Clears what the prefix length leaves open, so that networks compare by their bytes. */
static void mask(uint8_t *bytes, size_t len, size_t bits)
{
    for (size_t i = 0; i < len; i++) {
        size_t kept = bits > i * 8 ? MIN(bits - i * 8, 8) : 0;
        bytes[i] &= (uint8_t)(0xff00 >> kept);
    }
}

int cidr_parse(struct slice s, struct cidr *out)
{
    ssize_t slash = slice_find_char(s, '/');
    struct slice ip = slash < 0 ? s : slice_sub(s, 0, (size_t)slash);
    const uint8_t *bytes;
    struct addr a;
    uint64_t bits;
    size_t len, width;
    int rc = addr_parse_ip(ip, 0, &a);

    if (rc != 0)
        return rc;
    width = a.sa.sa_family == AF_INET ? 32 : 128;
    bits = width;
    if (slash >= 0 && (rc = text_to_u64(slice_from_index(s, (size_t)slash + 1), width, &bits)) != 0)
        return rc;

    len = ip_bytes(&a, &bytes);
    if (width == 128 && len == 4) { /* mapped: an IPv4 network, unless wider than all IPv4 */
        len = bits >= 96 ? 4 : 16;
        bits -= bits >= 96 ? 96 : 0;
        bytes -= len == 16 ? sizeof(mapped_prefix) : 0;
    }
    *out = (struct cidr){.bits = (uint8_t)bits, .v6 = len == 16};
    memcpy(out->bytes, bytes, len);
    mask(out->bytes, len, bits);
    return 0;
}

bool cidr_has(const struct cidr *c, const struct addr *a)
{
    const uint8_t *bytes;
    uint8_t network[16];
    size_t len = ip_bytes(a, &bytes);

    if (len != (c->v6 ? 16 : 4))
        return false;
    memcpy(network, bytes, len);
    mask(network, len, c->bits);
    return memcmp(network, c->bytes, len) == 0;
}

bool cidr_list_has(const struct cidr *list, size_t n, const struct addr *a)
{
    for (size_t i = 0; i < n; i++)
        if (cidr_has(&list[i], a))
            return true;
    return false;
}
