/* SPDX-License-Identifier: Apache-2.0 */

/* The ring of ticket keys: turned by the clock, handed on as bytes. */

#include "net/tls_tickets.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "support/test.h"

#define HOUR_MS (3600 * 1000)

static void test_the_ring_turns_and_forgets(void **state UNUSED)
{
    struct tls_ticket_key first, now, found;

    tls_tickets_current(&first);
    clock_advance_ms(HOUR_MS - 10000);
    tls_tickets_current(&now);
    assert_memory_equal(&first, &now, sizeof(first));
    assert_int_equal(tls_tickets_find(first.name, &found), TLS_TICKET_CURRENT);
    clock_advance_ms(20000);
    tls_tickets_current(&now);
    assert_memory_not_equal(first.name, now.name, sizeof(now.name));
    assert_memory_not_equal(first.cipher, now.cipher, sizeof(now.cipher));
    /* A ticket of its last moment lives two hours more. */
    clock_advance_ms(2 * HOUR_MS - 60000);
    assert_int_equal(tls_tickets_find(first.name, &found), TLS_TICKET_OLD);
    assert_memory_equal(&first, &found, sizeof(first));
    clock_advance_ms(120000);
    assert_int_equal(tls_tickets_find(first.name, &found), TLS_TICKET_NONE);
}

static void test_the_ring_is_handed_on(void **state UNUSED)
{
    struct tls_ticket_key before, after, found;
    uint8_t bytes[TLS_TICKETS_BYTES];

    tls_tickets_current(&before);
    clock_advance_ms(HOUR_MS + 1000);
    tls_tickets_current(&after);
    size_t len = tls_tickets_export(bytes);

    /* Into a process whose ring is another. */
    clock_advance_ms(12 * (int64_t)HOUR_MS);
    tls_tickets_current(&found);
    clock_advance_ms(-12 * (int64_t)HOUR_MS);
    assert_int_equal(tls_tickets_import((struct slice){(char *)bytes, len}), 0);
    assert_int_equal(tls_tickets_find(after.name, &found), TLS_TICKET_CURRENT);
    assert_memory_equal(&found, &after, sizeof(found));
    assert_int_equal(tls_tickets_find(before.name, &found), TLS_TICKET_OLD);

    assert_int_equal(tls_tickets_import((struct slice){(char *)bytes, len - 1}), ERR_SYNTAX);
    assert_int_equal(tls_tickets_import((struct slice){(char *)bytes, 0}), ERR_SYNTAX);
    bytes[0]++;
    assert_int_equal(tls_tickets_import((struct slice){(char *)bytes, len}), ERR_SYNTAX);
    assert_int_equal(tls_tickets_find(after.name, &found), TLS_TICKET_CURRENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ring_turns_and_forgets),
        cmocka_unit_test(test_the_ring_is_handed_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
