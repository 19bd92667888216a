/* SPDX-License-Identifier: Apache-2.0 */

/* The end that hears responses. What is not a clean response ends the connection: a pool must
 * never hand out one on which bytes lie whose meaning is in doubt. The flags untouched and
 * unsent are kept exactly, for they decide whether a request may be sent once more. */

#include "http/h1.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"

enum {
    HEAD_MAX = 64 * KIB,
    FIELDS_MAX = 256,
    INTERIMS_MAX = 16, /* before the final head */
};

static struct h1_client *client_of(struct h1_conn *c)
{
    return container_of(c, struct h1_client, conn);
}

static struct h1_conn *conn_of(struct wire *w)
{
    return container_of(w, struct h1_conn, wire);
}

static void end(struct h1_conn *c)
{
    struct h1_client *cl = client_of(c);

    h1_conn_close(c);
    cl->host->on_end(cl);
}

/* Has the kernel taken a byte of this request? */
static bool is_unsent(struct h1_conn *c)
{
    return c->stream->bytes_out == c->sent_before;
}

static void gone(struct h1_conn *c, int err)
{
    if (c->stream != NULL)
        c->wire.unsent = is_unsent(c);
    h1_conn_gone(c, err);
}

/* The upstream does not speak the protocol. */
static void offended(struct h1_conn *c, const char *why)
{
    c->wire.why = why;
    gone(c, ERR_PROTOCOL);
}

/* --- responses -------------------------------------------------------------------------------- */

static void begin_body(struct h1_conn *c, const struct message *m)
{
    bool coded = m->body == BODY_UNKNOWN && !client_of(c)->until_close;

    c->in = H1_IN_BODY;
    if (m->body == BODY_NONE)
        c->in = H1_IN_DONE;
    else if (m->body == BODY_TUNNEL)
        c->in = H1_IN_TUNNEL;
    else if (m->body == BODY_LENGTH)
        h1_body_begin(&c->body, H1_LENGTH, m->content_length);
    else
        h1_body_begin(&c->body, coded ? H1_CHUNKED : H1_STREAM, 0);
}

/* A whole head is there: copied into the arena, as on the server's end. */
static bool begin(struct h1_conn *c, size_t len)
{
    struct h1_client *cl = client_of(c);
    struct arena *a = c->wire.arena;
    struct message *m = arena_zero(a, sizeof(*m));
    struct slice head = arena_dup(a, slice_of(c->view->ptr, len));
    struct h1_facts facts = {0};

    *c->view = slice_of(c->view->ptr + len, c->view->len - len);
    headers_init(&m->headers, a, c->scan.lines + 8);
    c->scan = (struct h1_scan){0};
    if (h1_read_response(head, FIELDS_MAX, (enum method)cl->method, cl->wants_websocket, m,
                         &facts) < 0) {
        offended(c, facts.why);
        return false;
    }
    if (m->status < 200 && m->status != 101) {
        if (++cl->interims > INTERIMS_MAX)
            offended(c, "There are too many interim responses.");
        else
            c->wire.events->on_head(c->wire.owner, &c->wire, m, false);
        return true;
    }
    cl->keep_alive = facts.keep_alive;
    cl->until_close = facts.until_close;
    begin_body(c, m);
    if (m->body == BODY_TUNNEL) {
        c->kind = BODY_TUNNEL;
        c->out = H1_OUT_OPEN;
    }
    c->wire.events->on_head(c->wire.owner, &c->wire, m, c->in == H1_IN_DONE);
    return true;
}

/* Who speaks another protocol is told by its first bytes: the rest of what looks like a head may
 * never come. */
static bool may_be_response(struct slice begun)
{
    struct slice version = SLICE("HTTP/1.");

    return memcmp(begun.ptr, version.ptr, MIN(begun.len, version.len)) == 0;
}

static bool step_head(struct h1_conn *c)
{
    static const struct h1_bounds bounds = {HEAD_MAX, HEAD_MAX, FIELDS_MAX};
    const char *why;

    if (c->view->len == 0)
        return false;
    ssize_t n = h1_scan(&c->scan, *c->view, &bounds, &why);
    if (n > 0)
        return begin(c, (size_t)n);
    if (n < 0)
        offended(c, why);
    else if (!may_be_response(*c->view))
        offended(c, "This does not begin like an HTTP/1 response.");
    return false;
}

static bool client_step(struct h1_conn *c)
{
    if (!c->owned)
        return false;
    switch ((enum h1_in)c->in) {
    case H1_IN_HEAD: return step_head(c);
    case H1_IN_BODY: return h1_conn_step_body(c);
    case H1_IN_TUNNEL: return h1_conn_step_tunnel(c);
    default: return false;
    }
}

static size_t client_want(struct h1_conn *c)
{
    switch ((enum h1_in)c->in) {
    case H1_IN_HEAD: return MAX(MIN(c->credit, WIRE_SCRATCH), H1_HOLD_MAX);
    case H1_IN_BODY:
    case H1_IN_TUNNEL: return h1_conn_want_body(c);
    default: return h1_conn_want_held(c);
    }
}

static bool client_on_bytes(struct h1_conn *c)
{
    if (!c->owned) { /* closed while idle, or garbage */
        end(c);
        return false;
    }
    if (c->eof != 0)
        return true;
    if (is_unsent(c)) {
        offended(c, "The response came before the request.");
        return false;
    }
    c->wire.untouched = false;
    return true;
}

static void client_on_eof(struct h1_conn *c)
{
    bool ended = c->eof == ERR_CLOSED;

    if (!c->owned) {
        end(c);
    } else if (c->in == H1_IN_TUNNEL && ended) {
        h1_conn_end_tunnel(c);
    } else if (c->in == H1_IN_BODY && !h1_conn_is_empty(c)) {
        return; /* there is no credit for it yet */
    } else if (c->in == H1_IN_BODY && c->body.framing == H1_STREAM && ended) {
        c->in = H1_IN_DONE;
        c->wire.events->on_body(c->wire.owner, &c->wire, NULL, 0, true);
    } else if (c->in != H1_IN_DONE) {
        gone(c, c->eof);
    }
}

static void client_on_bad_body(struct h1_conn *c)
{
    offended(c, "The body's chunks are not valid.");
}

/* --- time ------------------------------------------------------------------------------------- */

static void client_wait(struct h1_conn *c)
{
    if (c->owned && c->in == H1_IN_HEAD && c->out == H1_OUT_DONE)
        h1_conn_wait(c, H1_WAIT_HEAD, c->wire.head_ms);
    else if (c->owned && c->in == H1_IN_BODY && c->credit > 0)
        h1_conn_wait(c, H1_WAIT_BODY, h1_conn_idle_ms(c));
    else if (c->owned && c->kind == BODY_TUNNEL && c->in != H1_IN_HEAD)
        h1_conn_wait(c, H1_WAIT_TUNNEL, h1_conn_idle_ms(c));
    else
        h1_conn_wait(c, H1_WAIT_NONE, 0);
}

static void client_on_deadline(struct h1_conn *c)
{
    bool late = c->in_due != 0 && clock_ms() >= c->in_due;

    if (h1_conn_is_stalled(c) || late)
        gone(c, ERR_TIMEOUT);
}

/* --- orders ----------------------------------------------------------------------------------- */

static struct slice client_connection(struct h1_conn *c, bool ends UNUSED)
{
    struct h1_client *cl = client_of(c);

    if (cl->wants_websocket)
        return SLICE("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    if (cl->expects)
        return cl->te_trailers ? SLICE("Expect: 100-continue\r\nTE: trailers\r\nConnection: TE\r\n")
                               : SLICE("Expect: 100-continue\r\n");
    return cl->te_trailers ? SLICE("TE: trailers\r\nConnection: TE\r\n") : SLICE("");
}

/* Sending has failed. What the upstream has said before it stopped to listen is worth more than
 * the failure, so the owner hears of it by an event, after reading has been tried. */
static void client_on_lost(struct h1_conn *c, int err)
{
    uint64_t before;

    c->out_err = err;
    if (!c->owned) {
        end(c);
        return;
    }
    do {
        before = c->stream->bytes_in;
        h1_conn_read(c);
    } while (c->stream != NULL && !c->gone && c->eof == 0 && c->stream->bytes_in > before);
    if (c->stream != NULL && c->owned && c->in == H1_IN_HEAD)
        gone(c, err);
}

static int write_out(struct h1_conn *c, const struct slice *pieces, int n, bool ends,
                     const struct headers *trailers)
{
    if (c->stream == NULL)
        return ERR_CLOSED;
    if (c->out_err != 0)
        return 0; /* an event tells */
    if (!CHECK(c->out == H1_OUT_OPEN))
        return ERR_ARG;
    int rc = h1_conn_write(c, pieces, n, ends, trailers);
    if (rc == ERR_ARG) {
        c->gone = true;
        return rc;
    }
    if (rc < 0) {
        c->out_err = rc;
        h1_conn_later(c);
        return 0;
    }
    if (ends)
        h1_conn_rearm(c);
    return rc;
}

/* Methods whose requests have content by nature say so when there is none (RFC 9110, 8.6). */
static void set_kind(struct h1_conn *c, const struct message *m)
{
    bool says_zero =
        m->method == METHOD_POST || m->method == METHOD_PUT || m->method == METHOD_PATCH;

    c->kind = (uint8_t)m->body;
    c->out_left = m->body == BODY_LENGTH ? m->content_length : 0;
    if (m->body == BODY_NONE && (says_zero || m->has_length))
        c->kind = BODY_LENGTH;
}

static int client_head(struct wire *w, const struct message *m, bool ends)
{
    struct h1_conn *c = conn_of(w);
    struct h1_client *cl = client_of(c);

    if (c->stream == NULL)
        return ERR_CLOSED;
    if (!CHECK(c->out == H1_OUT_NONE && m->body != BODY_TUNNEL))
        return ERR_ARG;
    char *start = h1_conn_head_room(c, h1_request_size(m)), *stop = h1_write_request(start, m);
    if (!CHECK(stop != NULL)) {
        h1_conn_drop_head(c);
        return ERR_ARG;
    }
    h1_conn_head_ready(c, stop);
    c->out = H1_OUT_OPEN;
    cl->method = (uint8_t)m->method;
    cl->wants_websocket = m->wants_websocket;
    cl->te_trailers = m->te_trailers;
    cl->expects = m->expects_continue && m->body != BODY_NONE;
    set_kind(c, m);
    if (ends)
        return write_out(c, NULL, 0, true, NULL);
    h1_conn_later_head(c);
    return 0;
}

static int client_body(struct wire *w, const struct slice *pieces, int n, bool ends)
{
    return write_out(conn_of(w), pieces, n, ends, NULL);
}

static int client_finish(struct wire *w, const struct headers *trailers)
{
    return write_out(conn_of(w), NULL, 0, true, trailers);
}

static void client_abort(struct wire *w, int why UNUSED)
{
    conn_of(w)->owned = false;
    end(conn_of(w));
}

static void client_grant(struct wire *w, size_t n)
{
    h1_conn_grant(conn_of(w), n);
}

static void client_release(struct wire *w)
{
    struct h1_conn *c = conn_of(w);
    struct h1_client *cl = client_of(c);
    bool complete = c->in == H1_IN_DONE && c->out == H1_OUT_DONE;
    bool clean = h1_conn_is_empty(c) && c->eof == 0 && !c->gone;

    c->owned = false;
    if (c->stream == NULL || !complete || !clean || !cl->keep_alive || c->kind == BODY_TUNNEL) {
        end(c);
        return;
    }
    h1_conn_reset(c);
    if (c->view == NULL) {
        h1_conn_watch(c);
        h1_conn_rearm(c);
    }
    cl->host->on_idle(cl);
}

static const struct wire_orders client_orders = {
    .head = client_head,
    .body = client_body,
    .finish = client_finish,
    .abort = client_abort,
    .grant = client_grant,
    .release = client_release,
};

static const struct h1_role client_role = {
    .step = client_step,
    .on_eof = client_on_eof,
    .wait = client_wait,
    .want = client_want,
    .on_bytes = client_on_bytes,
    .connection = client_connection,
    .on_bad_body = client_on_bad_body,
    .on_deadline = client_on_deadline,
    .on_lost = client_on_lost,
};

/* --- life ------------------------------------------------------------------------------------- */

void h1_client_init(struct h1_client *cl, struct wire_env *env, struct stream *stream,
                    const struct h1_client_host *host)
{
    *cl = (struct h1_client){.host = host};
    h1_conn_init(&cl->conn, env, stream, &client_orders, &client_role);
    stream_resume(stream);
}

struct wire *h1_client_open(struct h1_client *cl, struct arena *arena,
                            const struct wire_events *events, void *owner, bool reused)
{
    struct h1_conn *c = &cl->conn;

    REQUIRE(!c->owned && c->stream != NULL);
    c->owned = true;
    c->wire.arena = arena;
    c->wire.events = events;
    c->wire.owner = owner;
    c->wire.untouched = c->wire.unsent = true;
    c->wire.reused = reused;
    c->sent_before = c->stream->bytes_out;
    cl->interims = 0;
    cl->keep_alive = false;
    return &c->wire;
}

void h1_client_close(struct h1_client *cl)
{
    REQUIRE(!cl->conn.owned);
    h1_conn_close(&cl->conn);
}

bool h1_client_detach(struct h1_client *cl)
{
    struct h1_conn *c = &cl->conn;

    if (!CHECK(!c->owned) || !stream_is_quiet(c->stream) || stream_queued(c->stream) > 0) {
        h1_conn_close(c);
        return false;
    }
    timer_stop(&c->timer);
    timer_move(&c->timer, NULL);
    later_cancel(&c->later);
    stream_detach(c->stream);
    c->env = NULL;
    return true;
}

bool h1_client_attach(struct h1_client *cl, struct wire_env *env)
{
    struct h1_conn *c = &cl->conn;

    c->env = env;
    timer_move(&c->timer, env->loop);
    stream_attach(c->stream, env->loop);
    if (stream_is_quiet(c->stream))
        return true;
    h1_conn_close(c);
    return false;
}
