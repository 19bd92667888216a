/* SPDX-License-Identifier: Apache-2.0 */

/* Every answer is a struct message in the exchange's arena with a fixed body; from there it goes the way of upstream's:
 * overlay, response hooks, head, body hooks. */

#include "gate/reply.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/text.h"
#include "gate/attempt.h"
#include "gate/exchange_steps.h"
#include "gate/forward.h"
#include "gate/gateway.h"
#include "gate/selector.h"
#include "http/uri.h"

#define REPLY_HEADERS 8

static void reply_new(struct exchange *x, int status, struct slice body)
{
    struct message *m = arena_zero(x->arena, sizeof(*m));

    headers_init(&m->headers, x->arena, REPLY_HEADERS);
    m->status = status;
    m->version = HTTP_11;
    m->body = BODY_LENGTH;
    m->content_length = body.len;
    m->has_length = true;
    x->response = m;
    x->reply_body = body;
    x->replied = true;
    x->flows[SIDE_RESPONSE].is_replaced = x->flows[SIDE_RESPONSE].is_whole = false;
    x->flows[SIDE_RESPONSE].state = FLOW_NONE;
    headers_add_id(&m->headers, HEADER_SERVER, SLICE(FORWARD_PSEUDONYM));
}

int exchange_reply(struct exchange *x, int status, const struct headers *headers, struct slice body)
{
    if (status < 200 || status > 599 || x->phase == PHASE_BODY || x->phase == PHASE_LOG ||
        x->head_is_down)
        return ERR_ARG;
    reply_new(x, status, arena_dup(x->arena, body));
    if (headers) {
        HEADERS_EACH(f, headers)
        headers_add(&x->response->headers, f->name, f->value);
    }
    if (x->state == EXCHANGE_RESPONSE)
        reply_lay_over(x);
    x->reply_fresh = true;
    return 0;
}

void reply_send(struct exchange *x)
{
    x->reply_fresh = false;
    attempts_abort(x, ERR_CANCELLED);
    exchange_answer(x);
}

void reply_take_back(struct exchange *x)
{
    x->reply_fresh = false;
    x->replied = false;
    x->response = NULL;
}

static const char *bad_request_detail(struct exchange *x)
{
    const char *fault = uri_path_fault(x->request->path, x->arena);

    return fault ? fault : "The request is malformed.";
}

/* What a client is told of each error; anything else gets its status's own words. */
static const char *reply_detail(struct exchange *x, int err)
{
    switch (err) {
    case ERR_NO_ROUTE: return "No route matches this request.";
    case ERR_METHOD: return "The resource does not support this method.";
    case ERR_MISDIRECTED: return "The host is not the one that this connection was made for.";
    case ERR_BODY_TOO_LARGE: return "The request body is larger than allowed here.";
    case ERR_REQUEST_TIMEOUT: return "The request body did not arrive in time.";
    case ERR_BAD_REQUEST: return bad_request_detail(x);
    case ERR_TIMEOUT: return "The upstream service did not answer in time.";
    case ERR_NO_TARGET: return "No endpoint of the upstream service is usable.";
    case ERR_OVERLOAD:
    case ERR_FULL:
    case ERR_LIMIT: return "The gateway is at a limit; try again later.";
    case ERR_STOPPING: return "The gateway is stopping.";
    case ERR_HOOK:
    case ERR_BUDGET: return "A gateway plugin failed.";
    case ERR_REFUSED:
    case ERR_RESET:
    case ERR_CLOSED:
    case ERR_UNREACHABLE:
    case ERR_DNS:
    case ERR_TLS: return "The upstream service can't be reached.";
    case ERR_PROTOCOL: return "The upstream service gave an invalid answer.";
    default: return NULL;
    }
}

struct slice reply_problem(struct exchange *x, int status, struct slice detail)
{
    struct buf out;
    struct json_writer w;

    buf_init(&out, 16 * KIB);
    json_writer_init(&w, &out, 0);
    json_object(&w);
    json_key(&w, SLICE("type"));
    json_string(&w, SLICE("about:blank"));
    json_key(&w, SLICE("title"));
    json_string(&w, slice_from(status_text(status)));
    json_key(&w, SLICE("status"));
    json_int(&w, status);
    if (detail.ptr) {
        json_key(&w, SLICE("detail"));
        json_string_lossy(&w, detail);
    }
    json_key(&w, SLICE("request_id"));
    json_string_lossy(&w, exchange_id(x));
    json_object_end(&w);
    struct slice text = json_writer_end(&w) == 0 && buf_add(&out, SLICE("\n")) == 0
                            ? arena_dup(x->arena, buf_slice(&out))
                            : SLICE("{}\n"); /* a line feed for those who read it in a terminal */
    buf_deinit(&out);
    return text;
}

static struct slice allowed_methods(struct exchange *x)
{
    struct slice list = SLICE_NONE;

    for (int m = METHOD_UNKNOWN + 1; m < METHOD_COUNT; m++) {
        if (!(x->match.allowed & (UINT64_C(1) << m)))
            continue;
        list = list.len ? arena_printf(x->arena, "%.*s, %s", SLICE_ARG(list),
                                       method_text((enum method)m))
                        : slice_from(method_text((enum method)m));
    }
    return list;
}

void reply_error(struct exchange *x, int err)
{
    int status = err_status(err);

    reply_new(x, status, reply_problem(x, status, slice_from(reply_detail(x, err))));
    headers_add_id(&x->response->headers, HEADER_CONTENT_TYPE, SLICE(REPLY_PROBLEM));
    if (err == ERR_METHOD)
        headers_add_id(&x->response->headers, HEADER_ALLOW, allowed_methods(x));
    exchange_answer(x);
}

void reply_respond(struct exchange *x)
{
    const struct route *r = x->route;
    struct slice body =
        r->respond_body ? template_text(r->respond_body, x, TEMPLATE_TEXT) : SLICE("");

    reply_new(x, r->status, body);
    for (uint32_t i = 0; i < r->nrespond_headers; i++) {
        struct slice value =
            slice_trim(template_text(r->respond_headers[i].value, x, TEMPLATE_TEXT));
        if (value.len && text_is_field_value(value)) /* a query's %0A is none */
            headers_set(&x->response->headers, r->respond_headers[i].name, value);
    }
    exchange_answer(x);
}

static struct slice https_url(struct exchange *x)
{
    const struct message *m = x->request;
    bool v6 = slice_find_char(m->host, ':') >= 0;

    return arena_printf(x->arena, "https://%s%.*s%s%.*s%s%.*s", v6 ? "[" : "", SLICE_ARG(m->host),
                        v6 ? "]" : "", SLICE_ARG(x->path), m->query.ptr ? "?" : "",
                        SLICE_ARG(m->query));
}

void reply_redirect(struct exchange *x)
{
    const struct route *r = x->route;
    struct slice to =
        r->redirect_to ? template_text(r->redirect_to, x, TEMPLATE_URL) : https_url(x);

    reply_new(x, r->status, SLICE(""));
    headers_add_id(&x->response->headers, HEADER_LOCATION, to);
    exchange_answer(x);
}

void reply_lay_over(struct exchange *x)
{
    struct headers *over = &x->overlay;

    for (uint32_t i = 0; i < over->n; i++) {
        struct field *f = &over->items[i];
        if (f->value.ptr == NULL)
            headers_remove_as(&x->response->headers, (enum header_id)f->id, f->name);
        else if (f->note == OVERLAY_ADD)
            headers_add_as(&x->response->headers, (enum header_id)f->id, f->name, f->value);
        else
            headers_set_as(&x->response->headers, (enum header_id)f->id, f->name, f->value);
    }
}
