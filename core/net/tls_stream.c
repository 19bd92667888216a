/* SPDX-License-Identifier: Apache-2.0 */

/* The stream after its handshake. Small pieces are gathered, so that a head and its body are one
 * record and one system call. OpenSSL reads through a BIO of ours that gives it a few reads for each
 * call: whatever a peer sends that is no content (empty records, tickets, key updates, handshakes),
 * it can't keep the loop busy with one connection. */

#include "net/tls_stream.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "net/calls.h"
#include "net/tls_client.h"

#define RECORD (16 * KIB) /* the most that one carries */
#define READS 2           /* of the socket for each record that may be taken */

static _Thread_local char gathered[RECORD];

static struct tls *tls_of(struct stream *s)
{
    return container_of(s, struct tls, stream);
}

/* --- the socket, as OpenSSL sees it ------------------------------------------------------------ */

static int bio_read(BIO *bio, char *mem, int len)
{
    struct tls *t = BIO_get_data(bio);
    ssize_t n = -1;

    BIO_clear_retry_flags(bio);
    errno = EAGAIN;
    if (t->budget > 0) {
        t->budget--;
        do
            n = call_recv(t->stream.fd, mem, (size_t)len, 0);
        while (UNLIKELY(n < 0 && errno == EINTR));
    }
    t->eof = n == 0;
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    return (int)n;
}

static int bio_write(BIO *bio, const char *mem, int len)
{
    struct tls *t = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    do
        n = call_send(t->stream.fd, mem, (size_t)len, MSG_NOSIGNAL);
    while (UNLIKELY(n < 0 && errno == EINTR));
    if (n > 0)
        t->sent += (uint64_t)n;
    else if (n < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)n;
}

static long bio_ctrl(BIO *bio, int what, long arg UNUSED, void *ptr UNUSED)
{
    switch (what) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_EOF: return ((struct tls *)BIO_get_data(bio))->eof;
    default: return 0;
    }
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_made = PTHREAD_ONCE_INIT;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    REQUIRE(bio_method && BIO_meth_set_read(bio_method, bio_read) &&
            BIO_meth_set_write(bio_method, bio_write) && BIO_meth_set_ctrl(bio_method, bio_ctrl));
}

static BIO *bio_new(struct tls *t)
{
    pthread_once(&bio_made, make_bio_method);
    BIO *bio = BIO_new(bio_method);
    REQUIRE(bio != NULL);
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    return bio;
}

/* --- bytes ------------------------------------------------------------------------------------ */

int tls_stream_failure(struct tls *t, int result)
{
    t->stuck = false;
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ: return ERR_AGAIN;
    case SSL_ERROR_WANT_WRITE: t->stuck = true; return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN: return ERR_CLOSED;
    case SSL_ERROR_SYSCALL: t->failed = true; return ERR_RESET;
    default: t->failed = true; return t->eof ? ERR_RESET : ERR_TLS; /* cut off, not ended */
    }
}

/* Errors are told by what is left in the thread's list. Emptying it takes 400 instructions, and there
 * is nearly never anything in it. */
static inline void forget_errors(void)
{
    if (UNLIKELY(ERR_peek_error() != 0))
        ERR_clear_error();
}

/* One record after another, until mem is full or there is no whole one. */
static int read_records(struct tls *t, char *mem, size_t len, size_t *got)
{
    size_t n;

    for (*got = 0; *got < len; *got += n) {
        int result = SSL_read_ex(t->ssl, mem + *got, len - *got, &n);
        if (result != 1)
            return tls_stream_failure(t, result);
        if (!SSL_has_pending(t->ssl)) {
            *got += n;
            return ERR_AGAIN;
        }
    }
    t->more = true;
    return ERR_AGAIN;
}

static void look_again(struct tls *t)
{
    if (t->more && t->stream.reading)
        timer_set(&t->again, 0);
}

static ssize_t tls_recv(struct stream *s, void *mem, size_t len)
{
    struct tls *t = tls_of(s);
    bool was_stuck = t->stuck;
    size_t got;

    t->more = false;
    if (t->in_err)
        return t->in_err;
    t->budget = (uint8_t)MIN(READS * (1 + len / RECORD), (size_t)UINT8_MAX);
    forget_errors();
    int rc = read_records(t, mem, len, &got);
    if (t->is_renewed)
        rc = ERR_TLS;
    if (rc != ERR_AGAIN) {
        t->in_err = rc;
        t->more = true;
    }
    if (was_stuck != t->stuck)
        s->ops->watch(s);
    if (got == 0)
        return rc;
    look_again(t);
    return (ssize_t)got;
}

/* The beginning of the pieces, at most a record. One that fills a record by itself is not copied;
 * neither is a single one. */
static struct slice gather(const struct iovec *iov, int n)
{
    size_t len = 0;

    while (n > 1 && iov->iov_len == 0) {
        iov++;
        n--;
    }
    if (n == 1 || iov->iov_len >= RECORD)
        return slice_of(iov->iov_base, MIN(iov->iov_len, (size_t)RECORD));
    for (int i = 0; i < n && len < RECORD; i++) {
        size_t part = MIN(iov[i].iov_len, RECORD - len);
        memcpy(gathered + len, iov[i].iov_base, part);
        len += part;
    }
    return slice_of(gathered, len);
}

/* Moves behind the first `sent` bytes. */
static void skip(struct iovec *iov, int *at, int n, size_t sent)
{
    while (*at < n && sent >= iov[*at].iov_len)
        sent -= iov[(*at)++].iov_len;
    if (*at < n) {
        iov[*at].iov_base = (char *)iov[*at].iov_base + sent;
        iov[*at].iov_len -= sent;
    }
}

#define PIECES 64

/* A record that the kernel refuses stays with OpenSSL, and counts as not sent: the same bytes come
 * again, with what has been queued behind them. */
static ssize_t tls_send(struct stream *s, const struct iovec *pieces, int n)
{
    struct tls *t = tls_of(s);
    struct iovec iov[PIECES];
    ssize_t sent = 0;
    size_t part;
    int at = 0;

    n = MIN(n, PIECES);
    memcpy(iov, pieces, (size_t)n * sizeof(iov[0]));
    while (at < n) {
        struct slice record = gather(iov + at, n - at);
        if (record.len == 0)
            break;
        forget_errors();
        int result = SSL_write_ex(t->ssl, record.ptr, record.len, &part);
        if (result != 1) {
            bool blocks = SSL_get_error(t->ssl, result) == SSL_ERROR_WANT_WRITE;
            t->failed = !blocks;
            if (sent == 0)
                return blocks ? ERR_AGAIN : ERR_RESET;
            break;
        }
        sent += (ssize_t)part;
        skip(iov, &at, n, part);
    }
    return sent;
}

/* --- the end ---------------------------------------------------------------------------------- */

static int tls_shutdown(struct stream *s)
{
    struct tls *t = tls_of(s);

    if (t->failed)
        return ERR_RESET;
    ERR_clear_error();
    int result = SSL_shutdown(t->ssl);
    if (result < 0 && SSL_get_error(t->ssl, result) == SSL_ERROR_WANT_WRITE)
        return ERR_AGAIN;
    return result >= 0 && shutdown(s->fd, SHUT_WR) == 0 ? 0 : ERR_RESET;
}

static void tls_bye(struct stream *s)
{
    struct tls *t = tls_of(s);

    if (t->failed || t->handshake)
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
}

static void tls_free(struct stream *s)
{
    struct tls *t = tls_of(s);

    timer_deinit(&t->again);
    if (!t->failed)
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN); /* or its session could not be used again */
    SSL_free(t->ssl);
    tls_session_unref(t->session);
    free(t->texts);
    watch_end(&t->watch);
    close(s->fd);
    free(t);
}

/* --- the loop --------------------------------------------------------------------------------- */

void tls_stream_watch(struct tls *t, bool reads, bool writes)
{
    watch_for(&t->watch, (reads ? WATCH_READ : 0) | (writes ? WATCH_WRITE : 0));
}

static void tls_watch(struct stream *s)
{
    struct tls *t = tls_of(s);

    tls_stream_watch(t, s->reading, s->writing || (t->stuck && s->reading));
    if (s->reading)
        look_again(t);
    else
        timer_stop(&t->again);
}

static void tls_move(struct stream *s, struct loop *l)
{
    struct tls *t = tls_of(s);

    timer_move(&t->again, l);
    if (!l) {
        watch_end(&t->watch);
        return;
    }
    t->watch.loop = l;
    tls_watch(s);
}

/* A server's tickets may come at any time; they say nothing. */
static bool tls_is_quiet(struct stream *s)
{
    struct tls *t = tls_of(s);
    size_t n;
    char c;

    if (t->more || t->in_err)
        return false;
    t->budget = READS;
    ERR_clear_error();
    int result = SSL_peek_ex(t->ssl, &c, 1, &n);
    return result != 1 && tls_stream_failure(t, result) == ERR_AGAIN && !t->stuck;
}

static uint64_t tls_sent(const struct stream *s)
{
    return container_of(s, const struct tls, stream)->sent;
}

static const struct stream_ops tls_ops = {
    .name = "tls",
    .recv = tls_recv,
    .send = tls_send,
    .shutdown = tls_shutdown,
    .watch = tls_watch,
    .move = tls_move,
    .is_quiet = tls_is_quiet,
    .sent = tls_sent,
    .bye = tls_bye,
    .free = tls_free,
};

static void on_ready(struct watch *w, unsigned what)
{
    struct tls *t = container_of(w, struct tls, watch);
    bool reads = what & WATCH_READ || t->stuck;

    if (t->handshake)
        tls_handshake_go(t->handshake);
    else
        stream_on_ready(&t->stream, reads, what & WATCH_WRITE);
}

static void on_again(struct timer *timer)
{
    struct tls *t = container_of(timer, struct tls, again);

    if (t->more)
        stream_on_ready(&t->stream, true, false);
}

struct tls *tls_stream_new(struct loop *l, int fd, void *ssl)
{
    struct tls *t = calloc(1, sizeof(*t));
    BIO *bio;

    REQUIRE(t != NULL && ssl != NULL);
    stream_init(&t->stream, &tls_ops, l, fd, NULL, NULL);
    watch_init(&t->watch, l, fd, on_ready);
    timer_init(&t->again, l, on_again);
    t->ssl = ssl;
    bio = bio_new(t);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data((SSL *)ssl, t);
    return t;
}

struct tls_facts tls_facts(const struct stream *s)
{
    const struct tls *t = container_of(s, const struct tls, stream);
    const char *texts = t->texts ? t->texts : "";
    const unsigned char *protocol;
    unsigned int len;

    SSL_get0_alpn_selected(t->ssl, &protocol, &len);
    return (struct tls_facts){
        .server_name = slice_of(texts, t->name_len),
        .subject = slice_of(texts + t->name_len, t->subject_len),
        .thumbprint = slice_of(texts + t->name_len + t->subject_len, t->print_len),
        .protocol = slice_of(len ? (const char *)protocol : "", len),
        .version = SSL_version(t->ssl) == TLS1_3_VERSION ? "1.3" : "1.2",
        .is_resumed = SSL_session_reused(t->ssl),
    };
}
