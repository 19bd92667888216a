/* SPDX-License-Identifier: Apache-2.0 */

/* The client's end of TLS with OpenSSL as its server: who is believed, what is shown, resumption. */

#include "net/tls_client.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>

#include "base/err.h"
#include "net/stream.h"
#include "net/tls.h"
#include "support/expect.h"
#include "support/loopback.h"
#include "support/tls_peer.h"

static struct test_cert ca, other_ca, good, expired, ann;
static struct loop *loop;
static struct tls_peer *peer;
static struct tls_session *session;
static struct tls_handshake *shaking;
static struct stream *stream;
static struct {
    int ends, err;
    char why[128];
    char text[64];
    size_t len;
} seen;

static struct tls_client *make(const struct tls_client_spec *spec)
{
    struct tls_client *c;
    const char *why;

    assert_int_equal(tls_client_make(spec, &c, &why), 0);
    return c;
}

static void on_readable(struct stream *s)
{
    ssize_t n = stream_recv(s, seen.text + seen.len, sizeof(seen.text) - seen.len);

    if (n > 0)
        seen.len += (size_t)n;
}

static void on_room(struct stream *s UNUSED)
{
}

static void on_lost(struct stream *s UNUSED, int err UNUSED)
{
}

static const struct stream_events events = {on_readable, on_room, on_lost};

static void on_done(void *arg UNUSED, const struct tls_end *end)
{
    shaking = NULL;
    seen.ends++;
    seen.err = end->err;
    snprintf(seen.why, sizeof(seen.why), "%s", end->why);
    stream = end->stream;
    if (!stream)
        return;
    stream->events = &events;
    stream_resume(stream);
}

static void let_go(void)
{
    if (shaking)
        tls_cancel(shaking);
    if (stream)
        stream_close(stream);
    if (peer)
        tls_peer_free(peer);
    shaking = NULL;
    stream = NULL;
    peer = NULL;
    loop_turn(loop, 0);
    memset(&seen, 0, sizeof(seen));
}

/* A server that shows c; the client expects `name`. */
static void dial(struct tls_client *client, const char *name, const struct test_cert *c)
{
    int fds[2];

    let_go();
    loopback_pair(fds);
    peer = tls_peer_new(fds[1], true);
    tls_peer_use(peer, c);
    struct tls_to to = {client, session, slice_from(name)};
    shaking = tls_connect(loop, fds[0], &to, 5000, on_done, NULL);
}

static int meet(struct tls_client *client, const char *name, const struct test_cert *c)
{
    dial(client, name, c);
    PEER_UNTIL(loop, peer, seen.ends && (peer->done || peer->failed));
    return seen.err;
}

static int set_up(void **state UNUSED)
{
    loop = loop_new();
    session = tls_session_new();
    return 0;
}

static int tear_down(void **state UNUSED)
{
    let_go();
    tls_session_unref(session);
    loop_free(loop);
    return 0;
}

static void test_names_and_authorities_are_verified(void **state UNUSED)
{
    struct tls_client *strict = make(&(struct tls_client_spec){.ca = cert_text(&ca)});
    struct tls_client *wrong = make(&(struct tls_client_spec){.ca = cert_text(&other_ca)});
    struct tls_client *system = make(&(struct tls_client_spec){.ca = SLICE_NONE});
    struct tls_client *any = make(&(struct tls_client_spec){.no_verify = true});
    static const struct {
        const char *name;
        int err;
    } rows[] = {{"a.example", 0},
                {"A.EXAMPLE", 0},
                {"b.example", ERR_TLS},
                {"127.0.0.1", 0},
                {"127.0.0.2", ERR_TLS},
                {"x.wild.example", 0},
                {"wild.example", ERR_TLS},
                {"x.y.wild.example", ERR_TLS},
                {"::1", 0}};

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        tls_session_unref(session); /* each starts anew */
        session = tls_session_new();
        assert_int_equal(meet(strict, rows[i].name, &good), rows[i].err);
    }
    assert_int_equal(meet(wrong, "a.example", &good), ERR_TLS);
    assert_non_null(strstr(seen.why, "local issuer"));
    assert_int_equal(meet(system, "a.example", &good), ERR_TLS);
    assert_int_equal(meet(strict, "a.example", &expired), ERR_TLS);
    assert_string_equal(seen.why, "certificate has expired");
    assert_int_equal(meet(any, "nobody", &expired), 0);
    assert_false(slice_eq(tls_client_identity(strict), tls_client_identity(any)));
    assert_false(slice_eq(tls_client_identity(strict), tls_client_identity(wrong)));
    tls_client_unref(strict);
    tls_client_unref(wrong);
    tls_client_unref(system);
    tls_client_unref(any);
}

static void test_the_server_is_asked_for_its_name(void **state UNUSED)
{
    struct tls_client *any = make(&(struct tls_client_spec){.no_verify = true});

    assert_int_equal(meet(any, "a.example", &good), 0);
    assert_string_equal(SSL_get_servername(peer->ssl, TLSEXT_NAMETYPE_host_name), "a.example");
    assert_int_equal(meet(any, "127.0.0.1", &good), 0);
    assert_null(SSL_get_servername(peer->ssl, TLSEXT_NAMETYPE_host_name));
    tls_client_unref(any);
}

static void test_a_client_certificate_is_shown(void **state UNUSED)
{
    struct tls_cert *cert;
    struct tls_fault fault;

    assert_int_equal(tls_cert_make(cert_text(&ann), key_text(&ann),
                                   (int64_t)(clock_wall_ms_now() / 1000), &cert, &fault),
                     0);
    struct tls_client *shows = make(&(struct tls_client_spec){.ca = cert_text(&ca), .cert = cert});
    tls_cert_unref(cert);
    dial(shows, "a.example", &good);
    tls_peer_trust(peer, &ca);
    PEER_UNTIL(loop, peer, seen.ends && (peer->done || peer->failed));
    assert_true(peer->done);
    assert_string_equal(tls_peer_shown(peer), "ann");
    tls_client_unref(shows);
}

/* The ticket keys of the test's server are its context's: one context for both connections. */
static void test_the_next_handshake_resumes(void **state UNUSED)
{
    struct tls_client *c = make(&(struct tls_client_spec){.ca = cert_text(&ca)});
    SSL_CTX *keys = SSL_CTX_new(TLS_server_method());

    assert_int_equal(SSL_CTX_use_cert_and_key(keys, good.x509, good.pkey, NULL, 1), 1);
    for (int i = 0; i < 3; i++) {
        dial(c, "a.example", &good);
        SSL_free(peer->ssl);
        peer->ssl = SSL_new(keys);
        SSL_set_fd(peer->ssl, peer->fd);
        SSL_set_accept_state(peer->ssl);
        PEER_UNTIL(loop, peer, seen.ends && peer->done);
        assert_int_equal(tls_facts(stream).is_resumed, i > 0);
        tls_peer_say(peer, "x", 1);
        PEER_UNTIL(loop, peer, seen.len == 1);
        assert_true(stream_is_quiet(stream));
    }
    SSL_CTX_free(keys);
    tls_client_unref(c);
}

/* TLS 1.3: the tickets come when they like, and are no content. */
static void test_tickets_do_not_disturb_an_idle_connection(void **state UNUSED)
{
    struct tls_client *any = make(&(struct tls_client_spec){.no_verify = true});

    assert_int_equal(meet(any, "a.example", &good), 0);
    assert_true(stream_is_quiet(stream));
    stream_detach(stream);
    stream_attach(stream, loop);
    assert_true(stream_is_quiet(stream));
    SSL_shutdown(peer->ssl);
    uint64_t give_up = clock_us_now() + 10000000;
    while (stream_is_quiet(stream))
        assert_true(clock_us_now() < give_up);
    tls_client_unref(any);
}

static void test_a_server_that_says_nothing(void **state UNUSED)
{
    struct tls_client *any = make(&(struct tls_client_spec){.no_verify = true});

    dial(any, "a.example", &good);
    loop_turn(loop, 1);
    clock_advance_ms(6000);
    TURN_UNTIL(loop, seen.ends);
    assert_int_equal(seen.err, ERR_TIMEOUT);
    tls_client_unref(any);
}

static void test_a_broken_authority_is_told(void **state UNUSED)
{
    struct tls_client *c;
    const char *why;

    assert_int_equal(tls_client_make(&(struct tls_client_spec){.ca = SLICE("x")}, &c, &why),
                     ERR_TLS);
    assert_non_null(strstr(why, "no certificate"));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_names_and_authorities_are_verified),
        T(test_the_server_is_asked_for_its_name),
        T(test_a_client_certificate_is_shown),
        T(test_the_next_handshake_resumes),
        T(test_tickets_do_not_disturb_an_idle_connection),
        T(test_a_server_that_says_nothing),
        T(test_a_broken_authority_is_told),
    };
    struct test_cert *all[] = {&ca, &other_ca, &good, &expired, &ann};

    signal(SIGPIPE, SIG_IGN);
    test_cert_make(&ca, &(struct test_cert_ask){.name = "ca"});
    test_cert_make(&other_ca, &(struct test_cert_ask){.name = "other ca"});
    test_cert_make(&good, &(struct test_cert_ask){
                              .name = "good",
                              .alt = "DNS:a.example,DNS:*.wild.example,IP:127.0.0.1,IP:::1",
                              .by = &ca});
    test_cert_make(&expired, &(struct test_cert_ask){.name = "expired",
                                                     .alt = "DNS:a.example",
                                                     .begins_s = -7200,
                                                     .ends_s = -10,
                                                     .by = &ca});
    test_cert_make(&ann, &(struct test_cert_ask){.name = "ann", .by = &ca});
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < COUNT_OF(all); i++)
        test_cert_free(all[i]);
    return failed;
}
