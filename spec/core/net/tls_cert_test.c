/* SPDX-License-Identifier: Apache-2.0 */

/* What is wrong with a certificate or its key is said; what is right is known by its content. */

#include "net/tls_cert.h"

#include <stdlib.h>

#include "base/err.h"
#include "net/tls_ctx.h"
#include "support/expect.h"
#include "support/tls_peer.h"

static struct test_cert ca, good, other;
static struct tls_fault fault;

static int64_t now_s(void)
{
    return (int64_t)(clock_wall_ms_now() / 1000);
}

static struct tls_cert *parse(struct slice cert, struct slice key)
{
    struct tls_cert *c = NULL;

    memset(&fault, 0, sizeof(fault));
    if (tls_cert_make(cert, key, now_s(), &c, &fault) < 0)
        assert_null(c);
    return c;
}

static void expect_fault(struct slice cert, struct slice key, bool of_key, const char *text)
{
    assert_null(parse(cert, key));
    assert_int_equal(fault.of_key, of_key);
    if (!strstr(fault.text, text))
        fail_msg("expected \"%s\" in \"%s\"", text, fault.text);
}

static void expect_made_fault(const struct test_cert_ask *ask, const char *text)
{
    struct test_cert c;

    test_cert_make(&c, ask);
    expect_fault(cert_text(&c), key_text(&c), false, text);
    test_cert_free(&c);
}

static void test_a_good_one(void **state UNUSED)
{
    struct tls_cert *c = parse(cert_text(&good), key_text(&good));

    assert_non_null(c);
    assert_int_equal(c->kind, TLS_KEY_ECDSA);
    assert_int_equal(c->nnames, 2);
    expect_slice(c->names[0], "a.example");
    expect_slice(c->names[1], "*.b.example");
    assert_true(c->not_before < now_s() && c->not_after > now_s());
    struct tls_cert *again = parse(cert_text(&good), key_text(&good));
    assert_ptr_equal(c, again);
    tls_cert_unref(again);
    tls_cert_unref(c);
}

static void test_texts_that_are_none(void **state UNUSED)
{
    static const char encrypted[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhYfG1Nn7dVMQICCAAw\n"
        "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEF0mZ2uG3ybJPzVPzVPzVPwEgZBN\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n";
    char broken[2 * sizeof(good.cert)];

    expect_fault(SLICE(""), key_text(&good), false, "holds no certificate");
    expect_fault(key_text(&good), key_text(&good), false, "holds no certificate");
    expect_fault(cert_text(&good), SLICE("x"), true, "holds no private key");
    expect_fault(cert_text(&good), cert_text(&good), true, "holds no private key");
    expect_fault(cert_text(&good), slice_from(encrypted), true, "private key");
    expect_fault(cert_text(&good), key_text(&other), true, "is not the key of");
    /* A chain in which something was lost. */
    snprintf(broken, sizeof(broken), "%.8191s%.200s", good.cert, ca.cert);
    expect_fault(slice_from(broken), key_text(&good), false, "holds no certificate");
}

static void test_certificates_that_no_client_should_see(void **state UNUSED)
{
    expect_made_fault(&(struct test_cert_ask){.name = "x", .begins_s = -7200, .ends_s = -60},
                      "has expired on 20");
    expect_made_fault(&(struct test_cert_ask){.name = "x", .begins_s = 600, .ends_s = 7200},
                      "is not valid before 20");
    expect_made_fault(&(struct test_cert_ask){.name = "x", .kind = "rsa1024"}, "weak key of 1024");
}

/* One that was fine when it was read expires while it is in use. */
static void test_a_date_is_looked_at_each_time(void **state UNUSED)
{
    struct tls_cert *c = parse(cert_text(&good), key_text(&good)), *later = NULL;

    assert_int_equal(
        tls_cert_make(cert_text(&good), key_text(&good), now_s() + 86400, &later, &fault), ERR_TLS);
    assert_null(later);
    tls_cert_unref(c);
}

static void test_names_that_clash(void **state UNUSED)
{
    struct test_cert made[3];
    struct tls_cert *certs[4];
    struct tls_clash clash;

    test_cert_make(&made[0],
                   &(struct test_cert_ask){.name = "r", .alt = "DNS:a.example", .kind = "rsa"});
    test_cert_make(&made[1],
                   &(struct test_cert_ask){.name = "e", .alt = "DNS:a.example", .kind = "ed"});
    test_cert_make(&made[2], &(struct test_cert_ask){.name = "x", .alt = "DNS:c,DNS:A.example"});
    certs[0] = parse(cert_text(&good), key_text(&good));
    for (int i = 0; i < 3; i++)
        certs[i + 1] = parse(cert_text(&made[i]), key_text(&made[i]));
    assert_false(tls_certs_clash(certs, 3, &clash));
    assert_true(tls_certs_clash(certs, 4, &clash));
    assert_int_equal(clash.first, 0);
    assert_int_equal(clash.second, 3);
    expect_slice(clash.name, "a.example");
    for (int i = 0; i < 4; i++)
        tls_cert_unref(certs[i]);
    for (int i = 0; i < 3; i++)
        test_cert_free(&made[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_one),
        cmocka_unit_test(test_texts_that_are_none),
        cmocka_unit_test(test_certificates_that_no_client_should_see),
        cmocka_unit_test(test_a_date_is_looked_at_each_time),
        cmocka_unit_test(test_names_that_clash),
    };

    test_cert_make(&ca, &(struct test_cert_ask){.name = "ca"});
    test_cert_make(
        &good, &(struct test_cert_ask){
                   .name = "good", .alt = "DNS:A.example,IP:127.0.0.1,DNS:*.b.example", .by = &ca});
    test_cert_make(&other, &(struct test_cert_ask){.name = "other", .by = &ca});
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_cert_free(&ca);
    test_cert_free(&good);
    test_cert_free(&other);
    return failed;
}
