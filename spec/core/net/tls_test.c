/* SPDX-License-Identifier: Apache-2.0 */

/* The server's end of TLS with OpenSSL as its client: handshakes, which certificate is shown, what
 * of the client is asked, streams, and clients that do not behave. */

#include "net/tls.h"

#include <malloc.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/stream.h"
#include "net/tls_ctx.h"
#include "net/tls_hello.h"
#include "support/expect.h"
#include "support/loopback.h"
#include "support/tls_peer.h"

static struct test_cert ca, other_ca, ec, rsa, wild, ann, stranger;
static struct loop *loop;
static struct tls_server *server;
static struct tls_peer *peer;
static struct tls_handshake *shaking;
static struct {
    struct stream *stream;
    int ends, err;
    char reason[32];
    char text[256 * KIB];
    size_t len, chunk; /* most of one recv */
    int end, readable;
    int rooms;
} seen;

static struct tls_cert *parse(const struct test_cert *c)
{
    struct tls_cert *out;
    struct tls_fault fault;

    assert_int_equal(tls_cert_make(cert_text(c), key_text(c), (int64_t)(clock_wall_ms_now() / 1000),
                                   &out, &fault),
                     0);
    return out;
}

static struct tls_server *make(const struct tls_server_spec *like,
                               const struct test_cert *const *certs, size_t n)
{
    struct tls_server_spec spec = *like;
    struct tls_cert *parsed[8];
    struct tls_server *out;
    const char *why;

    for (size_t i = 0; i < n; i++)
        parsed[i] = parse(certs[i]);
    spec.certs = parsed;
    spec.ncerts = n;
    if (!spec.listener.ptr)
        spec.listener = SLICE("127.0.0.1:443");
    assert_int_equal(tls_server_make(&spec, &out, &why), 0);
    for (size_t i = 0; i < n; i++)
        tls_cert_unref(parsed[i]);
    return out;
}

static void on_readable(struct stream *s)
{
    size_t most = seen.chunk ? seen.chunk : sizeof(seen.text) - seen.len;
    ssize_t n = stream_recv(s, seen.text + seen.len, most);

    seen.readable++;
    if (n > 0)
        seen.len += (size_t)n;
    else if (n != ERR_AGAIN)
        seen.end = (int)n;
}

static void on_room(struct stream *s UNUSED)
{
    seen.rooms++;
}

static void on_lost(struct stream *s UNUSED, int err)
{
    seen.end = err;
}

static const struct stream_events events = {on_readable, on_room, on_lost};

static void on_done(void *arg UNUSED, const struct tls_end *end)
{
    shaking = NULL;
    seen.ends++;
    seen.err = end->err;
    seen.stream = end->stream;
    snprintf(seen.reason, sizeof(seen.reason), "%s", end->reason);
    assert_non_null(end->why);
    if (!seen.stream)
        return;
    seen.stream->events = &events;
    seen.stream->owner = &seen;
    stream_resume(seen.stream);
}

static void let_go(void)
{
    if (shaking)
        tls_cancel(shaking);
    if (seen.stream)
        stream_close(seen.stream);
    if (peer)
        tls_peer_free(peer);
    shaking = NULL;
    peer = NULL;
    loop_turn(loop, 0);
    memset(&seen, 0, sizeof(seen));
}

/* A new connection to the server; nothing has moved yet. */
static void dial(struct tls_server *to)
{
    int fds[2];

    let_go();
    loopback_pair(fds);
    peer = tls_peer_new(fds[1], false);
    shaking = tls_accept(loop, fds[0], to, 5000, on_done, NULL);
}

static void shake(void)
{
    PEER_UNTIL(loop, peer, seen.ends && (peer->done || peer->failed));
}

static void meet(struct tls_server *to)
{
    dial(to);
    shake();
    assert_int_equal(seen.err, 0);
}

static int set_up(void **state UNUSED)
{
    loop = loop_new();
    memset(&seen, 0, sizeof(seen));
    server = make(&(struct tls_server_spec){.resumes = true},
                  (const struct test_cert *[]){&ec, &rsa, &wild}, 3);
    return 0;
}

static int tear_down(void **state UNUSED)
{
    let_go();
    tls_server_unref(server);
    loop_free(loop);
    return 0;
}

static void write_text(const char *text, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)text, len};

    assert_true(stream_write(seen.stream, &iov, 1) >= 0);
}

/* --- handshakes ------------------------------------------------------------------------------- */

static void test_bytes_go_both_ways_in_both_versions(void **state UNUSED)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    for (int i = 0; i < 2; i++) {
        dial(server);
        SSL_set_min_proto_version(peer->ssl, versions[i]);
        SSL_set_max_proto_version(peer->ssl, versions[i]);
        SSL_set_tlsext_host_name(peer->ssl, "A.Example");
        shake();
        struct tls_facts facts = tls_facts(seen.stream);
        assert_string_equal(facts.version, i ? "1.3" : "1.2");
        expect_slice(facts.server_name, "a.example");
        assert_int_equal(facts.subject.len + facts.protocol.len, 0);
        assert_false(facts.is_resumed);
        tls_peer_say(peer, "ping", 4);
        PEER_UNTIL(loop, peer, seen.len == 4);
        char first[] = "po", second[] = "ng";
        struct iovec iov[] = {{first, 2}, {first, 0}, {second, 2}};
        assert_int_equal(stream_write(seen.stream, iov, 3), 0);
        PEER_UNTIL(loop, peer, peer->len == 4);
        assert_string_equal(peer->text, "pong");
    }
}

static void test_a_client_that_is_too_old_is_told_so(void **state UNUSED)
{
    struct tls_server *strict =
        make(&(struct tls_server_spec){.only_tls13 = true}, (const struct test_cert *[]){&ec}, 1);

    dial(strict);
    SSL_set_max_proto_version(peer->ssl, TLS1_2_VERSION);
    shake();
    assert_string_equal(seen.reason, "incompatible");
    assert_non_null(strstr(peer->why, "protocol version"));
    tls_server_unref(strict);
}

/* A request that comes in one piece with the end of the handshake lies in OpenSSL's buffer. */
static void test_what_came_with_the_handshake_is_read(void **state UNUSED)
{
    dial(server);
    for (tls_peer_step(peer); !peer->done; tls_peer_step(peer))
        loop_turn(loop, 20);
    /* The last flight and the request are both there before the server looks. */
    assert_int_equal(seen.ends, 0);
    tls_peer_say(peer, "early bird", 10);
    TURN_UNTIL(loop, seen.len == 10);
}

static const char *shown_for(struct tls_server *to, const char *name, const char *sigalgs)
{
    dial(to);
    if (name)
        SSL_set_tlsext_host_name(peer->ssl, name);
    if (sigalgs)
        SSL_set1_sigalgs_list(peer->ssl, sigalgs);
    shake();
    assert_int_equal(seen.err, 0);
    return tls_peer_shown(peer);
}

static void test_the_name_chooses_the_certificate(void **state UNUSED)
{
    static const char rsa_only[] = "RSA-PSS+SHA256:RSA+SHA256";

    assert_string_equal(shown_for(server, "a.example", NULL), "ec");
    assert_string_equal(shown_for(server, "a.example", rsa_only), "rsa");
    assert_string_equal(shown_for(server, "x.wild.example", NULL), "wild");
    assert_string_equal(shown_for(server, "X.WILD.example", NULL), "wild");
    /* No more than one label; the name itself is not under it. */
    assert_string_equal(shown_for(server, "x.y.wild.example", NULL), "ec");
    assert_string_equal(shown_for(server, "wild.example", NULL), "ec");
    assert_string_equal(shown_for(server, "nobody.example", NULL), "ec");
    assert_string_equal(shown_for(server, NULL, NULL), "ec");
    assert_string_equal(shown_for(server, NULL, rsa_only), "rsa");
}

static void test_alpn(void **state UNUSED)
{
    dial(server);
    SSL_set_alpn_protos(peer->ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    shake();
    expect_slice(tls_facts(seen.stream).protocol, "http/1.1");
    dial(server);
    SSL_set_alpn_protos(peer->ssl, (const unsigned char *)"\x02h2\x03xyz", 7);
    shake();
    assert_string_equal(seen.reason, "alpn");
    assert_non_null(strstr(peer->why, "no application protocol"));
}

/* --- resumption ------------------------------------------------------------------------------- */

/* A session of the connection that stands; its ticket comes behind the handshake. */
static SSL_SESSION *session_of_peer(void)
{
    write_text("x", 1);
    PEER_UNTIL(loop, peer, peer->len > 0);
    return SSL_get1_session(peer->ssl);
}

static bool resumes(struct tls_server *to, SSL_SESSION *session)
{
    dial(to);
    SSL_set_session(peer->ssl, session);
    shake();
    if (seen.err)
        return false;
    assert_int_equal(SSL_session_reused(peer->ssl), tls_facts(seen.stream).is_resumed);
    return tls_facts(seen.stream).is_resumed;
}

static void test_a_session_resumes_where_it_was_made(void **state UNUSED)
{
    const struct test_cert *certs[] = {&ec};
    struct tls_server *after = make(&(struct tls_server_spec){.resumes = true}, certs, 1);
    struct tls_server *elsewhere = make(
        &(struct tls_server_spec){.resumes = true, .listener = SLICE("127.0.0.1:444")}, certs, 1);
    struct tls_server *asks = make(&(struct tls_server_spec){.resumes = true,
                                                             .client_auth = TLS_CLIENT_OPTIONAL,
                                                             .client_ca = cert_text(&ca)},
                                   certs, 1);
    struct tls_server *never = make(&(struct tls_server_spec){.resumes = false}, certs, 1);

    meet(server);
    SSL_SESSION *session = session_of_peer();
    assert_true(resumes(server, session));
    assert_true(resumes(after, session)); /* another configuration of the same listener */
    assert_false(resumes(elsewhere, session));
    assert_false(resumes(asks, session));
    assert_false(resumes(never, session));
    SSL_SESSION_free(session);
    meet(never);
    session = session_of_peer();
    assert_false(SSL_SESSION_has_ticket(session));
    SSL_SESSION_free(session);
    tls_server_unref(after);
    tls_server_unref(elsewhere);
    tls_server_unref(asks);
    tls_server_unref(never);
}

static void test_a_session_lives_through_new_ticket_keys(void **state UNUSED)
{
    const int64_t hour_ms = 3600 * 1000;

    meet(server);
    SSL_SESSION *session = session_of_peer();
    clock_advance_ms(hour_ms + 1000); /* another key is made, the old one still counts */
    assert_true(resumes(server, session));
    SSL_SESSION *renewed = session_of_peer();
    clock_advance_ms(2 * hour_ms);
    assert_false(resumes(server, session));
    assert_true(resumes(server, renewed));
    clock_advance_ms(-3 * hour_ms - 1000);
    SSL_SESSION_free(session);
    SSL_SESSION_free(renewed);
}

static void test_a_session_is_no_way_around_a_required_certificate(void **state UNUSED)
{
    const struct test_cert *certs[] = {&ec};
    struct tls_server_spec spec = {
        .resumes = true, .client_auth = TLS_CLIENT_OPTIONAL, .client_ca = cert_text(&ca)};
    struct tls_server *optional = make(&spec, certs, 1);
    spec.client_auth = TLS_CLIENT_REQUIRED;
    struct tls_server *required = make(&spec, certs, 1);

    meet(optional);
    SSL_SESSION *session = session_of_peer();
    assert_true(resumes(optional, session));
    assert_false(resumes(required, session));
    assert_int_equal(seen.err, ERR_TLS);
    SSL_SESSION_free(session);

    /* With one it resumes, and the subject is known. */
    dial(required);
    tls_peer_use(peer, &ann);
    shake();
    session = session_of_peer();
    assert_true(resumes(required, session));
    expect_slice(tls_facts(seen.stream).subject, "CN=ann,O=Test");
    SSL_SESSION_free(session);
    tls_server_unref(optional);
    tls_server_unref(required);
}

/* --- client certificates ----------------------------------------------------------------------- */

static void test_client_certificates(void **state UNUSED)
{
    const struct test_cert *certs[] = {&ec};
    struct tls_server_spec spec = {.client_auth = TLS_CLIENT_REQUIRED, .client_ca = cert_text(&ca)};
    struct tls_server *required = make(&spec, certs, 1);
    spec.client_auth = TLS_CLIENT_OPTIONAL;
    struct tls_server *optional = make(&spec, certs, 1);

    dial(required);
    tls_peer_use(peer, &ann);
    shake();
    assert_int_equal(seen.err, 0);
    expect_slice(tls_facts(seen.stream).subject, "CN=ann,O=Test");
    assert_int_equal(tls_facts(seen.stream).thumbprint.len, 43);

    dial(required);
    shake();
    assert_string_equal(seen.reason, "certificate");
    meet(optional);
    assert_int_equal(tls_facts(seen.stream).subject.len, 0);
    assert_int_equal(tls_facts(seen.stream).thumbprint.len, 0);
    for (int i = 0; i < 2; i++) {
        dial(i ? required : optional);
        tls_peer_use(peer, &stranger); /* one that is shown must be good */
        shake();
        assert_string_equal(seen.reason, "certificate");
    }
    tls_server_unref(required);
    tls_server_unref(optional);
}

/* --- the stream ------------------------------------------------------------------------------- */

/* The kernel has nothing left, but OpenSSL has. */
static void test_small_reads_get_it_all(void **state UNUSED)
{
    static char text[100 * KIB];

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)rand();
    meet(server);
    seen.chunk = 1000;
    loopback_set_blocking(peer->fd, true);
    tls_peer_say(peer, text, sizeof(text));
    loopback_set_blocking(peer->fd, false);
    PEER_UNTIL(loop, peer, seen.len == sizeof(text));
    assert_memory_equal(seen.text, text, sizeof(text));

    /* And not while it is paused. */
    seen.len = 0;
    tls_peer_say(peer, text, 5000);
    PEER_UNTIL(loop, peer, seen.len > 0);
    stream_pause(seen.stream);
    size_t len = seen.len;
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 1);
    assert_int_equal(seen.len, len);
    stream_resume(seen.stream);
    PEER_UNTIL(loop, peer, seen.len == 5000);
}

/* Head and body of a small answer are one record. */
static void test_pieces_are_one_record(void **state UNUSED)
{
    char text[] = "head and body";
    struct iovec iov[] = {{text, 5}, {text + 5, 4}, {text + 9, 4}};
    unsigned char raw[256];

    meet(server);
    SSL_SESSION_free(session_of_peer()); /* the ticket is out of the way */
    assert_int_equal(stream_write(seen.stream, iov, 3), 0);
    ssize_t n = recv(peer->fd, raw, sizeof(raw), 0);
    assert_true(n > 5);
    assert_int_equal(raw[0], 23); /* application data */
    assert_int_equal(n, 5 + raw[3] * 256 + raw[4]);
}

static void test_a_slow_reader_gets_it_all(void **state UNUSED)
{
    static char text[4 * MIB];
    size_t got = 0;

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 31 >> 3);
    meet(server);
    int small = 64 * KIB;
    setsockopt(seen.stream->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    struct iovec iov[] = {{text, 1000}, {text + 1000, sizeof(text) - 1000}};
    uint64_t before = stream_progress(seen.stream);
    assert_int_equal(stream_write(seen.stream, iov, 2), STREAM_FULL);
    stream_shutdown(seen.stream);
    peer->read_max = 20000;
    PEER_UNTIL(loop, peer, peer->len > 0);
    assert_true(stream_progress(seen.stream) != before);
    while (got < sizeof(text)) {
        PEER_UNTIL(loop, peer, peer->len > 0);
        assert_memory_equal(peer->text, text + got, peer->len);
        got += peer->len;
        peer->len = 0;
    }
    PEER_UNTIL(loop, peer, peer->ended);
    assert_false(peer->failed);
}

static void test_the_end_is_no_truncation(void **state UNUSED)
{
    meet(server);
    SSL_shutdown(peer->ssl);
    PEER_UNTIL(loop, peer, seen.end);
    assert_int_equal(seen.end, ERR_CLOSED);
    /* Half-closed: the other direction still works. */
    write_text("bye", 3);
    PEER_UNTIL(loop, peer, peer->len == 3);

    meet(server);
    shutdown(peer->fd, SHUT_WR);
    PEER_UNTIL(loop, peer, seen.end);
    assert_int_equal(seen.end, ERR_RESET);
}

static void test_closing_says_so_but_a_hard_one_does_not(void **state UNUSED)
{
    meet(server);
    stream_close(seen.stream);
    seen.stream = NULL;
    PEER_UNTIL(loop, peer, peer->ended || peer->failed);
    assert_true(peer->ended);

    meet(server);
    stream_close_hard(seen.stream);
    seen.stream = NULL;
    PEER_UNTIL(loop, peer, peer->ended || peer->failed);
    assert_true(peer->failed);
}

static void test_an_idle_stream_changes_loops(void **state UNUSED)
{
    struct loop *second = loop_new();

    meet(server);
    assert_true(stream_is_quiet(seen.stream));
    stream_detach(seen.stream);
    stream_attach(seen.stream, second);
    tls_peer_say(peer, "hello", 5);
    PEER_UNTIL(second, peer, seen.len == 5);
    tls_peer_say(peer, "more", 4);
    uint64_t give_up = clock_us_now() + 10000000;
    while (stream_is_quiet(seen.stream))
        assert_true(clock_us_now() < give_up);
    stream_close(seen.stream);
    seen.stream = NULL;
    loop_turn(second, 0);
    loop_free(second);
}

/* Buffers are given back between messages: what remains is OpenSSL's state. */
static void test_an_idle_stream_holds_no_buffers(void **state UNUSED)
{
    meet(server);
    size_t before = mallinfo2().uordblks;
    char big[16000] = {0};

    for (int i = 0; i < 3; i++) {
        tls_peer_say(peer, big, sizeof(big));
        seen.len = 0;
        PEER_UNTIL(loop, peer, seen.len == sizeof(big));
        peer->len = 0;
        write_text(big, sizeof(big));
        PEER_UNTIL(loop, peer, peer->len == sizeof(big));
    }
    size_t after = mallinfo2().uordblks;
    if (after > 0)                           /* a sanitizer's allocator counts elsewhere */
        assert_true(after < before + 40000); /* both ends; the client keeps 33 kB of its own */
}

/* --- who does not behave ------------------------------------------------------------------------ */

static void test_garbage_and_cut_off_handshakes_end(void **state UNUSED)
{
#define BYTES(text) text, sizeof(text) - 1
    static const struct {
        const char *bytes;
        size_t len;
        const char *reason;
    } rows[] = {
        {BYTES("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "garbage"},
        {BYTES("\x80\x80\x01\x03\x01 and so on, and so on"), NULL},
        {BYTES("SSH-2.0-OpenSSH_9.2\r\n"), "garbage"},
        {BYTES("\x16\x03\x01\xff\xff"), NULL}, /* a record that may not be so long */
        {BYTES("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), NULL},
        {BYTES("\x16\x03\x01\x02\x00\x01"), "reset"}, /* the rest does not come */
        {BYTES(""), "reset"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        dial(server);
        assert_int_equal(send(peer->fd, rows[i].bytes, rows[i].len, 0), rows[i].len);
        shutdown(peer->fd, SHUT_WR);
        TURN_UNTIL(loop, seen.ends);
        assert_true(seen.err < 0);
        if (rows[i].reason)
            assert_string_equal(seen.reason, rows[i].reason);
    }
}

static void test_a_handshake_that_stalls_ends_in_time(void **state UNUSED)
{
    dial(server);
    assert_true(tls_is_silent(shaking));
    loop_turn(loop, 0);
    assert_int_equal(send(peer->fd, "\x16\x03\x01\x02", 4, 0), 4);
    TURN_UNTIL(loop, !tls_is_silent(shaking));
    clock_advance_ms(4900);
    loop_turn(loop, 0);
    assert_int_equal(seen.ends, 0);
    clock_advance_ms(200);
    TURN_UNTIL(loop, seen.ends);
    assert_int_equal(seen.err, ERR_TIMEOUT);
    assert_string_equal(seen.reason, "timeout");
}

static void test_renegotiation_ends_the_connection(void **state UNUSED)
{
    dial(server);
    SSL_set_max_proto_version(peer->ssl, TLS1_2_VERSION);
    shake();
    SSL_renegotiate(peer->ssl);
    SSL_do_handshake(peer->ssl);
    PEER_UNTIL(loop, peer, seen.end);
    assert_int_equal(seen.end, ERR_TLS);
}

/* Records without content do not hold up the others: a turn reads a bounded number of them. */
static void test_a_flood_of_nothing_ends_its_turn(void **state UNUSED)
{
    int flooded = 0;

    meet(server);
    for (; flooded < 20 && SSL_key_update(peer->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1; flooded++)
        if (SSL_do_handshake(peer->ssl) != 1)
            break;
    tls_peer_say(peer, "content", 7);
    assert_true(flooded > 10);
    PEER_UNTIL(loop, peer, seen.len == 7);
}

static void test_tiny_records_are_put_together(void **state UNUSED)
{
    meet(server);
    for (int i = 0; i < 500; i++)
        tls_peer_say(peer, "x", 1);
    PEER_UNTIL(loop, peer, seen.len == 500);
    assert_true(seen.readable < 400); /* not one event for each */
}

/* --- who chooses the certificate ----------------------------------------------------------------- */

static struct {
    int asked;
    char name[256], protocol[16];
    void (*answer)(struct tls_handshake *h);
} choice;

static void on_hello(void *arg UNUSED, struct tls_handshake *h, const struct tls_hello *hello)
{
    struct slice list = hello->protocols, one;

    choice.asked++;
    snprintf(choice.name, sizeof(choice.name), "%.*s", SLICE_ARG(hello->server_name));
    if (tls_hello_protocol(&list, &one))
        snprintf(choice.protocol, sizeof(choice.protocol), "%.*s", SLICE_ARG(one));
    if (choice.answer)
        choice.answer(h);
}

static void use_rsa(struct tls_handshake *h)
{
    struct tls_cert *c = parse(&rsa);

    tls_go_on(h, c);
    tls_cert_unref(c);
}

static void go_on(struct tls_handshake *h)
{
    tls_go_on(h, NULL);
}

static void ask(void (*answer)(struct tls_handshake *h))
{
    memset(&choice, 0, sizeof(choice));
    choice.answer = answer;
    dial(server);
    SSL_set_tlsext_host_name(peer->ssl, "x.wild.example");
    SSL_set_alpn_protos(peer->ssl, (const unsigned char *)"\x08http/1.1", 9);
    tls_ask(shaking, on_hello);
}

static void test_a_certificate_is_chosen_at_once_or_later(void **state UNUSED)
{
    ask(go_on);
    shake();
    assert_string_equal(tls_peer_shown(peer), "wild");
    assert_string_equal(choice.name, "x.wild.example");
    assert_string_equal(choice.protocol, "http/1.1");
    ask(use_rsa);
    shake();
    assert_string_equal(tls_peer_shown(peer), "rsa");
    ask(NULL);
    PEER_UNTIL(loop, peer, choice.asked);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 1);
    assert_int_equal(seen.ends, 0);
    use_rsa(shaking);
    shake();
    assert_string_equal(tls_peer_shown(peer), "rsa");
    assert_int_equal(choice.asked, 1);
    /* Even with a client that has to say hello twice. */
    ask(use_rsa);
    SSL_set1_groups_list(peer->ssl, "P-521:P-256");
    shake();
    assert_string_equal(tls_peer_shown(peer), "rsa");
    assert_int_equal(choice.asked, 1);
}

static void test_a_handshake_is_refused_or_runs_out_of_time(void **state UNUSED)
{
    ask(tls_refuse);
    shake();
    assert_string_equal(seen.reason, "refused");
    assert_non_null(strstr(peer->why, "access denied"));
    ask(NULL);
    PEER_UNTIL(loop, peer, choice.asked);
    clock_advance_ms(6000);
    TURN_UNTIL(loop, seen.ends);
    assert_string_equal(seen.reason, "timeout");
}

static void test_contexts_are_found_again(void **state UNUSED)
{
    const struct test_cert *certs[] = {&ec, &rsa, &wild};
    struct tls_server *same = make(&(struct tls_server_spec){.resumes = true}, certs, 3);
    struct tls_server *fewer = make(&(struct tls_server_spec){.resumes = true}, certs, 2);

    assert_ptr_equal(same, server);
    assert_ptr_not_equal(fewer, server);
    tls_server_unref(same);
    tls_server_unref(fewer);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_bytes_go_both_ways_in_both_versions),
        T(test_a_client_that_is_too_old_is_told_so),
        T(test_what_came_with_the_handshake_is_read),
        T(test_the_name_chooses_the_certificate),
        T(test_alpn),
        T(test_a_session_resumes_where_it_was_made),
        T(test_a_session_lives_through_new_ticket_keys),
        T(test_a_session_is_no_way_around_a_required_certificate),
        T(test_client_certificates),
        T(test_small_reads_get_it_all),
        T(test_pieces_are_one_record),
        T(test_a_slow_reader_gets_it_all),
        T(test_the_end_is_no_truncation),
        T(test_closing_says_so_but_a_hard_one_does_not),
        T(test_an_idle_stream_changes_loops),
        T(test_an_idle_stream_holds_no_buffers),
        T(test_garbage_and_cut_off_handshakes_end),
        T(test_a_handshake_that_stalls_ends_in_time),
        T(test_renegotiation_ends_the_connection),
        T(test_a_flood_of_nothing_ends_its_turn),
        T(test_tiny_records_are_put_together),
        T(test_a_certificate_is_chosen_at_once_or_later),
        T(test_a_handshake_is_refused_or_runs_out_of_time),
        T(test_contexts_are_found_again),
    };
    struct test_cert *all[] = {&ca, &other_ca, &ec, &rsa, &wild, &ann, &stranger};

    signal(SIGPIPE, SIG_IGN);
    test_cert_make(&ca, &(struct test_cert_ask){.name = "ca"});
    test_cert_make(&other_ca, &(struct test_cert_ask){.name = "other ca"});
    test_cert_make(&ec, &(struct test_cert_ask){.name = "ec", .alt = "DNS:a.example", .by = &ca});
    test_cert_make(
        &rsa, &(struct test_cert_ask){
                  .name = "rsa", .alt = "DNS:A.example.,DNS:b.example", .kind = "rsa", .by = &ca});
    test_cert_make(&wild,
                   &(struct test_cert_ask){.name = "wild", .alt = "DNS:*.wild.example", .by = &ca});
    test_cert_make(&ann, &(struct test_cert_ask){.name = "ann", .by = &ca});
    test_cert_make(&stranger, &(struct test_cert_ask){.name = "stranger", .by = &other_ca});
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < COUNT_OF(all); i++)
        test_cert_free(all[i]);
    return failed;
}
