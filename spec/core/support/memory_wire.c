/* SPDX-License-Identifier: Apache-2.0 */

#include "support/memory_wire.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "http/h1.h"
#include "net/loop.h"
#include "support/test.h"

static struct memory_wire *memory_of(struct wire *w)
{
    return container_of(w, struct memory_wire, wire);
}

/* --- orders ----------------------------------------------------------------------------------- */

static void note_fields(struct memory_wire *mw, const struct headers *h)
{
    size_t len = 0;

    mw->fields[0] = '\0';
    HEADERS_EACH(f, h)
    len += (size_t)snprintf(mw->fields + len, sizeof(mw->fields) - len, "%.*s: %.*s\n",
                            SLICE_ARG(f->name), SLICE_ARG(f->value));
    assert_true(len < sizeof(mw->fields));
}

static int order_head(struct wire *w, const struct message *m, bool end)
{
    struct memory_wire *mw = memory_of(w);
    bool interim = m->status >= 100 && m->status < 200 && m->status != 101;

    assert_false(mw->released);
    assert_int_equal(mw->heads, 0);
    if (mw->fail != 0)
        return mw->fail;
    mw->status = m->status;
    mw->method = m->method;
    snprintf(mw->path, sizeof(mw->path), "%.*s%s%.*s", SLICE_ARG(m->path), m->query.ptr ? "?" : "",
             SLICE_ARG(m->query));
    note_fields(mw, &m->headers);
    if (interim) {
        mw->interims++;
        return 0;
    }
    mw->heads++;
    mw->kind = m->body;
    mw->has_length = m->has_length;
    mw->content_length = m->content_length;
    mw->ended = end;
    w->unsent = false;
    return 0;
}

static int order_body(struct wire *w, const struct slice *pieces, int n, bool end)
{
    struct memory_wire *mw = memory_of(w);

    assert_false(mw->released);
    assert_int_equal(mw->heads, 1);
    assert_false(mw->ended);
    if (mw->fail != 0)
        return mw->fail;
    for (int i = 0; i < n; i++) {
        assert_true(mw->len + pieces[i].len < sizeof(mw->body));
        memcpy(mw->body + mw->len, pieces[i].ptr, pieces[i].len);
        mw->len += pieces[i].len;
    }
    mw->body[mw->len] = '\0';
    mw->ended = end;
    return mw->full ? WIRE_FULL : 0;
}

static int order_finish(struct wire *w, const struct headers *trailers)
{
    struct memory_wire *mw = memory_of(w);
    size_t len = 0;

    assert_int_equal(mw->heads, 1);
    assert_false(mw->ended);
    if (mw->fail != 0)
        return mw->fail;
    if (trailers != NULL)
        HEADERS_EACH(f, trailers)
    len += (size_t)snprintf(mw->trailers + len, sizeof(mw->trailers) - len, "%.*s: %.*s\n",
                            SLICE_ARG(f->name), SLICE_ARG(f->value));
    mw->ended = true;
    return 0;
}

static void order_abort(struct wire *w, int why)
{
    assert_false(memory_of(w)->released);
    memory_of(w)->aborted = why;
    memory_of(w)->released = true;
}

static void order_grant(struct wire *w, size_t n)
{
    struct memory_wire *mw = memory_of(w);

    assert_false(mw->released);
    mw->granted += n;
    mw->credit += n;
    loop_later(mw->env->loop, &mw->later);
}

static void order_release(struct wire *w)
{
    assert_false(memory_of(w)->released);
    memory_of(w)->released = true;
}

static const struct wire_orders orders = {
    .head = order_head,
    .body = order_body,
    .finish = order_finish,
    .abort = order_abort,
    .grant = order_grant,
    .release = order_release,
};

/* --- events ----------------------------------------------------------------------------------- */

static void deliver(struct later *l)
{
    struct memory_wire *mw = container_of(l, struct memory_wire, later);
    struct wire *w = &mw->wire;

    if (mw->released || w->events == NULL)
        return;
    struct slice span = buf_slice(&mw->incoming);
    bool all = span.len <= mw->credit, end = all && mw->incoming_ends && !mw->end_told;
    span.len = MIN(span.len, mw->credit);
    if (span.len > 0 || end) {
        mw->credit -= span.len;
        mw->end_told = end;
        if (end && mw->incoming_trailers.n > 0)
            w->trailers = &mw->incoming_trailers;
        char *copy = slice_dup(span); /* what is delivered is borrowed: use after the call shows */
        struct slice piece = slice_of(copy, span.len);
        buf_consume(&mw->incoming, span.len);
        w->events->on_body(w->owner, w, &piece, span.len > 0, end);
        free(copy);
    }
    if (mw->incoming_err != 0 && buf_len(&mw->incoming) == 0 && !mw->released) {
        int err = mw->incoming_err;
        mw->incoming_err = 0;
        w->events->on_gone(w->owner, w, err);
    }
}

void memory_wire_init(struct memory_wire *mw, struct wire_env *env)
{
    *mw = (struct memory_wire){.env = env, .wire.orders = &orders};
    later_init(&mw->later, deliver);
    buf_init(&mw->incoming, 16 * MIB);
}

void memory_wire_deinit(struct memory_wire *mw)
{
    later_cancel(&mw->later);
    buf_deinit(&mw->incoming);
}

void memory_wire_request(struct memory_wire *mw, const struct wire_events *acceptor, void *owner,
                         const char *method, const char *target, const char *fields)
{
    struct arena *a = arena_new(mw->env->arena_blocks);
    struct message *m = arena_zero(a, sizeof(*m));
    struct h1_facts facts = {0};

    mw->wire.arena = a;
    mw->wire.events = acceptor;
    mw->wire.owner = owner;
    mw->peer.ip = SLICE("192.0.2.1");
    mw->wire.peer = &mw->peer;
    headers_init(&m->headers, a, 16);
    bool host = strstr(fields, "Host:") != NULL;
    struct slice head = arena_printf(a, "%s %s HTTP/1.1\r\n%s%s\r\n", method, target, fields,
                                     host ? "" : "Host: test.example\r\n");
    assert_int_equal(h1_read_request(head, 100, m, &facts), 0);
    m->scheme = SLICE("http");
    mw->end_told = m->body == BODY_NONE;
    acceptor->on_head(owner, &mw->wire, m, m->body == BODY_NONE);
}

struct wire *memory_wire_open(struct memory_wire *mw, struct arena *arena,
                              const struct wire_events *events, void *owner)
{
    mw->wire.arena = arena;
    mw->wire.events = events;
    mw->wire.owner = owner;
    mw->wire.untouched = mw->wire.unsent = true;
    return &mw->wire;
}

void memory_wire_respond(struct memory_wire *mw, const char *text)
{
    struct arena *a = mw->wire.arena;
    struct message *m = arena_zero(a, sizeof(*m));
    struct h1_facts facts = {0};

    headers_init(&m->headers, a, 16);
    struct slice head = arena_dup(a, slice_from(text));
    assert_int_equal(h1_read_response(head, 100, mw->method, true, m, &facts), 0);
    mw->wire.untouched = false;
    bool interim = m->status < 200 && m->status != 101;
    mw->end_told = !interim && m->body == BODY_NONE;
    mw->wire.events->on_head(mw->wire.owner, &mw->wire, m, mw->end_told);
}

void memory_wire_say(struct memory_wire *mw, const char *text, bool end)
{
    assert_int_equal(buf_add(&mw->incoming, slice_from(text)), 0);
    mw->incoming_ends = end;
    loop_later(mw->env->loop, &mw->later);
}

void memory_wire_say_trailer(struct memory_wire *mw, const char *name, const char *value)
{
    headers_init(&mw->incoming_trailers, mw->wire.arena, 2);
    headers_add(&mw->incoming_trailers, slice_from(name), slice_from(value));
    memory_wire_say(mw, "", true);
}

void memory_wire_leave(struct memory_wire *mw, int err)
{
    mw->incoming_err = err;
    loop_later(mw->env->loop, &mw->later);
}

void memory_wire_room(struct memory_wire *mw)
{
    mw->full = false;
    mw->wire.events->on_room(mw->wire.owner, &mw->wire);
}

const char *memory_wire_field(struct memory_wire *mw, const char *name)
{
    static char value[1024];
    size_t len = strlen(name);

    for (const char *line = mw->fields; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        line += len + 2;
        snprintf(value, sizeof(value), "%.*s", (int)(strchr(line, '\n') - line), line);
        return value;
    }
    return NULL;
}
