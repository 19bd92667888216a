/* SPDX-License-Identifier: Apache-2.0 */

/* The end that hears requests. One at a time: a pipelined request waits in the buffer until the
 * owner of the one before has released its wire. A head that can't be parsed is answered here,
 * for there is no exchange yet; after it nothing that follows on the connection can be trusted,
 * so it is closed. */

#include "http/h1.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"

#define REST_MAX (64 * KIB) /* of a request body that is read and dropped to keep the connection */
#define LOOK_MS 1000 /* how soon it is seen that a client has left behind bytes that nobody reads */

static struct h1_server *server_of(struct h1_conn *c)
{
    return container_of(c, struct h1_server, conn);
}

static struct h1_conn *conn_of(struct wire *w)
{
    return container_of(w, struct h1_conn, wire);
}

static void end(struct h1_conn *c)
{
    struct h1_server *s = server_of(c);

    if (c->stream != NULL)
        (void)!h1_conn_flush(c);
    h1_conn_close(c);
    s->host->on_end(s);
}

static void end_gently(struct h1_conn *c)
{
    h1_conn_close_gently(c);
    end(c);
}

/* The other side is gone. */
static void lost(struct h1_conn *c, int err)
{
    if (c->owned)
        h1_conn_gone(c, err);
    else
        end(c);
}

/* The other side broke the rules, but it can still be told so, and may leave before it is. */
static void offended(struct h1_conn *c, int err)
{
    server_of(c)->close = true;
    c->in = H1_IN_DONE;
    c->wire.events->on_gone(c->wire.owner, &c->wire, err);
}

/* --- heads ------------------------------------------------------------------------------------ */

static int problem(struct buf *out, struct slice server, int status, const char *why,
                   struct slice id)
{
    char body[512];
    int len = snprintf(body, sizeof(body),
                       "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,"
                       "\"detail\":\"%s\",\"request_id\":\"%.*s\"}\n",
                       status_text(status), status, why, SLICE_ARG(id));
    bool named = server.len > 0;

    return buf_printf(
        out,
        "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%.*s%sContent-Type: application/problem+json\r\n"
        "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
        status, status_text(status), clock_http_date(), named ? "Server: " : "", SLICE_ARG(server),
        named ? "\r\n" : "", len, body);
}

/* Answers a head for which there is no exchange. The texts of `why` are our own. */
static void refuse(struct h1_conn *c, int err, const char *why)
{
    struct h1_server *s = server_of(c);
    struct wire_env *env = c->env;
    struct wire_peer peer = {0};
    uint8_t raw[16];
    char uuid[TEXT_UUID];
    struct slice id = slice_of(uuid, sizeof(uuid));
    struct buf out;

    rand_secure(raw, sizeof(raw));
    text_uuid(raw, 4, uuid);
    buf_init(&out, 2 * KIB);
    if (h1_conn_flush(c) >= 0 && problem(&out, env->server_name, err_status(err), why, id) == 0) {
        struct slice text = buf_slice(&out);
        struct iovec iov = {(void *)(uintptr_t)text.ptr, text.len};
        int rc = stream_write(c->stream, &iov, 1);
        (void)rc; /* who has gone needs no answer */
    }
    buf_deinit(&out);
    if (env->on_bad_head != NULL) {
        s->host->describe(s, &peer);
        env->on_bad_head(env->owner, &peer, err, why, id);
    }
    end_gently(c);
}

static void begin_body(struct h1_conn *c, const struct message *m)
{
    c->in = m->body == BODY_NONE ? H1_IN_DONE : H1_IN_BODY;
    if (m->body == BODY_LENGTH)
        h1_body_begin(&c->body, H1_LENGTH, m->content_length);
    else if (m->body == BODY_UNKNOWN)
        h1_body_begin(&c->body, H1_CHUNKED, 0);
}

/* A whole head is there. Its bytes move into the arena: a copy of some hundred bytes, and
 * neither the buffer nor what is behind the head in it depends on how long the exchange lives. */
static void begin(struct h1_conn *c, size_t len)
{
    struct h1_server *s = server_of(c);
    struct arena *a = arena_new(c->env->arena_blocks);
    struct message *m = arena_zero(a, sizeof(*m));
    struct slice head = arena_dup(a, slice_of(c->view->ptr, len));
    struct h1_facts facts = {0};

    *c->view = slice_of(c->view->ptr + len, c->view->len - len);
    headers_init(&m->headers, a, c->scan.lines + 8); /* the exchange adds some */
    c->scan = (struct h1_scan){0};
    int rc = h1_read_request(head, c->env->limits->headers, m, &facts);
    if (rc < 0) {
        arena_free(a);
        refuse(c, rc, facts.why);
        return;
    }
    m->scheme = s->is_tls ? SLICE("https") : SLICE("http");
    begin_body(c, m);
    s->close = s->leaving || !facts.keep_alive;
    s->expects = m->expects_continue;
    s->is_head = m->method == METHOD_HEAD;
    s->wants_websocket = m->wants_websocket;
    c->old_peer = m->version == HTTP_10;
    c->owned = true;
    c->wire.arena = a;
    s->host->on_request(s, &c->wire);
    c->wire.events->on_head(c->wire.owner, &c->wire, m, c->in == H1_IN_DONE);
}

/* No byte of a request is here: the beginning of an empty line is none, or else a client could
 * begin its time anew with each. */
static bool is_between_requests(const struct h1_conn *c)
{
    struct slice unread = h1_conn_unread(c);

    return c->in == H1_IN_HEAD && (unread.len == 0 || slice_eq(unread, SLICE("\r")));
}

/* RFC 9112, 2.2: empty lines before a request are ignored. */
static void skip_empty_lines(struct slice *view)
{
    while (view->len >= 2 && view->ptr[0] == '\r' && view->ptr[1] == '\n')
        *view = slice_of(view->ptr + 2, view->len - 2);
}

static bool step_head(struct h1_conn *c)
{
    const struct http_limits *limits = c->env->limits;
    struct h1_bounds bounds = {limits->request_line, limits->request_head, limits->headers};
    const char *why;

    if (c->stream->full) /* a client that sends requests and takes no answers */
        return false;
    if (c->scan.pos == 0)
        skip_empty_lines(c->view);
    if (is_between_requests(c))
        return false;
    ssize_t n = h1_scan(&c->scan, *c->view, &bounds, &why);
    if (n < 0)
        refuse(c, (int)n, why);
    else if (n > 0)
        begin(c, (size_t)n);
    return n > 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Ready for the next request. */
static void next(struct h1_conn *c)
{
    struct h1_server *s = server_of(c);

    h1_conn_reset(c);
    s->close = s->expects = s->is_head = s->wants_websocket = false;
    if (c->view != NULL)
        return; /* the pump goes on by itself */
    if (!h1_conn_is_empty(c))
        h1_conn_pump_later(c);
    h1_conn_watch(c);
    h1_conn_rearm(c);
}

static bool step_drop(struct h1_conn *c)
{
    struct slice spans[16];
    int n = COUNT_OF(spans), rc = h1_body_read(&c->body, c->view, SIZE_MAX, spans, &n);

    if (rc < 0)
        end_gently(c);
    else if (rc == H1_END)
        next(c);
    return rc == H1_END || n > 0;
}

static bool server_step(struct h1_conn *c)
{
    switch ((enum h1_in)c->in) {
    case H1_IN_HEAD: return step_head(c);
    case H1_IN_BODY: return h1_conn_step_body(c);
    case H1_IN_TUNNEL: return h1_conn_step_tunnel(c);
    case H1_IN_DROP: return step_drop(c);
    case H1_IN_DONE: return false;
    }
    return false;
}

static size_t server_want(struct h1_conn *c)
{
    size_t want = h1_conn_want_held(c);

    switch ((enum h1_in)c->in) {
    case H1_IN_HEAD:
        if (want == 0 && !c->stream->full)
            return H1_HOLD_MAX; /* a large head; the scan bounds it */
        return want;
    case H1_IN_BODY:
    case H1_IN_TUNNEL: return h1_conn_want_body(c);
    case H1_IN_DROP: return H1_HOLD_MAX;
    case H1_IN_DONE: return want;
    }
    return 0;
}

static void server_on_eof(struct h1_conn *c)
{
    if (!c->owned) {
        end(c);
        return;
    }
    if (c->kind == BODY_TUNNEL && c->eof == ERR_CLOSED) {
        h1_conn_end_tunnel(c);
        return;
    }
    if (c->in != H1_IN_DONE || c->out != H1_OUT_DONE)
        h1_conn_gone(c, c->eof);
}

static void server_on_bad_body(struct h1_conn *c)
{
    c->wire.why = "The body's chunks are not valid.";
    offended(c, ERR_BAD_REQUEST);
}

/* --- time ------------------------------------------------------------------------------------- */

static void server_wait(struct h1_conn *c)
{
    const struct http_limits *limits = c->env->limits;
    if (is_between_requests(c))
        h1_conn_wait(c, H1_WAIT_IDLE, limits->idle_timeout_ms);
    else if (c->in == H1_IN_HEAD && !c->stream->full)
        h1_conn_wait(c, H1_WAIT_HEAD, limits->header_timeout_ms);
    else if (c->in == H1_IN_BODY && c->credit > 0)
        h1_conn_wait(c, H1_WAIT_BODY,
                     c->wire.body_ms != 0 ? c->wire.body_ms : limits->body_timeout_ms);
    else if (c->in == H1_IN_DROP)
        h1_conn_wait(c, H1_WAIT_DROP, limits->body_timeout_ms);
    else if (c->kind == BODY_TUNNEL)
        h1_conn_wait(c, H1_WAIT_TUNNEL, h1_conn_idle_ms(c));
    else if (c->owned && !c->stream->reading)
        h1_conn_wait(c, H1_WAIT_LEAVING, LOOK_MS);
    else
        h1_conn_wait(c, H1_WAIT_NONE, 0);
}

static void server_on_deadline(struct h1_conn *c)
{
    if (h1_conn_is_stalled(c)) {
        lost(c, ERR_TIMEOUT);
        return;
    }
    if (c->in_due == 0 || clock_ms() < c->in_due)
        return;
    switch ((enum h1_wait)c->waits) {
    case H1_WAIT_IDLE:
        if (stream_queued(c->stream) > 0)
            c->waits = H1_WAIT_NONE; /* not idle: the last answer is still leaving */
        else
            end(c);
        break;
    case H1_WAIT_HEAD:
        refuse(c, ERR_REQUEST_TIMEOUT, "The request head did not come in time.");
        break;
    case H1_WAIT_BODY: offended(c, ERR_REQUEST_TIMEOUT); break;
    case H1_WAIT_LEAVING:
        c->waits = H1_WAIT_NONE;
        if (stream_has_left(c->stream))
            lost(c, ERR_CLOSED);
        break;
    default: lost(c, ERR_TIMEOUT); break;
    }
}

/* --- orders ----------------------------------------------------------------------------------- */

/* What is missing of the request is here, or so little that reading it is cheaper than a new
 * connection. */
static bool rest_is_small(struct h1_conn *c)
{
    if (c->in == H1_IN_DONE)
        return true;
    if (c->in != H1_IN_BODY || server_of(c)->expects)
        return false;
    if (c->body.framing == H1_LENGTH && c->body.left <= REST_MAX)
        return true;
    return h1_body_is_here(&c->body, h1_conn_unread(c));
}

static struct slice server_connection(struct h1_conn *c, bool ends)
{
    struct h1_server *s = server_of(c);

    if (c->kind == BODY_TUNNEL)
        return SLICE("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    if (c->env->draining || c->env->retiring || (c->old_peer && c->kind == BODY_UNKNOWN) ||
        (ends && !rest_is_small(c)))
        s->close = true;
    if (s->close)
        return SLICE("Connection: close\r\n");
    return c->old_peer ? SLICE("Connection: keep-alive\r\n") : SLICE("");
}

static int write_out(struct h1_conn *c, const struct slice *pieces, int n, bool ends,
                     const struct headers *trailers)
{
    if (c->stream == NULL)
        return ERR_CLOSED;
    if (!CHECK(c->out == H1_OUT_OPEN))
        return ERR_ARG;
    int rc = h1_conn_write(c, pieces, n, ends, trailers);
    if (rc < 0)
        c->gone = true;
    return rc;
}

/* What the content of a response is on the wire (RFC 9110, 6.4.1; RFC 9112, 6.3). */
static void set_kind(struct h1_conn *c, const struct message *m)
{
    bool known = m->has_length || m->body == BODY_LENGTH;

    c->silent = server_of(c)->is_head || m->status == 204 || m->status == 304;
    c->kind = (uint8_t)m->body;
    c->out_left = m->body == BODY_LENGTH || c->silent ? m->content_length : 0;
    if (c->silent)
        c->kind = known && m->status != 204 ? BODY_LENGTH : BODY_NONE;
    else if (m->body == BODY_NONE)
        c->kind = BODY_LENGTH; /* of 0 */
}

static bool is_interim(const struct message *m)
{
    return m->status >= 100 && m->status < 200 && m->status != 101;
}

/* Serialises; the head waits then. */
static int prepare(struct h1_conn *c, const struct message *m)
{
    char *start = h1_conn_head_room(c, h1_response_size(m)), *stop = h1_write_response(start, m);

    if (!CHECK(stop != NULL)) {
        h1_conn_drop_head(c);
        return ERR_ARG;
    }
    h1_conn_head_ready(c, stop);
    return 0;
}

static int send_interim(struct h1_conn *c, const struct message *m)
{
    if (c->old_peer) /* RFC 9110, 15.2 */
        return 0;
    if (m->status == 100)
        server_of(c)->expects = false;
    int rc = prepare(c, m);
    return rc < 0 ? rc : h1_conn_write_interim(c);
}

static int begin_tunnel(struct h1_conn *c, const struct message *m)
{
    if (!CHECK(server_of(c)->wants_websocket && m->body == BODY_TUNNEL))
        return ERR_ARG;
    c->kind = BODY_TUNNEL;
    c->in = H1_IN_TUNNEL;
    return 0;
}

static int server_head(struct wire *w, const struct message *m, bool ends)
{
    struct h1_conn *c = conn_of(w);
    int rc = 0;

    if (c->stream == NULL)
        return ERR_CLOSED;
    if (w->head_held) {
        h1_conn_drop_head(c);
        c->out = H1_OUT_NONE;
        w->head_held = false;
    }
    if (!CHECK(c->out == H1_OUT_NONE))
        return ERR_ARG;
    if (is_interim(m))
        return send_interim(c, m);
    if (m->status == 101)
        rc = begin_tunnel(c, m);
    else
        set_kind(c, m);
    if (rc < 0 || (rc = prepare(c, m)) < 0)
        return rc;
    c->out = H1_OUT_OPEN;
    if (ends)
        return write_out(c, NULL, 0, true, NULL);
    w->head_held = true;
    h1_conn_later_head(c);
    return 0;
}

static int server_body(struct wire *w, const struct slice *pieces, int n, bool ends)
{
    return write_out(conn_of(w), pieces, n, ends, NULL);
}

static int server_finish(struct wire *w, const struct headers *trailers)
{
    return write_out(conn_of(w), NULL, 0, true, trailers);
}

/* The peer must see that the message is not whole: a response that ends with its connection
 * needs a reset. */
static void cut_off(struct h1_conn *c)
{
    bool begun = c->out == H1_OUT_OPEN && (c->head == NULL || c->head_closed);

    if (begun && c->kind == BODY_UNKNOWN && !c->chunked)
        h1_conn_close_hard(c);
    end(c);
}

static void server_abort(struct wire *w, int why UNUSED)
{
    conn_of(w)->owned = false;
    cut_off(conn_of(w));
}

static void server_grant(struct wire *w, size_t n)
{
    h1_conn_grant(conn_of(w), n);
}

static void server_release(struct wire *w)
{
    struct h1_conn *c = conn_of(w);
    struct h1_server *s = server_of(c);
    bool closes = s->close || c->env->draining || c->eof != 0 || c->gone || c->kind == BODY_TUNNEL;

    c->owned = false;
    if (c->stream == NULL || c->out != H1_OUT_DONE) {
        cut_off(c);
    } else if (closes || !rest_is_small(c)) {
        end_gently(c);
    } else if (c->in == H1_IN_DONE) {
        next(c);
    } else {
        c->in = H1_IN_DROP;
        h1_conn_pump_later(c);
        h1_conn_rearm(c);
    }
}

static const struct wire_orders server_orders = {
    .head = server_head,
    .body = server_body,
    .finish = server_finish,
    .abort = server_abort,
    .grant = server_grant,
    .release = server_release,
};

static const struct h1_role server_role = {
    .step = server_step,
    .on_eof = server_on_eof,
    .wait = server_wait,
    .want = server_want,
    .connection = server_connection,
    .on_bad_body = server_on_bad_body,
    .on_deadline = server_on_deadline,
    .on_lost = lost,
};

/* --- life ------------------------------------------------------------------------------------- */

void h1_server_init(struct h1_server *s, struct wire_env *env, struct stream *stream,
                    const struct h1_server_host *host)
{
    *s = (struct h1_server){.host = host};
    h1_conn_init(&s->conn, env, stream, &server_orders, &server_role);
    h1_conn_rearm(&s->conn);
}

bool h1_server_is_idle(const struct h1_server *s)
{
    return is_between_requests(&s->conn);
}

void h1_server_drain(struct h1_server *s)
{
    struct h1_conn *c = &s->conn;

    /* What has arrived already is answered, with Connection: close. */
    s->leaving = true;
    if (h1_server_is_idle(s) && c->stream != NULL && stream_is_quiet(c->stream))
        end_gently(c);
}

void h1_server_abort(struct h1_server *s)
{
    lost(&s->conn, ERR_STOPPING);
}
