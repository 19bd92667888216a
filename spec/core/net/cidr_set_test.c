/* SPDX-License-Identifier: Apache-2.0 */

#include "net/cidr_set.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/test.h"

#define NETWORKS 300
#define ADDRESSES 20000

/* The address of a network's bytes, as text. */
static void print(const struct cidr *c, char *out, size_t size)
{
    assert_non_null(inet_ntop(c->v6 ? AF_INET6 : AF_INET, c->bytes, out, (socklen_t)size));
}

/* Few different values per byte, so that networks lie within each other and addresses hit them. */
static struct cidr any_network(bool is_host)
{
    static const uint8_t values[] = {0, 1, 10, 127, 128, 255};
    struct cidr c = {.v6 = rand() % 2};
    size_t len = c.v6 ? 16 : 4;
    char address[64], text[80];

    for (size_t i = 0; i < len; i++)
        c.bytes[i] = values[(size_t)rand() % (c.v6 && i > 1 ? 2 : COUNT_OF(values))];
    print(&c, address, sizeof(address));
    snprintf(text, sizeof(text), "%s/%zu", address,
             is_host ? len * 8 : (size_t)rand() % (len * 8 + 1));
    assert_int_equal(cidr_parse(slice_from(text), &c), 0);
    return c;
}

static bool lies_in_one(const struct cidr *list, size_t n, const struct cidr *address)
{
    struct addr a;
    char text[64];

    print(address, text, sizeof(text));
    assert_int_equal(addr_parse_ip(slice_from(text), 0, &a), 0);
    return cidr_list_has(list, n, &a);
}

static void a_set_has_what_one_of_its_networks_has(void **state)
{
    struct cidr list[NETWORKS];
    size_t nhits = 0;

    (void)state;
    srand(7);
    for (size_t n = 0; n <= NETWORKS; n += 60) {
        struct cidr_set set = {0};
        for (size_t i = 0; i < n; i++) {
            do /* none so wide that all lie in it */
                list[i] = any_network(false);
            while (list[i].bits < 9);
            cidr_set_add(&set, &list[i]);
        }
        cidr_set_sort(&set);
        for (size_t i = 0; i < ADDRESSES; i++) {
            struct cidr address = any_network(true);
            bool expected = lies_in_one(list, n, &address);
            assert_int_equal(cidr_set_covers(&set, &address), expected);
            nhits += expected;
        }
        cidr_set_free(&set);
    }
    assert_in_range(nhits, ADDRESSES / 10, 5 * ADDRESSES);
}

static void a_network_is_covered_by_one_as_wide(void **state)
{
    static const char *const added[] = {"10.0.0.0/9", "192.0.2.0/24", "2001:db8::/32"};
    static const struct {
        const char *text;
        bool is_covered;
    } rows[] = {{"10.0.0.0/9", true},          {"10.3.0.0/16", true},   {"10.0.0.0/8", false},
                {"192.0.2.255", true},         {"2001:db8::/33", true}, {"2001:db8::/31", false},
                {"::ffff:192.0.2.1/128", true}};
    struct cidr_set set = {0};
    struct cidr network;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(added); i++) {
        assert_int_equal(cidr_parse(slice_from(added[i]), &network), 0);
        cidr_set_add(&set, &network);
    }
    cidr_set_sort(&set);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(cidr_parse(slice_from(rows[i].text), &network), 0);
        assert_int_equal(cidr_set_covers(&set, &network), rows[i].is_covered);
    }
    cidr_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_has_what_one_of_its_networks_has),
        cmocka_unit_test(a_network_is_covered_by_one_as_wide),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
