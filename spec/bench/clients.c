/* SPDX-License-Identifier: Apache-2.0 */

/* The clients that wrk can't be: each connection asks once, for a small answer, with TLS 1.3 or
 * without. With `again` it is then closed and the next begins, always with a full handshake: no
 * session is kept that could be resumed, as if each came from somebody else. With `hold` it stays
 * open and idle until this program is ended; "held" and the number of errors are printed when all
 * are there. */

#include "listen.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

enum {
    AT_ONCE = 50,      /* under way with `hold` */
    ERRORS_MAX = 1000, /* then it is over */
    SAMPLES_MAX = 1 << 20,
};

enum state { CONNECTING, SHAKING, READING, ANSWERED };

struct conn {
    int fd;
    SSL *ssl;
    enum state state;
    double begun;
    size_t in_len;
    char in[2048];
};

static SSL_CTX *tls; /* NULL: without */
static struct sockaddr_in gateway;
static char request[256];
static int ep;

static unsigned long answered, errors;
static float *samples; /* ms */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void conn_begin(struct conn *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket");
    no_delay(c->fd);
    c->state = CONNECTING;
    c->begun = now();
    c->in_len = 0;
    if (connect(c->fd, (struct sockaddr *)&gateway, sizeof(gateway)) < 0 && errno != EINPROGRESS)
        fail("connect");
    epoll_set(ep, EPOLL_CTL_ADD, c->fd, EPOLLOUT, c);
}

static void conn_end(struct conn *c)
{
    if (c->ssl && SSL_is_init_finished(c->ssl))
        SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    c->ssl = NULL;
    ERR_clear_error();
    close(c->fd);
}

static bool conn_connected(struct conn *c)
{
    int err = 0;

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &(socklen_t){sizeof(err)});
    if (err != 0)
        return false;
    epoll_set(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    c->state = SHAKING;
    if (!tls)
        return true;
    c->ssl = SSL_new(tls);
    if (!c->ssl || !SSL_set_fd(c->ssl, c->fd))
        fail("SSL_new");
    SSL_set_connect_state(c->ssl);
    return true;
}

/* A message of a handshake fits a socket's buffer, so only reading is ever waited for. */
static bool conn_shake(struct conn *c)
{
    size_t len = strlen(request);

    if (c->ssl) {
        int rc = SSL_do_handshake(c->ssl);
        if (rc != 1)
            return SSL_get_error(c->ssl, rc) == SSL_ERROR_WANT_READ;
    }
    c->state = READING;
    return c->ssl ? SSL_write(c->ssl, request, (int)len) == (int)len
                  : send(c->fd, request, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool is_complete(const struct conn *c)
{
    const char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    const char *length = strcasestr(c->in, "\r\ncontent-length:");

    return end && length && c->in_len >= (size_t)(end + 4 - c->in) + strtoul(length + 17, NULL, 10);
}

static bool conn_read(struct conn *c)
{
    size_t room = sizeof(c->in) - 1 - c->in_len;
    int n = c->ssl ? SSL_read(c->ssl, c->in + c->in_len, (int)room)
                   : (int)recv(c->fd, c->in + c->in_len, room, 0);

    if (n <= 0)
        return c->ssl ? SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ : n < 0 && errno == EAGAIN;
    c->in_len += (size_t)n;
    c->in[c->in_len] = '\0';
    if (is_complete(c))
        c->state = ANSWERED;
    return strncmp(c->in, "HTTP/1.1 200 ", c->in_len < 13 ? c->in_len : 13) == 0;
}

/* False when something went wrong with it. */
static bool conn_step(struct conn *c)
{
    if (c->state == CONNECTING && !conn_connected(c))
        return false;
    if (c->state == SHAKING && !conn_shake(c))
        return false;
    return c->state != READING || conn_read(c);
}

/* The step of one that is ready: true when it is answered. What fails begins anew. */
static bool conn_ready(struct conn *c)
{
    if (conn_step(c))
        return c->state == ANSWERED;
    if (++errors > ERRORS_MAX)
        fail("clients: too many errors, at last");
    conn_end(c);
    conn_begin(c);
    return false;
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static void report(const char *path, double seconds)
{
    struct rusage used;
    size_t n = answered < SAMPLES_MAX ? answered : SAMPLES_MAX;
    FILE *file = fopen(path, "w");

    if (!file)
        fail(path);
    getrusage(RUSAGE_SELF, &used);
    qsort(samples, n, sizeof(*samples), by_size);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    fprintf(file,
            "return { requests = %lu, seconds = %f, p50 = %f, p99 = %f, max = %f, errors = %lu, "
            "cpu = %f }\n",
            answered, seconds, (double)samples[n / 2], (double)samples[n * 99 / 100],
            (double)samples[n ? n - 1 : 0], errors, cpu);
    fclose(file);
}

static void again(unsigned count, double seconds, const char *result)
{
    struct epoll_event events[256];
    struct conn *conns = calloc(count, sizeof(*conns));
    double begun = now(), end = begun + seconds;

    samples = calloc(SAMPLES_MAX, sizeof(*samples));
    if (!conns || !samples)
        fail("calloc");
    for (unsigned i = 0; i < count; i++)
        conn_begin(&conns[i]);
    while (now() < end) {
        int n = epoll_wait(ep, events, 256, 100);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!conn_ready(c))
                continue;
            samples[answered++ % SAMPLES_MAX] = (float)((now() - c->begun) * 1e3);
            conn_end(c);
            conn_begin(c);
        }
    }
    report(result, now() - begun);
}

static _Noreturn void hold(unsigned count)
{
    struct epoll_event events[AT_ONCE];
    struct conn *conns = calloc(count, sizeof(*conns));
    unsigned begun = 0;

    if (!conns)
        fail("calloc");
    while (answered < count) {
        for (; begun < count && begun - answered < AT_ONCE; begun++)
            conn_begin(&conns[begun]);
        int n = epoll_wait(ep, events, AT_ONCE, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!conn_ready(c))
                continue;
            epoll_set(ep, EPOLL_CTL_DEL, c->fd, 0, NULL);
            answered++;
        }
    }
    printf("held, %lu errors\n", errors);
    fflush(stdout);
    for (;;)
        pause();
}

static void use_tls(void)
{
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION))
        fail("SSL_CTX_new");
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
}

int main(int argc, char **argv)
{
    bool is_hold = argc > 5 && strcmp(argv[1], "hold") == 0;

    if (!is_hold && !(argc == 8 && strcmp(argv[1], "again") == 0)) {
        fputs("usage: clients hold plain|tls PORT PATH CONNECTIONS\n"
              "       clients again plain|tls PORT PATH CONNECTIONS SECONDS RESULT\n",
              stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without asking not to */
    if (strcmp(argv[2], "tls") == 0)
        use_tls();
    gateway = loopback(argv[3]);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", argv[4],
             argv[3]);
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (is_hold)
        hold((unsigned)atoi(argv[5]));
    again((unsigned)atoi(argv[5]), atof(argv[6]), argv[7]);
    return 0;
}
