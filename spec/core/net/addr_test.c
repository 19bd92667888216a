/* SPDX-License-Identifier: Apache-2.0 */

#include "net/addr.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/err.h"
#include "support/test.h"

static struct addr parsed(const char *text)
{
    struct addr a;

    if (addr_parse(slice_from(text), &a) != 0)
        fail_msg("does not parse: %s", text);
    return a;
}

static struct addr ip(const char *text)
{
    struct addr a;

    if (addr_parse_ip(slice_from(text), 0, &a) != 0)
        fail_msg("does not parse: %s", text);
    return a;
}

static void addresses_are_read_and_printed(void **state)
{
    static const struct {
        const char *text, *printed, *without_port;
        int port;
    } rows[] = {
        {"1.2.3.4:80", "1.2.3.4:80", "1.2.3.4", 80},
        {"0.0.0.0:0", "0.0.0.0:0", "0.0.0.0", 0},
        {"255.255.255.255:65535", "255.255.255.255:65535", "255.255.255.255", 65535},
        {"[::1]:443", "[::1]:443", "::1", 443},
        {"[::]:8080", "[::]:8080", "::", 8080},
        {"[2001:DB8:0:0::1]:1", "[2001:db8::1]:1", "2001:db8::1", 1},
        {"[::ffff:10.1.2.3]:80", "10.1.2.3:80", "10.1.2.3", 80},
        {"unix:/run/a.sock", "unix:/run/a.sock", "unix:/run/a.sock", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr a = parsed(rows[i].text);
        char out[ADDR_TEXT];
        assert_int_equal(addr_print(&a, out, sizeof(out)), strlen(rows[i].printed));
        assert_string_equal(out, rows[i].printed);
        assert_int_equal(addr_print_ip(&a, out, sizeof(out)), strlen(rows[i].without_port));
        assert_string_equal(out, rows[i].without_port);
        assert_int_equal(addr_port(&a), rows[i].port);
    }
}

static void what_is_no_address_is_refused(void **state)
{
    static const struct {
        const char *text;
        int err;
    } rows[] = {
        {"", ERR_SYNTAX},
        {":80", ERR_SYNTAX},
        {"1.2.3.4", ERR_SYNTAX},
        {"1.2.3.4:", ERR_SYNTAX},
        {"1.2.3.4:+80", ERR_SYNTAX},
        {"1.2.3.4:80 ", ERR_SYNTAX},
        {" 1.2.3.4:80", ERR_SYNTAX},
        {"1.2.3.4:65536", ERR_RANGE},
        {"1.2.3.4:99999999999999999999999", ERR_RANGE},
        {"1.2.3:80", ERR_SYNTAX},
        {"1.2.3.256:80", ERR_SYNTAX},
        {"1.2.3.4.5:80", ERR_SYNTAX},
        {"::1:80", ERR_SYNTAX},
        {"[::1]", ERR_SYNTAX},
        {"[::1]80", ERR_SYNTAX},
        {"[::1:80", ERR_SYNTAX},
        {"[]:80", ERR_SYNTAX},
        {"[1.2.3.4]:80", ERR_SYNTAX},
        {"[fe80::1%eth0]:80", ERR_SYNTAX},
        {"[1:2:3:4:5:6:7:8:9]:80", ERR_SYNTAX},
        {"localhost:80", ERR_SYNTAX},
        {"unix:", ERR_SYNTAX},
        {"unix:/", ERR_SYNTAX},
        {"unix:relative", ERR_SYNTAX},
    };
    struct addr a;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (addr_parse(slice_from(rows[i].text), &a) != rows[i].err)
            fail_msg("taken otherwise: %s", rows[i].text);
    assert_int_equal(addr_parse(SLICE("1.2.3.4\0:80"), &a), ERR_SYNTAX);
    assert_int_equal(addr_parse(SLICE("unix:/a\0b"), &a), ERR_SYNTAX);
}

static void a_unix_path_may_be_as_long_as_the_system_allows(void **state)
{
    char text[5 + sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = "unix:/", out[ADDR_TEXT];
    struct addr a;

    (void)state;
    memset(text + 6, 'x', sizeof(text) - 6);
    assert_int_equal(addr_parse(slice_of(text, sizeof(text) - 2), &a), 0);
    assert_true(addr_is_unix(&a));
    assert_int_equal(addr_print(&a, out, sizeof(out)), sizeof(text) - 2);
    assert_memory_equal(out, text, sizeof(text) - 2);
    assert_int_equal(addr_parse(slice_of(text, sizeof(text) - 1), &a), ERR_RANGE);
}

static void unnamed_and_abstract_peers_print(void **state)
{
    struct addr a = {.len = sizeof(sa_family_t)};
    char out[ADDR_TEXT];

    (void)state;
    a.sa.sa_family = AF_UNIX;
    assert_int_equal(addr_print(&a, out, sizeof(out)), 5);
    assert_string_equal(out, "unix:");
    memcpy(((struct sockaddr_un *)&a.storage)->sun_path, "\0name", 5);
    a.len += 5;
    addr_print(&a, out, sizeof(out));
    assert_string_equal(out, "unix:@name");
}

static void hosts_and_ports_are_split(void **state)
{
    static const struct {
        const char *text, *host;
        int port;
    } rows[] = {
        {"example.com", "example.com", 0},
        {"example.com:80", "example.com", 80},
        {"a_b-c.test:65535", "a_b-c.test", 65535},
        {"1.2.3.4:5", "1.2.3.4", 5},
        {"[::1]:443", "::1", 443},
        {"[2001:db8::1]", "2001:db8::1", 0},
        {"::1", "::1", 0},
        {"2001:db8::1:80", "2001:db8::1:80", 0},
    };
    static const char *const refused[] = {
        "",    ":80",       "a:",        "a:b",  "a:80:90", "a b", "a/b", "user@host",
        "[a]", "[1.2.3.4]", "[::1]:",    "[::1", "::1]",    "a]",  "[",   "a\tb",
        "[]",  "[::1]x",    "h\xc3\xa9", "a?b",  "a#b",     "a\\b"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice host;
        uint16_t port;
        if (addr_split(slice_from(rows[i].text), &host, &port) != 0)
            fail_msg("does not split: %s", rows[i].text);
        assert_true(slice_eq(host, slice_from(rows[i].host)));
        assert_int_equal(port, rows[i].port);
    }
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct slice host;
        uint16_t port;
        if (addr_split(slice_from(refused[i]), &host, &port) != ERR_SYNTAX)
            fail_msg("taken: %s", refused[i]);
    }
    assert_int_equal(addr_split(SLICE("a:65536"), &(struct slice){0}, &(uint16_t){0}), ERR_RANGE);
}

static void addresses_compare_with_their_port(void **state)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"1.2.3.4:80", "1.2.3.4:80", true},      {"1.2.3.4:80", "1.2.3.4:81", false},
        {"1.2.3.4:80", "1.2.3.5:80", false},     {"[::1]:80", "[0:0::1]:80", true},
        {"[::1]:80", "[::2]:80", false},         {"[::ffff:1.2.3.4]:80", "1.2.3.4:80", true},
        {"[::1.2.3.4]:80", "1.2.3.4:80", false}, {"unix:/a", "unix:/a", true},
        {"unix:/a", "unix:/ab", false},          {"unix:/a", "1.2.3.4:80", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr a = parsed(rows[i].a), b = parsed(rows[i].b);
        if (addr_eq(&a, &b) != rows[i].equal || addr_eq(&b, &a) != rows[i].equal)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
    }
}

static void loopback_is_known(void **state)
{
    static const char *const yes[] = {"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"};
    static const char *const no[] = {"128.0.0.1", "10.0.0.1", "::", "::2", "::ffff:10.0.0.1"};
    struct addr a = parsed("unix:/a");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        assert_true((a = ip(yes[i]), addr_is_loopback(&a)));
    for (size_t i = 0; i < COUNT_OF(no); i++)
        assert_false((a = ip(no[i]), addr_is_loopback(&a)));
    a = parsed("unix:/a");
    assert_false(addr_is_loopback(&a));
}

static void networks_hold_their_addresses(void **state)
{
    static const struct {
        const char *network, *addr;
        bool has;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.9.8.7/8", "10.1.1.1", true}, /* bits beyond the prefix do not count */
        {"192.168.4.0/22", "192.168.7.255", true},
        {"192.168.4.0/22", "192.168.8.0", false},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "::1", false},
        {"1.2.3.4", "1.2.3.4", true},
        {"1.2.3.4", "1.2.3.5", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "11.1.2.3", false},
        {"::ffff:0:0/96", "9.9.9.9", true},
        {"fe80::/10", "fe80::1", true},
        {"fe80::/10", "febf::1", true},
        {"fe80::/10", "fec0::1", false},
        {"2001:db8::1", "2001:db8::1", true},
        {"2001:db8::1", "2001:db8::2", false},
        {"::/0", "2001:db8::2", true},
        {"::/0", "1.2.3.4", false},
        {"10.0.0.0/8", "a00::", false},
    };
    struct addr a = parsed("unix:/a");
    struct cidr c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr one = ip(rows[i].addr);
        assert_int_equal(cidr_parse(slice_from(rows[i].network), &c), 0);
        if (cidr_has(&c, &one) != rows[i].has)
            fail_msg("%s in %s", rows[i].addr, rows[i].network);
    }
    assert_int_equal(cidr_parse(SLICE("0.0.0.0/0"), &c), 0);
    assert_false(cidr_has(&c, &a));
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const syntax[] = {"",
                                         "/8",
                                         "10.0.0.0/",
                                         "10.0.0/8",
                                         "a/8",
                                         "10.0.0.0/8/8",
                                         "10.0.0.0/-1",
                                         "10.0.0.0 /8",
                                         "10.0.0.0:80",
                                         "[::1]/8"};
    struct cidr c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(syntax); i++)
        if (cidr_parse(slice_from(syntax[i]), &c) != ERR_SYNTAX)
            fail_msg("taken: %s", syntax[i]);
    assert_int_equal(cidr_parse(SLICE("10.0.0.0/33"), &c), ERR_RANGE);
    assert_int_equal(cidr_parse(SLICE("::/129"), &c), ERR_RANGE);
}

static void a_list_holds_what_one_of_it_holds(void **state)
{
    struct cidr list[2];
    struct addr a = ip("10.1.1.1"), b = ip("fd00::1"), c = ip("11.1.1.1");

    (void)state;
    assert_int_equal(cidr_parse(SLICE("10.0.0.0/8"), &list[0]), 0);
    assert_int_equal(cidr_parse(SLICE("fd00::/8"), &list[1]), 0);
    assert_true(cidr_list_has(list, 2, &a));
    assert_true(cidr_list_has(list, 2, &b));
    assert_false(cidr_list_has(list, 2, &c));
    assert_false(cidr_list_has(list, 0, &a));
}

static void a_wildcard_covers_its_version_and_port(void **state)
{
    static const struct {
        const char *a, *b;
        bool covers;
    } rows[] = {
        {"0.0.0.0:80", "127.0.0.1:80", true},
        {"0.0.0.0:80", "0.0.0.0:80", true},
        {"127.0.0.1:80", "0.0.0.0:80", false},
        {"0.0.0.0:80", "127.0.0.1:81", false},
        {"0.0.0.0:0", "127.0.0.1:0", false},
        {"[::]:80", "[::1]:80", true},
        {"[::]:80", "127.0.0.1:80", false},
        {"0.0.0.0:80", "[::1]:80", false},
        {"[::]:80", "[::ffff:1.2.3.4]:80", false},
        {"0.0.0.0:80", "[::ffff:1.2.3.4]:80", true},
        {"unix:/a", "unix:/a", false},
        {"0.0.0.0:80", "unix:/a", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr a = parsed(rows[i].a), b = parsed(rows[i].b);
        if (addr_covers(&a, &b) != rows[i].covers)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
    }
}

static void mapped_addresses_become_what_they_stand_for(void **state)
{
    struct addr a = parsed("[::ffff:10.1.2.3]:80"), b = parsed("[::1]:80"), c = parsed("unix:/a");

    (void)state;
    addr_unmap(&a);
    addr_unmap(&b);
    addr_unmap(&c);
    assert_int_equal(a.sa.sa_family, AF_INET);
    assert_int_equal(a.len, sizeof(struct sockaddr_in));
    struct addr plain = parsed("10.1.2.3:80");
    assert_memory_equal(&a.storage, &plain.storage, a.len);
    assert_int_equal(b.sa.sa_family, AF_INET6);
    assert_true(addr_is_unix(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_printed),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_unix_path_may_be_as_long_as_the_system_allows),
        cmocka_unit_test(unnamed_and_abstract_peers_print),
        cmocka_unit_test(hosts_and_ports_are_split),
        cmocka_unit_test(addresses_compare_with_their_port),
        cmocka_unit_test(loopback_is_known),
        cmocka_unit_test(networks_hold_their_addresses),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(a_list_holds_what_one_of_it_holds),
        cmocka_unit_test(a_wildcard_covers_its_version_and_port),
        cmocka_unit_test(mapped_addresses_become_what_they_stand_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
