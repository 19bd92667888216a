/* SPDX-License-Identifier: Apache-2.0 */

/* The upstream of the benchmark: HTTP/1.1 with keep-alive, answers made once at
 * start, nothing else. The last segment of the path chooses: 10k and 1m are bodies
 * of that size, fresh and fresh-10k are answers of 100 bytes and 10 KiB that a cache may keep,
 * echo sends the request head back, stats tells the connections accepted and requests answered
 * so far (its own not counted), fails is a 503, flaky one and then a 200 in turn, all else is
 * 100 bytes.
 * A request body is skipped by its Content-Length. */

#include "listen.h"

#include <errno.h>
#include <stdbool.h>
#include <strings.h>
#include <time.h>

struct answer {
    char *bytes;
    size_t len;
};

struct conn {
    int fd;
    bool blocked;   /* waits for EPOLLOUT, reads nothing meanwhile */
    bool uncounted; /* asked for stats: is no connection of the benchmark */
    size_t in_len;
    size_t skip; /* of a request body, still to come */
    struct answer out;
    char in[16384];
};

static struct answer small, body_10k, body_1m, failure, fresh, fresh_10k;
static unsigned long accepted, answered;

/* more: lines of the head, a date at least. */
static struct answer answer_of_head(const char *status, const char *more, const char *body,
                                    size_t len)
{
    struct answer a = {.bytes = malloc(len + 512)};

    if (!a.bytes)
        fail("malloc");
    int head = snprintf(a.bytes, 512,
                        "HTTP/1.1 %s\r\nServer: origin\r\n%s"
                        "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                        status, more, len);
    for (size_t i = 0; i < len; i++)
        a.bytes[(size_t)head + i] = body ? body[i] : (char)('a' + i % 26);
    a.len = (size_t)head + len;
    return a;
}

static struct answer answer_new(const char *status, const char *body, size_t len)
{
    return answer_of_head(status, "Date: Sat, 01 Jan 2022 00:00:00 GMT\r\n", body, len);
}

/* Good for a day, from now on. */
static struct answer answer_fresh(size_t len)
{
    char more[128];
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(more, sizeof(more),
             "Date: %a, %d %b %Y %H:%M:%S GMT\r\nCache-Control: max-age=86400\r\n", &tm);
    return answer_of_head("200 OK", more, NULL, len);
}

static void conn_close(struct conn *c)
{
    close(c->fd);
    free(c);
}

/* Sends what it can of the answer; false when the peer has gone. */
static bool conn_send(int ep, struct conn *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.bytes, c->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0)
            break;
        c->out.bytes += n;
        c->out.len -= (size_t)n;
    }
    if (c->blocked != (c->out.len > 0)) {
        c->blocked = !c->blocked;
        epoll_set(ep, EPOLL_CTL_MOD, c->fd, c->blocked ? EPOLLOUT : EPOLLIN, c);
    }
    return true;
}

/* An answer of the moment leaves at once: it is small, and asked for outside the measured time. */
static bool conn_send_once(struct conn *c, const char *body, size_t len)
{
    struct answer a = answer_new("200 OK", body, len);
    ssize_t n = send(c->fd, a.bytes, a.len, MSG_NOSIGNAL);

    free(a.bytes);
    return n == (ssize_t)a.len;
}

static bool segment_is(const char *segment, size_t len, const char *name)
{
    return len == strlen(name) && memcmp(segment, name, len) == 0;
}

static struct answer answer_of(const char *segment, size_t len)
{
    static unsigned turn;

    if (segment_is(segment, len, "10k"))
        return body_10k;
    if (segment_is(segment, len, "1m"))
        return body_1m;
    if (segment_is(segment, len, "fresh"))
        return fresh;
    if (segment_is(segment, len, "fresh-10k"))
        return fresh_10k;
    if (segment_is(segment, len, "fails"))
        return failure;
    return segment_is(segment, len, "flaky") && turn++ % 2 == 0 ? failure : small;
}

static bool conn_answer(int ep, struct conn *c, size_t head_len)
{
    const char *line_end = memchr(c->in, '\r', head_len);
    const char *start = memchr(c->in, ' ', (size_t)(line_end - c->in));
    if (!start)
        return false;
    const char *segment = start + 1, *end = segment;
    for (; *end != ' ' && *end != '?' && *end != '\r'; end++)
        if (*end == '/')
            segment = end + 1;
    size_t len = (size_t)(end - segment);

    if (segment_is(segment, len, "echo"))
        return conn_send_once(c, c->in, head_len);
    if (segment_is(segment, len, "stats")) {
        char text[64];
        accepted -= !c->uncounted;
        c->uncounted = true;
        int n = snprintf(text, sizeof(text), "%lu %lu\n", accepted, answered);
        return conn_send_once(c, text, (size_t)n);
    }
    answered++;
    c->out = answer_of(segment, len);
    return conn_send(ep, c);
}

static size_t body_length(const char *head, size_t len)
{
    static const char NAME[] = "content-length:";
    const char *end = head + len;

    for (const char *line = head; line; line = memchr(line, '\n', (size_t)(end - line))) {
        line += *line == '\n';
        if ((size_t)(end - line) > sizeof(NAME) && !strncasecmp(line, NAME, sizeof(NAME) - 1))
            return strtoul(line + sizeof(NAME) - 1, NULL, 10);
    }
    return 0;
}

static void conn_drop(struct conn *c, size_t len)
{
    c->in_len -= len;
    memmove(c->in, c->in + len, c->in_len);
}

static bool conn_serve(int ep, struct conn *c)
{
    while (!c->blocked && c->in_len > 0) {
        if (c->skip > 0) {
            size_t part = c->skip < c->in_len ? c->skip : c->in_len;
            c->skip -= part;
            conn_drop(c, part);
            continue;
        }
        const char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
        if (!end)
            return c->in_len < sizeof(c->in);
        size_t head_len = (size_t)(end - c->in) + 4;
        c->skip = body_length(c->in, head_len);
        if (!conn_answer(ep, c, head_len))
            return false;
        conn_drop(c, head_len);
    }
    return true;
}

static bool conn_ready(int ep, struct conn *c)
{
    if (c->blocked)
        return conn_send(ep, c) && (c->blocked || conn_serve(ep, c));

    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    c->in_len += (size_t)n;
    return conn_serve(ep, c);
}

static void accept_all(int ep, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof(*c));
        if (!c)
            fail("calloc");
        c->fd = fd;
        accepted++;
        no_delay(fd);
        epoll_set(ep, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];

    if (argc != 2) {
        fputs("usage: origin PORT\n", stderr);
        return 2;
    }
    small = answer_new("200 OK", NULL, 100);
    body_10k = answer_new("200 OK", NULL, 10 * 1024);
    body_1m = answer_new("200 OK", NULL, 1024 * 1024);
    fresh = answer_fresh(100);
    fresh_10k = answer_fresh(10 * 1024);
    failure = answer_new("503 Service Unavailable", NULL, 0);

    int ep = epoll_create1(EPOLL_CLOEXEC), listener = listen_on(argv[1]);
    epoll_set(ep, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c)
                accept_all(ep, listener);
            else if (!conn_ready(ep, c))
                conn_close(c);
        }
    }
}
