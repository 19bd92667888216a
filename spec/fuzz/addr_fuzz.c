/* SPDX-License-Identifier: Apache-2.0 */

/* Addresses, networks and host:port pairs from any text. What is taken must print to something
 * that is taken again and is the same; what is printed must fit. */

#include "net/addr.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

static void round_trip(struct slice text)
{
    struct addr a, b;
    char out[ADDR_TEXT];
    size_t len;

    if (addr_parse(text, &a) != 0)
        return;
    len = addr_print(&a, out, sizeof(out));
    expect(len < sizeof(out) - 1 && out[len] == '\0');
    expect(addr_parse(slice_of(out, len), &b) == 0);
    expect(addr_eq(&a, &b) && addr_port(&a) == addr_port(&b));
    len = addr_print_ip(&a, out, sizeof(out));
    if (!addr_is_unix(&a))
        expect(addr_parse_ip(slice_of(out, len), addr_port(&a), &b) == 0 && addr_eq(&a, &b));
    (void)addr_is_loopback(&a);
}

/* A network has the address that it was written with. */
static void network(struct slice text)
{
    ssize_t slash = slice_find_char(text, '/');
    struct cidr c;
    struct addr a;

    if (cidr_parse(text, &c) != 0)
        return;
    expect(c.bits <= (c.v6 ? 128 : 32));
    expect(addr_parse_ip(slash < 0 ? text : slice_sub(text, 0, (size_t)slash), 0, &a) == 0);
    /* An IPv6 network wider than all of IPv4 in IPv6 is the one that has no IPv4 addresses. */
    if (!c.v6 || c.bits > 96)
        expect(cidr_has(&c, &a));
}

static void split(struct slice text)
{
    struct slice host;
    uint16_t port;

    if (addr_split(text, &host, &port) != 0)
        return;
    expect(host.len > 0 && host.ptr >= text.ptr && host.ptr + host.len <= text.ptr + text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice text = slice_of((const char *)bytes, len);

    round_trip(text);
    network(text);
    split(text);
    return 0;
}
