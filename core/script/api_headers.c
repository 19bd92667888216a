/* SPDX-License-Identifier: Apache-2.0 */

/* Header fields, read one by one when a hook asks for them, and replies. What may be set is decided in gate/edit.c; for
 * the headers of a reply, which are collected before there is a response, the same is checked here. */

#include "base/text.h"
#include "gate/reply.h"
#include "http/uri.h"
#include "script/api_find.h"

#define REPLY_HEADERS 8
#define ATTEMPT_HEADERS 4

/* NULL: there are none. Before there is a response its headers are those that hooks have laid over what will come. */
static const struct headers *fields_of(const struct exchange *x, int side)
{
    switch ((enum dml_side)side) {
    case DML_REQUEST: return &x->request->headers;
    case DML_RESPONSE:
        return x->response && (x->replied || x->state >= EXCHANGE_RESPONSE) ? &x->response->headers
                                                                            : &x->overlay;
    case DML_ATTEMPT_RESPONSE:
        return x->attempt && x->attempt->response ? &x->attempt->response->headers : NULL;
    case DML_ATTEMPT_REQUEST: return x->attempt ? x->attempt->extra : NULL;
    }
    return NULL;
}

int dml_header_get(struct gateway *g, double handle, int side, const char *name, size_t len,
                   struct dml_slice *out)
{
    const struct exchange *x = api_find(g, handle);

    if (UNLIKELY(!x))
        return ERR_GONE;
    const struct headers *h = fields_of(x, side);
    return h && h->n ? api_give(out, headers_get(h, slice_of(name, len))) : ERR_NOT_FOUND;
}

int dml_header_next(struct gateway *g, double handle, int side, int index, const char *name,
                    size_t len, struct dml_field *out)
{
    const struct exchange *x = api_find(g, handle);
    struct slice wanted = slice_of(name, len);

    if (!x)
        return ERR_GONE;
    const struct headers *h = fields_of(x, side);
    for (uint32_t i = index < 0 ? 0 : (uint32_t)index; h && i < h->n; i++) {
        const struct field *f = &h->items[i];
        if (!f->name.ptr || !f->value.ptr || (name && !slice_eq_nocase(f->name, wanted)))
            continue;
        (void)api_give(&out->name, f->name);
        (void)api_give(&out->value, f->value);
        return (int)i + 1;
    }
    return ERR_NOT_FOUND;
}

int dml_header_is_core(const char *name, size_t len)
{
    return (header_flags(header_id(slice_of(name, len))) & (HEADER_HOP | HEADER_FRAMING)) != 0;
}

/* What may stand in a head that no one but hooks has a say in. */
static bool may_be_set(struct slice name, struct slice value)
{
    return text_is_token(name) && (!value.ptr || text_is_field_value(value)) &&
           !dml_header_is_core(name.ptr, name.len);
}

/* Host is what the attempt's request is sent to: one, if any. */
static bool may_be_host(struct arena *a, enum header_op op, struct slice value)
{
    struct slice host;
    uint16_t port;

    return op == HEADER_REMOVE ||
           (op == HEADER_SET && uri_parse_host(slice_trim(value), a, &host, &port) == 0);
}

static int change_attempt(struct attempt *a, enum header_op op, struct slice name,
                          struct slice value)
{
    if (!a || a->state != ATTEMPT_PICK)
        return ERR_LIMIT;
    if (!may_be_set(name, value))
        return ERR_ARG;
    struct arena *arena = a->exchange->arena;
    if (header_id(name) == HEADER_HOST && !may_be_host(arena, op, value))
        return ERR_ARG;
    if (!a->extra) {
        a->extra = arena_alloc(arena, sizeof(*a->extra));
        headers_init(a->extra, arena, ATTEMPT_HEADERS);
    }
    if (op == HEADER_REMOVE)
        headers_remove(a->extra, name);
    else if (op == HEADER_ADD)
        headers_add(a->extra, arena_dup(arena, name), slice_trim(arena_dup(arena, value)));
    else
        headers_set(a->extra, arena_dup(arena, name), slice_trim(arena_dup(arena, value)));
    return 0;
}

int dml_header_change(struct gateway *g, double handle, int side_and_op, const char *name,
                      size_t namelen, const char *value, size_t valuelen)
{
    static const enum header_op ops[] = {HEADER_SET, HEADER_ADD, HEADER_REMOVE};
    struct exchange *x = api_find(g, handle);
    struct slice n = slice_of(name, namelen), v = slice_of(value, valuelen);
    unsigned side = (unsigned)side_and_op & 3, op = (unsigned)side_and_op >> 2;

    if (!x)
        return ERR_GONE;
    if (op >= COUNT_OF(ops) || side == DML_ATTEMPT_RESPONSE)
        return ERR_ARG;
    if (side == DML_ATTEMPT_REQUEST)
        return change_attempt(x->attempt, ops[op], n, v);
    if (side == DML_REQUEST && x->state >= EXCHANGE_RESPONSE)
        return ERR_LIMIT;
    int rc = exchange_header(x, side == DML_REQUEST ? SIDE_REQUEST : SIDE_RESPONSE, ops[op], n, v);
    return rc == ERR_GONE ? ERR_LIMIT : rc;
}

/* --- replies ------------------------------------------------------------------------------------------------------- */

/* The one that is being put together on this thread: nothing waits between begin and send. */
static _Thread_local struct {
    double handle;
    struct headers *headers;
} draft;

int dml_reply_begin(struct gateway *g, double handle)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    draft.handle = handle;
    draft.headers = arena_alloc(x->arena, sizeof(*draft.headers));
    headers_init(draft.headers, x->arena, REPLY_HEADERS);
    return 0;
}

int dml_reply_header(struct gateway *g, double handle, const char *name, size_t namelen,
                     const char *value, size_t valuelen)
{
    struct exchange *x = api_find(g, handle);
    struct slice n = slice_of(name, namelen), v = slice_of(value, valuelen);

    if (!x)
        return ERR_GONE;
    if (draft.handle != handle || !draft.headers || !may_be_set(n, v))
        return ERR_ARG;
    headers_add(draft.headers, arena_dup(x->arena, n), slice_trim(arena_dup(x->arena, v)));
    return 0;
}

int dml_reply_send(struct gateway *g, double handle, int status, const char *body, size_t len)
{
    struct exchange *x = api_find(g, handle);
    struct headers *headers = draft.headers;

    draft.headers = NULL;
    if (!x)
        return ERR_GONE;
    if (draft.handle != handle)
        return ERR_ARG;
    if (x->phase == PHASE_BODY || x->phase == PHASE_LOG || x->head_is_down)
        return ERR_LIMIT;
    return exchange_reply(x, status, headers, slice_of(body, len));
}

int dml_reply_problem(struct gateway *g, double handle, int status, const char *detail, size_t len)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    if (draft.handle != handle || !draft.headers)
        return ERR_ARG;
    headers_add_id(draft.headers, HEADER_CONTENT_TYPE, SLICE(REPLY_PROBLEM));
    struct slice body = reply_problem(x, status, slice_of(detail, len));
    return dml_reply_send(g, handle, status, body.ptr, body.len);
}
