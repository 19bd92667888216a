/* SPDX-License-Identifier: Apache-2.0 */

/* What hooks may change of an exchange's heads. Everything is checked against RFC 9110 here, so that no plugin can make
 * the gateway send a malformed or ambiguous message, and copied into the arena. */

#include <stdio.h>

#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"
#include "gate/edit.h"
#include "gate/gateway.h"

#define OVERLAY_FIRST_CAP 8

/* The core's own: what frames the message or belongs to one connection. */
static bool is_settable(enum header_id id)
{
    return !(header_flags(id) & (HEADER_HOP | HEADER_FRAMING));
}

static void overlay_drop(struct headers *over, const struct header_name *name)
{
    for (uint32_t i = 0; i < over->n; i++) {
        const struct field *f = &over->items[i];
        if (f->id == name->id && f->name.len == name->text.len &&
            slice_eq_nocase(f->name, name->text))
            over->items[i--] = over->items[--over->n];
    }
}

static void overlay_add(struct exchange *x, enum header_op op, const struct header_name *name,
                        struct slice value)
{
    struct headers *over = &x->overlay;

    if (!over->items)
        headers_init(over, x->arena, OVERLAY_FIRST_CAP);
    if (op != HEADER_ADD)
        overlay_drop(over, name);
    struct field *f = headers_add_as(over, name->id, name->text, value);
    f->note = op == HEADER_ADD ? OVERLAY_ADD : OVERLAY_SET;
}

static void headers_edit(struct headers *h, enum header_op op, const struct header_name *name,
                         struct slice value)
{
    struct field *before = headers_clear(h, name->id, name->text, op == HEADER_ADD);

    if (op == HEADER_SET && before) {
        before->name = name->text;
        before->value = value;
    } else if (op != HEADER_REMOVE) {
        headers_add_as(h, name->id, name->text, value);
    }
}

int header_name_init(struct header_name *out, struct slice text)
{
    *out = (struct header_name){text, header_id(text)};
    return text_is_token(text) && is_settable(out->id) ? 0 : ERR_ARG;
}

int exchange_set_host(struct exchange *x, struct slice host)
{
    host = arena_dup(x->arena, host);
    if (message_set_authority(x->request, host) < 0)
        return ERR_ARG;
    headers_set_id(&x->request->headers, HEADER_HOST, host);
    return 0;
}

int exchange_header_put(struct exchange *x, enum side side, enum header_op op,
                        const struct header_name *name, struct slice value)
{
    if (side == SIDE_REQUEST && name->id == HEADER_HOST)
        return op == HEADER_SET ? exchange_set_host(x, value) : ERR_ARG;
    if (side == SIDE_REQUEST)
        headers_edit(&x->request->headers, op, name, value);
    else if (x->head_is_down)
        return ERR_GONE;
    else if (x->response && x->state == EXCHANGE_RESPONSE)
        headers_edit(&x->response->headers, op, name, value);
    else
        overlay_add(x, op, name, value);
    return 0;
}

int exchange_header_named(struct exchange *x, enum side side, enum header_op op,
                          const struct header_name *name, struct slice value)
{
    struct header_name own = {.id = name->id};
    struct slice copy = SLICE_NONE;

    if (op == HEADER_REMOVE && side == SIDE_REQUEST)
        return exchange_header_put(x, side, op, name, SLICE_NONE); /* nothing is kept of it */
    if (op == HEADER_REMOVE)
        value = SLICE_NONE;
    else if (!text_is_field_value(value))
        return ERR_ARG;
    value = slice_trim(value);
    char *mem = arena_alloc(x->arena, name->text.len + value.len);
    own.text = slice_of(mem, name->text.len);
    char *end = slice_put(mem, name->text);
    if (value.ptr) {
        copy = slice_of(end, value.len);
        slice_put(end, value);
    }
    return exchange_header_put(x, side, op, &own, copy);
}

int exchange_header(struct exchange *x, enum side side, enum header_op op, struct slice name,
                    struct slice value)
{
    struct header_name checked;

    if (header_name_init(&checked, name) < 0)
        return ERR_ARG;
    return exchange_header_named(x, side, op, &checked, value);
}

int exchange_set_path(struct exchange *x, struct slice path)
{
    struct uri uri;
    struct slice out;

    path = arena_dup(x->arena, path);
    if (path.len == 0 || path.ptr[0] != '/' || uri_parse_target(path, &uri) < 0 || uri.query.ptr)
        return ERR_ARG;
    if (uri_normalise_path(path, x->arena, &out) < 0)
        return ERR_ARG;
    if (x->state >= EXCHANGE_ACCESS)
        x->rewritten = out;
    else
        x->path = out;
    return 0;
}

int exchange_set_query(struct exchange *x, struct slice query)
{
    struct uri uri;

    if (query.ptr == NULL) {
        x->request->query = SLICE_NONE;
        return 0;
    }
    struct slice target = arena_printf(x->arena, "/?%.*s", SLICE_ARG(query));
    if (target.len != query.len + 2 || uri_parse_target(target, &uri) < 0)
        return ERR_ARG;
    x->request->query = uri.query;
    return 0;
}

int exchange_set_method(struct exchange *x, struct slice method)
{
    enum method m = method_parse(method);

    if (m == METHOD_UNKNOWN || m == METHOD_CONNECT || m == METHOD_TRACE)
        return ERR_ARG;
    x->request->method = m;
    return 0;
}

int exchange_set_status(struct exchange *x, int status)
{
    if (!x->response || x->state != EXCHANGE_RESPONSE || x->response->body == BODY_TUNNEL)
        return ERR_GONE;
    if (status < 200 || status > 599)
        return ERR_ARG;
    x->response->status = status;
    x->response->reason = SLICE_NONE;
    return 0;
}

struct slice exchange_id(struct exchange *x)
{
    if (!x->id.ptr) {
        uint8_t raw[16];
        char *id = arena_alloc(x->arena, TEXT_UUID);
        rand_secure(raw, sizeof(raw));
        text_uuid(raw, 4, id);
        x->id = slice_of(id, TEXT_UUID);
    }
    return x->id;
}

void exchange_set_id(struct exchange *x, struct slice id)
{
    x->id = arena_dup(x->arena, id);
}

struct slice exchange_param(struct exchange *x, struct slice name, bool encoded)
{
    const struct route_path *p = x->match.path;

    for (uint32_t i = 0; p && i < p->nparams && i < x->match.nparams; i++) {
        if (!slice_eq(p->params[i], name))
            continue;
        struct slice value = x->match.params[i];
        if (encoded || slice_find_char(value, '%') < 0)
            return value;
        char *out = arena_alloc(x->arena, value.len);
        ssize_t len = text_percent_decode(value, false, out);
        return len < 0 ? value : slice_of(out, (size_t)len);
    }
    return SLICE_NONE;
}

void exchange_retry(struct exchange *x, uint32_t delay_ms)
{
    x->attempt->retry = true;
    x->attempt->retry_delay_ms = delay_ms;
}
