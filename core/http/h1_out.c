/* SPDX-License-Identifier: Apache-2.0 */

/* The sending half of a connection: the head that waits, how its body is framed, and one system
 * call for both.
 *
 * What can wait leaves at the end of the turn, all connections in a row. Sending runs through half
 * of the kernel: between two requests that are read it would drive our code and data out of the
 * caches, and ours the kernel's. */

#include "http/h1.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"

enum {
    TAIL_ROOM = 128, /* framing and connection fields, empty line */
    PIECES = 60,     /* of a body, in one system call */
    OWN_IOVECS = 4,  /* head, chunk size, chunk end, trailers */
    JOIN_MAX = 2048, /* bytes that are copied behind their head */
};

/* An error is told from the loop. */
static void flush_or_note(struct h1_conn *c)
{
    int rc = h1_conn_flush(c);

    if (rc >= 0)
        return;
    c->out_err = rc;
    h1_conn_later(c);
}

char *h1_conn_head_room(struct h1_conn *c, size_t size)
{
    flush_or_note(c); /* the answer to the request before */
    c->head = h1_block_take_head(c, size + TAIL_ROOM);
    c->head_closed = false;
    return c->head->bytes;
}

void h1_conn_head_ready(struct h1_conn *c, const char *end)
{
    c->head->end = (uint32_t)(end - c->head->bytes);
}

void h1_conn_drop_head(struct h1_conn *c)
{
    if (c->head != NULL)
        h1_block_give(c, c->head);
    c->head = NULL;
    if (c->leaving == 0)
        return;
    c->env->leaving[c->leaving - 1] = NULL;
    c->leaving = 0;
    if (++c->env->ngaps == c->env->nleaving)
        later_cancel(&c->env->leave);
}

/* The message leaves: `len` bytes of content with its head, and no more when `end`. */
static void close_head(struct h1_conn *c, size_t len, bool end)
{
    bool length = c->kind == BODY_LENGTH;

    if (c->kind == BODY_UNKNOWN && end) {
        c->kind = BODY_LENGTH;
        c->out_left = len;
        length = true;
    }
    c->chunked = c->kind == BODY_UNKNOWN && !c->old_peer && !c->silent;
    struct slice connection = c->role->connection(c, end);
    char *p = c->head->bytes + c->head->end;
    if (length) {
        p = slice_put(p, SLICE("Content-Length: "));
        p += text_from_u64(c->out_left, p);
        p = slice_put(p, SLICE("\r\n"));
    } else if (c->chunked) {
        p = slice_put(p, SLICE("Transfer-Encoding: chunked\r\n"));
    }
    p = slice_put(p, connection);
    h1_conn_head_ready(c, slice_put(p, SLICE("\r\n")));
    c->head_closed = true;
    if (c->later_is_heads && !h1_conn_wants_pump(c)) {
        c->later_is_heads = false;
        later_cancel(&c->later);
    }
    c->wire.head_held = false;
}

static size_t hex_line(size_t n, char *out)
{
    char digits[16];
    size_t len = 0, used = 0;

    do
        digits[len++] = "0123456789abcdef"[n & 15];
    while ((n >>= 4) != 0);
    while (len > 0)
        out[used++] = digits[--len];
    out[used++] = '\r';
    out[used++] = '\n';
    return used;
}

static void add(struct iovec *iov, int *k, struct slice s)
{
    if (s.len > 0)
        iov[(*k)++] = (struct iovec){(void *)(uintptr_t)s.ptr, s.len};
}

/* Copies what follows a head behind it: for a few bytes that costs less than what the kernel does for
 * a second piece. */
static int join_head(struct h1_conn *c, struct iovec *iov, int k)
{
    struct h1_block *head = c->head;
    size_t room = MIN(head->size - sizeof(*head) - head->end, (size_t)JOIN_MAX), len = 0;
    char *p = head->bytes + head->end;

    for (int i = 1; i < k; i++)
        len += iov[i].iov_len;
    if (len > room)
        return k;
    for (int i = 1; i < k; i++)
        p = slice_put(p, slice_of(iov[i].iov_base, iov[i].iov_len));
    head->end += (uint32_t)len;
    iov[0].iov_len += len;
    return 1;
}

/* Bytes in flight: the clock of a peer that takes nothing begins when the kernel refuses. */
static void watch_stall(struct h1_conn *c)
{
    if (stream_queued(c->stream) == 0) {
        c->out_due = 0;
        return;
    }
    if (c->out_due != 0)
        return;
    c->out_mark = (uint32_t)c->stream->bytes_out;
    c->out_due = clock_ms() + h1_conn_idle_ms(c);
    h1_conn_rearm(c);
}

static int send_all(struct h1_conn *c, const struct iovec *iov, int k)
{
    int rc = k > 0 ? stream_write(c->stream, iov, k) : 0;

    h1_conn_drop_head(c);
    c->wire.unsent = c->stream->bytes_out == c->sent_before;
    if (rc < 0)
        return rc;
    watch_stall(c);
    if (c->kind == BODY_TUNNEL && c->in_due != 0)
        c->in_due = clock_ms() + c->in_ms; /* a tunnel is silent when both ways are */
    c->full = rc == STREAM_FULL;
    return c->full ? WIRE_FULL : 0;
}

int h1_conn_flush(struct h1_conn *c)
{
    if (c->head == NULL || !c->head_closed)
        return 0;
    struct iovec iov = {c->head->bytes, c->head->end};
    return send_all(c, &iov, 1);
}

static void leave_all(struct wire_env *env)
{
    for (uint32_t i = 0; i < env->nleaving; i++) {
        const struct h1_conn *next = i + 1 < env->nleaving ? env->leaving[i + 1] : NULL;
        if (next != NULL)
            __builtin_prefetch(next->head); /* it comes while the kernel sends this one */
        if (env->leaving[i] != NULL)
            flush_or_note(env->leaving[i]);
    }
    env->nleaving = env->ngaps = 0;
}

static void on_leave(struct later *d)
{
    leave_all(container_of(d, struct wire_env, leave));
}

/* What may wait is small: the stream never says that it is full. */
static bool may_wait(const struct h1_conn *c)
{
    return c->head->size <= WIRE_RECV_BLOCK && stream_queued(c->stream) == 0;
}

static void leave_later(struct h1_conn *c)
{
    struct wire_env *env = c->env;

    if (c->leaving != 0)
        return;
    if (UNLIKELY(env->leave.fn == NULL))
        later_init(&env->leave, on_leave);
    env->leaving[env->nleaving++] = c;
    c->leaving = (uint8_t)env->nleaving;
    if (env->nleaving == WIRE_LEAVING_MAX)
        leave_all(env);
    else
        loop_later(env->loop, &env->leave);
}

/* The last chunk with the trailers, in memory that lives until the write has returned. */
static struct slice last_chunk(const struct headers *trailers, char **mem)
{
    if (trailers == NULL)
        return SLICE("0\r\n\r\n");
    char *start = malloc(h1_trailers_size(trailers) + 8), *p = mempcpy(start, "0\r\n", 3);
    REQUIRE(start != NULL);
    *mem = start;
    char *end = h1_write_trailers(p, trailers);
    /* Trailers that would split the message are left out: the body is whole without them. */
    end = mempcpy(CHECK(end != NULL) ? end : p, "\r\n", 2);
    return slice_of(start, (size_t)(end - start));
}

static size_t total(const struct slice *pieces, int n)
{
    size_t len = 0;

    for (int i = 0; i < n; i++)
        len += pieces[i].len;
    return len;
}

/* Checks the content against what the head said of it; takes it off. */
static int account(struct h1_conn *c, size_t len, bool end)
{
    if (c->kind == BODY_NONE && !CHECK(len == 0))
        return ERR_ARG;
    if (c->kind != BODY_LENGTH)
        return 0;
    if (!CHECK(len <= c->out_left && (!end || len == c->out_left)))
        return ERR_ARG;
    return 0;
}

/* What ends when the connection ends. */
static bool ends_by_close(const struct h1_conn *c)
{
    return c->kind == BODY_TUNNEL || (c->kind == BODY_UNKNOWN && !c->chunked && !c->silent);
}

/* At most PIECES. */
static int write_some(struct h1_conn *c, const struct slice *pieces, int n, bool end,
                      const struct headers *trailers)
{
    struct iovec iov[PIECES + OWN_IOVECS];
    char size_line[20], *mem = NULL;
    size_t len = total(pieces, n);
    int k = 0, rc = c->silent ? 0 : account(c, len, end);

    if (rc < 0)
        return rc;
    if (c->head != NULL) {
        if (!c->head_closed)
            close_head(c, len, end && trailers == NULL);
        add(iov, &k, slice_of(c->head->bytes, c->head->end));
    }
    if (c->silent)
        n = 0;
    else if (c->kind == BODY_LENGTH)
        c->out_left -= len;
    if (c->chunked && n > 0 && len > 0)
        add(iov, &k, slice_of(size_line, hex_line(len, size_line)));
    for (int i = 0; i < n; i++)
        add(iov, &k, pieces[i]);
    if (c->chunked && n > 0 && len > 0)
        add(iov, &k, SLICE("\r\n"));
    if (c->chunked && end)
        add(iov, &k, last_chunk(trailers, &mem));
    if (c->head != NULL && k > 1)
        k = join_head(c, iov, k);
    if (c->head != NULL && k == 1 && may_wait(c))
        leave_later(c);
    else
        rc = send_all(c, iov, k);
    if (UNLIKELY(mem != NULL))
        free(mem);
    return rc;
}

int h1_conn_write_interim(struct h1_conn *c)
{
    struct iovec iov;

    h1_conn_head_ready(c, slice_put(c->head->bytes + c->head->end, SLICE("\r\n")));
    iov = (struct iovec){c->head->bytes, c->head->end};
    return send_all(c, &iov, 1);
}

int h1_conn_write(struct h1_conn *c, const struct slice *pieces, int n, bool end,
                  const struct headers *trailers)
{
    while (UNLIKELY(n > PIECES)) {
        int rc = write_some(c, pieces, PIECES, false, NULL);
        if (rc < 0)
            return rc;
        pieces += PIECES;
        n -= PIECES;
    }
    int rc = write_some(c, pieces, n, end, trailers);
    if (rc < 0 || !end)
        return rc;
    c->out = H1_OUT_DONE;
    if (!ends_by_close(c))
        return rc;
    rc = h1_conn_flush(c);
    stream_shutdown(c->stream);
    return rc;
}
