/* SPDX-License-Identifier: Apache-2.0 */

/* The PROXY header as bytes. A wrong byte is seen as soon as it is there: nobody is waited for who
 * speaks something else. Version 2's extensions are walked, for their lengths must fit, and left
 * alone but for the checksum. */

#include "net/proxy_proto.h"

#include <netinet/in.h>

#include "base/err.h"
#include "base/text.h"

#define V1_BEGIN SLICE("PROXY ")
#define V2_BEGIN SLICE("\r\n\r\n\0\r\nQUIT\n")
#define V2_HEAD 16 /* the beginning, version and command, family, length */
#define TLV_HEAD 3
#define TLV_CRC32C 3

static int refuse(const char **why, const char *text)
{
    *why = text;
    return ERR_PROTOCOL;
}

/* --- version 1 -------------------------------------------------------------------------------- */

static bool take_word(struct slice *rest, struct slice *word)
{
    return slice_split(rest, ' ', word) && word->len > 0;
}

/* Numbers have no zeros in front. */
static bool read_port(struct slice text, uint16_t *out)
{
    uint64_t n;

    if ((text.len > 1 && text.ptr[0] == '0') || text_to_u64(text, UINT16_MAX, &n) != 0)
        return false;
    *out = (uint16_t)n;
    return true;
}

static bool read_ip(struct slice ip, struct slice port, int family, struct addr *out)
{
    uint16_t number;

    return read_port(port, &number) && addr_parse_ip(ip, number, out) == 0 &&
           out->sa.sa_family == family;
}

/* "TCP4 192.0.2.1 192.0.2.2 56324 443"; behind UNKNOWN anything may stand. */
static int read_line(struct slice line, struct proxy_proto *out, const char **why)
{
    struct slice rest = line, protocol, words[4];
    int family;

    if (!take_word(&rest, &protocol))
        return refuse(why, "a PROXY line without a protocol");
    if (slice_eq(protocol, SLICE("UNKNOWN")))
        return 0;
    if (slice_eq(protocol, SLICE("TCP4")))
        family = AF_INET;
    else if (slice_eq(protocol, SLICE("TCP6")))
        family = AF_INET6;
    else
        return refuse(why, "a PROXY line with a protocol that is none of TCP4, TCP6, UNKNOWN");
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (!take_word(&rest, &words[i]))
            return refuse(why, "a PROXY line without two addresses and two ports");
    if (rest.ptr != NULL || !read_ip(words[0], words[2], family, &out->from) ||
        !read_ip(words[1], words[3], family, &out->to))
        return refuse(why, "a PROXY line with an address or port that is none");
    out->has_addresses = true;
    return 0;
}

static ssize_t read_v1(struct slice bytes, struct proxy_proto *out, const char **why)
{
    struct slice line = slice_sub(bytes, 0, MIN(bytes.len, PROXY_PROTO_V1_MAX));
    size_t end = 0;
    int rc;

    while (end < line.len && line.ptr[end] != '\r' && line.ptr[end] != '\n')
        end++;
    bool is_cut = end + 1 >= line.len && !(end < line.len && line.ptr[end] == '\n');
    if (is_cut && line.len < PROXY_PROTO_V1_MAX)
        return ERR_AGAIN;
    if (is_cut)
        return refuse(why, "a PROXY line of more than 107 bytes");
    if (line.ptr[end] != '\r' || line.ptr[end + 1] != '\n')
        return refuse(why, "a PROXY line that does not end in CR LF");
    rc = read_line(slice_sub(line, V1_BEGIN.len, end - V1_BEGIN.len), out, why);
    return rc < 0 ? rc : (ssize_t)end + 2;
}

/* --- version 2 -------------------------------------------------------------------------------- */

/* CRC-32C (Castagnoli), four bits at a time. */
static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

/* at: where the sum stands in the header, and counts as zeros. */
static bool has_sum(const uint8_t *header, size_t len, size_t at)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(~0u, header, at);

    crc = crc32c(crc, zeros, sizeof(zeros));
    crc = crc32c(crc, header + at + 4, len - at - 4);
    return ~crc == be32(header + at);
}

static int check_extensions(const uint8_t *header, size_t len, size_t at, const char **why)
{
    while (at < len) {
        if (len - at < TLV_HEAD || len - at - TLV_HEAD < be16(header + at + 1))
            return refuse(why, "a PROXY header with an extension longer than the header");
        size_t size = be16(header + at + 1);
        if (header[at] == TLV_CRC32C && (size != 4 || !has_sum(header, len, at + TLV_HEAD)))
            return refuse(why, "a PROXY header with a wrong checksum");
        at += TLV_HEAD + size;
    }
    return 0;
}

static void get_ip4(struct addr *out, const uint8_t *ip, const uint8_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};

    memcpy(&in.sin_addr, ip, sizeof(in.sin_addr));
    memcpy(&in.sin_port, port, sizeof(in.sin_port));
    memcpy(&out->storage, &in, sizeof(in));
    out->len = sizeof(in);
}

static void get_ip6(struct addr *out, const uint8_t *ip, const uint8_t *port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    memcpy(&in6.sin6_addr, ip, sizeof(in6.sin6_addr));
    memcpy(&in6.sin6_port, port, sizeof(in6.sin6_port));
    memcpy(&out->storage, &in6, sizeof(in6));
    out->len = sizeof(in6);
}

static void get_unnamed(struct addr *out)
{
    out->sa.sa_family = AF_UNIX;
    out->len = sizeof(out->sa.sa_family);
}

/* Bytes of the addresses of a family and protocol; negative when there is no such pair on a stream. */
static int addresses_size(uint8_t family)
{
    switch (family) {
    case 0x00: return 0;
    case 0x11: return 2 * 4 + 2 * 2;
    case 0x21: return 2 * 16 + 2 * 2;
    case 0x31: return 2 * 108;
    default: return -1;
    }
}

static void get_addresses(const uint8_t *p, uint8_t family, struct proxy_proto *out)
{
    out->has_addresses = family != 0;
    if (family == 0x11) {
        get_ip4(&out->from, p, p + 8);
        get_ip4(&out->to, p + 4, p + 10);
    } else if (family == 0x21) {
        get_ip6(&out->from, p, p + 32);
        get_ip6(&out->to, p + 16, p + 34);
    } else if (family == 0x31) {
        get_unnamed(&out->from);
        get_unnamed(&out->to);
    }
}

static int read_body(const uint8_t *header, size_t len, struct proxy_proto *out, const char **why)
{
    uint8_t family = header[13];
    int size = addresses_size(family);

    if (header[12] == 0x20) /* LOCAL: whatever else it says does not matter */
        return 0;
    if (size < 0)
        return refuse(why, "a PROXY header of an address family that no stream has");
    if (len < V2_HEAD + (size_t)size)
        return refuse(why, "a PROXY header too short for its addresses");
    get_addresses(header + V2_HEAD, family, out);
    return check_extensions(header, len, V2_HEAD + (size_t)size, why);
}

static ssize_t read_v2(struct slice bytes, struct proxy_proto *out, const char **why)
{
    const uint8_t *p = (const uint8_t *)bytes.ptr;
    int rc;

    if (bytes.len > 12 && p[12] != 0x20 && p[12] != 0x21)
        return refuse(why, "a PROXY header of an unknown version or command");
    if (bytes.len < V2_HEAD)
        return ERR_AGAIN;
    size_t len = V2_HEAD + be16(p + 14);
    if (len > PROXY_PROTO_MAX)
        return refuse(why, "a PROXY header of more than 4 KiB");
    if (bytes.len < len)
        return ERR_AGAIN;
    rc = read_body(p, len, out, why);
    return rc < 0 ? rc : (ssize_t)len;
}

/* Has a text begun, as far as there are bytes? */
static bool begins(struct slice bytes, struct slice text)
{
    size_t n = MIN(bytes.len, text.len);

    return n == 0 || memcmp(bytes.ptr, text.ptr, n) == 0;
}

ssize_t proxy_proto_read(struct slice bytes, struct proxy_proto *out, const char **why)
{
    *out = (struct proxy_proto){.has_addresses = false};
    if (begins(bytes, V1_BEGIN))
        return bytes.len < V1_BEGIN.len ? ERR_AGAIN : read_v1(bytes, out, why);
    if (begins(bytes, V2_BEGIN))
        return bytes.len < V2_BEGIN.len ? ERR_AGAIN : read_v2(bytes, out, why);
    return refuse(why, "no PROXY header");
}
