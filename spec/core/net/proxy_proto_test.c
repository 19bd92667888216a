/* SPDX-License-Identifier: Apache-2.0 */

/* PROXY headers by the examples and rules of the protocol's text: "2.1. Human-readable header
 * format", "2.2. Binary header format". */

#include "net/proxy_proto.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "support/test.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static struct proxy_proto header;
static const char *why;

static ssize_t read_bytes(struct slice bytes)
{
    why = NULL;
    ssize_t n = proxy_proto_read(bytes, &header, &why);
    if ((n == ERR_PROTOCOL) != (why != NULL))
        fail_msg("a refusal and its reason go together: %.*s", SLICE_ARG(bytes));
    return n;
}

/* Of each beginning of a whole header it is said that more must come, and behind it nothing is
 * looked at. */
static void expect_whole(struct slice bytes)
{
    char more[PROXY_PROTO_MAX + 64];

    for (size_t n = 0; n < bytes.len; n++)
        if (read_bytes(slice_sub(bytes, 0, n)) != ERR_AGAIN)
            fail_msg("%zu bytes of %zu are taken otherwise", n, bytes.len);
    memcpy(more, bytes.ptr, bytes.len);
    memcpy(more + bytes.len, "PROXY TCP9\n", 11);
    assert_int_equal(read_bytes(slice_of(more, bytes.len + 11)), bytes.len);
    assert_int_equal(read_bytes(bytes), bytes.len);
}

static void expect_addresses(const char *from, const char *to)
{
    char text[ADDR_TEXT];

    assert_true(header.has_addresses);
    addr_print(&header.from, text, sizeof(text));
    assert_string_equal(text, from);
    addr_print(&header.to, text, sizeof(text));
    assert_string_equal(text, to);
}

/* --- version 1 -------------------------------------------------------------------------------- */

static void lines_of_version_1_are_read(void **state)
{
    (void)state;
    expect_whole(SLICE("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"));
    expect_addresses("255.255.255.255:65535", "255.255.255.255:65535");
    expect_whole(SLICE("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"));
    expect_addresses("192.168.0.1:56324", "192.168.0.11:443");
    expect_whole(SLICE("PROXY TCP6 ffff:f:f:f:f:f:f:ffff ffff:f:f:f:f:f:f:ffff 65535 0\r\n"));
    expect_addresses("[ffff:f:f:f:f:f:f:ffff]:65535", "[ffff:f:f:f:f:f:f:ffff]:0");
    expect_whole(SLICE("PROXY TCP6 2001:DB8::7 ::1 1 2\r\n"));
    expect_addresses("[2001:db8::7]:1", "[::1]:2");
}

static void an_unknown_client_has_no_address(void **state)
{
    /* The longest line that there can be. */
    struct slice longest = SLICE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                                 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n");

    (void)state;
    expect_whole(SLICE("PROXY UNKNOWN\r\n"));
    assert_false(header.has_addresses);
    assert_int_equal(longest.len, PROXY_PROTO_V1_MAX);
    expect_whole(longest);
    assert_false(header.has_addresses);
    expect_whole(SLICE("PROXY UNKNOWN what stands here is nobody's concern\r\n"));
    assert_false(header.has_addresses);
}

static void what_is_no_line_of_version_1_is_refused(void **state)
{
    static const char *const lines[] = {
        "PROXY \r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4\t1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n",
        "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP6 ::1 1::2::3 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
        "PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 0x2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
        "PROXY UNKNOWN a\rb\r\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        if (read_bytes(slice_from(lines[i])) != ERR_PROTOCOL)
            fail_msg("taken: %s", lines[i]);
    assert_int_equal(read_bytes(SLICE("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n")), ERR_PROTOCOL);
}

static void a_line_has_at_most_107_bytes(void **state)
{
    char line[PROXY_PROTO_V1_MAX + 3] = "PROXY UNKNOWN ";

    (void)state;
    memset(line + 14, 'x', sizeof(line) - 14);
    assert_int_equal(read_bytes(slice_of(line, PROXY_PROTO_V1_MAX - 1)), ERR_AGAIN);
    assert_int_equal(read_bytes(slice_of(line, PROXY_PROTO_V1_MAX)), ERR_PROTOCOL);
    memcpy(line + PROXY_PROTO_V1_MAX - 1, "\r\n", 2);
    assert_int_equal(read_bytes(slice_of(line, PROXY_PROTO_V1_MAX + 1)), ERR_PROTOCOL);
    memcpy(line + PROXY_PROTO_V1_MAX - 2, "\r\n", 2);
    assert_int_equal(read_bytes(slice_of(line, PROXY_PROTO_V1_MAX)), PROXY_PROTO_V1_MAX);
}

static void who_speaks_something_else_is_not_waited_for(void **state)
{
    static const char *const texts[] = {"G",      "PROXX",    "PROXY\t",
                                        "proxy ", "\r\n\r\r", "\x16\x03\x01"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (read_bytes(slice_from(texts[i])) != ERR_PROTOCOL)
            fail_msg("waited for more behind: %s", texts[i]);
    assert_int_equal(read_bytes(SLICE("")), ERR_AGAIN);
}

/* --- version 2 -------------------------------------------------------------------------------- */

#define V2(command, family, rest) SLICE(SIGNATURE command family rest)

static void headers_of_version_2_are_read(void **state)
{
    (void)state;
    expect_whole(V2("\x21", "\x11", "\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"));
    expect_addresses("192.0.2.1:56324", "198.51.100.2:443");
    expect_whole(V2("\x21", "\x21",
                    "\0\x24"
                    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
                    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x08\0\x01\xff\xff"));
    expect_addresses("[2001:db8::7]:1", "[2001:db8::8]:65535");
}

static void extensions_are_skipped(void **state)
{
    (void)state;
    /* PP2_TYPE_ALPN "h2", PP2_TYPE_NOOP without a byte, a type of nobody's. */
    expect_whole(V2("\x21", "\x11",
                    "\0\x1b\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"
                    "\x01\0\x02h2\x04\0\0\xee\0\x04"
                    "abcd"));
    expect_addresses("192.0.2.1:56324", "198.51.100.2:443");
}

static void the_longest_header_is_4_kib(void **state)
{
    static char bytes[PROXY_PROTO_MAX + 1] = SIGNATURE "\x21\x11";
    size_t size = PROXY_PROTO_MAX - 16, value = size - 12 - 3;

    (void)state;
    bytes[14] = (char)(size >> 8);
    bytes[15] = (char)(size & 0xff);
    bytes[28] = 4;
    bytes[29] = (char)(value >> 8);
    bytes[30] = (char)(value & 0xff);
    assert_int_equal(read_bytes(slice_of(bytes, PROXY_PROTO_MAX)), PROXY_PROTO_MAX);
    bytes[15]++;
    assert_int_equal(read_bytes(slice_of(bytes, 16)), ERR_PROTOCOL); /* before it has come */
    memcpy(bytes + 14, "\xff\xff", 2);
    assert_int_equal(read_bytes(slice_of(bytes, 16)), ERR_PROTOCOL);
}

static void a_checksum_is_checked(void **state)
{
    /* The sum was computed by another program. */
    char bytes[] = SIGNATURE "\x21\x11\0\x13\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"
                             "\x03\0\x04\x20\xec\x95\x49";
    struct slice all = slice_of(bytes, sizeof(bytes) - 1);

    (void)state;
    expect_whole(all);
    expect_addresses("192.0.2.1:56324", "198.51.100.2:443");
    for (size_t i = 16; i < 28; i++) {
        bytes[i] ^= 1;
        assert_int_equal(read_bytes(all), ERR_PROTOCOL);
        bytes[i] ^= 1;
    }
    assert_int_equal(read_bytes(V2("\x21", "\x11",
                                   "\0\x11\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"
                                   "\x03\0\x02\0\0")),
                     ERR_PROTOCOL);
}

static void a_sender_may_speak_for_itself(void **state)
{
    (void)state;
    expect_whole(V2("\x20", "\0", "\0\0"));
    assert_false(header.has_addresses);
    /* What stands behind LOCAL is skipped unseen. */
    expect_whole(V2("\x20", "\x11", "\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"));
    assert_false(header.has_addresses);
    expect_whole(V2("\x20", "\xff", "\0\x02\xff\xff"));
    assert_false(header.has_addresses);
    /* AF_UNSPEC, with an extension. */
    expect_whole(V2("\x21", "\0", "\0\x03\x04\0\0"));
    assert_false(header.has_addresses);
}

static void clients_on_unix_sockets_have_no_name(void **state)
{
    char bytes[16 + 216] = SIGNATURE "\x21\x31\0\xd8/run/some\r\nX-Evil: 1";

    (void)state;
    expect_whole(slice_of(bytes, sizeof(bytes)));
    expect_addresses("unix:", "unix:");
}

static void what_is_no_header_of_version_2_is_refused(void **state)
{
    static const struct slice rows[] = {
        {SIGNATURE "\x11", 13},                                   /* version 1 */
        {SIGNATURE "\x31", 13},                                   /* version 3 */
        {SIGNATURE "\x22", 13},                                   /* no such command */
        {SIGNATURE "\x21\x01\0\0", 16},                           /* a stream of no family */
        {SIGNATURE "\x21\x12\0\x0c\1\2\3\4\1\2\3\4\0\1\0\2", 28}, /* datagrams */
        {SIGNATURE "\x21\x13\0\x0c\1\2\3\4\1\2\3\4\0\1\0\2", 28}, /* nothing that is known */
        {SIGNATURE "\x21\x41\0\x0c\1\2\3\4\1\2\3\4\0\1\0\2", 28}, /* no such family */
        {SIGNATURE "\x21\x11\0\x0b\1\2\3\4\1\2\3\4\0\1\0", 27},   /* too short */
        {SIGNATURE "\x21\x11\0\0", 16},
        {SIGNATURE "\x21\x11\0\x0d\1\2\3\4\1\2\3\4\0\1\0\2\4", 29},     /* half an extension */
        {SIGNATURE "\x21\x11\0\x0f\1\2\3\4\1\2\3\4\0\1\0\2\4\0\1", 31}, /* one that is cut */
        {SIGNATURE "\x21\0\0\x03\4\xff\xff", 19},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (read_bytes(rows[i]) != ERR_PROTOCOL)
            fail_msg("row %zu is taken", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_version_1_are_read),
        cmocka_unit_test(an_unknown_client_has_no_address),
        cmocka_unit_test(what_is_no_line_of_version_1_is_refused),
        cmocka_unit_test(a_line_has_at_most_107_bytes),
        cmocka_unit_test(who_speaks_something_else_is_not_waited_for),
        cmocka_unit_test(headers_of_version_2_are_read),
        cmocka_unit_test(extensions_are_skipped),
        cmocka_unit_test(the_longest_header_is_4_kib),
        cmocka_unit_test(a_checksum_is_checked),
        cmocka_unit_test(a_sender_may_speak_for_itself),
        cmocka_unit_test(clients_on_unix_sockets_have_no_name),
        cmocka_unit_test(what_is_no_header_of_version_2_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
