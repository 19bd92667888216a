/* SPDX-License-Identifier: Apache-2.0 */

/* From an untrusted peer, Forwarded and X-Forwarded-* are replaced; from a trusted one they are continued, and the
 * right-most untrusted address counts as the client. */

#include "gate/forward.h"

#include "base/err.h"
#include "gate/flow.h"
#include "gate/gateway.h"
#include "gate/selector.h"

#define FORWARD_EXTRA_FIELDS 8

/* --- who the client is ------------------------------------------------------------------------------------------- */

static bool is_trusted(const struct exchange *x, const struct addr *a)
{
    const struct snapshot *s = x->plan->snapshot;

    return cidr_list_has(s->trusted_proxies, s->ntrusted_proxies, a);
}

/* Looks at one address of the chain. True: it is the client (or the chain can't be read further). */
static bool chain_stops(struct exchange *x, struct slice text)
{
    struct addr a;
    char printed[ADDR_TEXT];
    struct slice host = text;
    uint16_t port;

    if (addr_parse_ip(text, 0, &a) < 0 &&
        (addr_split(text, &host, &port) < 0 || addr_parse_ip(host, 0, &a) < 0))
        return true; /* "unknown", an obfuscated name: the last address known stays */
    size_t len = addr_print_ip(&a, printed, sizeof(printed));
    x->client_ip = arena_dup(x->arena, slice_of(printed, len));
    return !is_trusted(x, &a);
}

/* The last element of *list, which is shortened by it. */
static struct slice take_last(struct slice *list)
{
    ssize_t comma = slice_find_last_char(*list, ',');
    struct slice last = slice_trim(slice_from_index(*list, (size_t)(comma + 1)));

    *list = comma < 0 ? SLICE_NONE : slice_sub(*list, 0, (size_t)comma);
    return last;
}

static struct slice unquote(struct slice s)
{
    return s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"' ? slice_sub(s, 1, s.len - 2)
                                                                    : s;
}

/* The value of a parameter ("for=") of one Forwarded element. */
static struct slice forwarded_value(struct slice element, struct slice name)
{
    struct slice pair;

    while (slice_split(&element, ';', &pair)) {
        pair = slice_trim(pair);
        if (pair.len > name.len && slice_eq_nocase(slice_sub(pair, 0, name.len), name))
            return unquote(slice_from_index(pair, name.len));
    }
    return SLICE_NONE;
}

/* IPv6 stands in brackets. */
static struct slice forwarded_for(struct slice element)
{
    struct slice node = forwarded_value(element, SLICE("for="));
    ssize_t close = slice_find_char(node, ']');

    return node.len && node.ptr[0] == '[' && close > 0 ? slice_sub(node, 1, (size_t)close - 1)
                                                       : node;
}

static void read_scheme(struct exchange *x, struct slice said)
{
    if (slice_eq_nocase(said, SLICE("https")))
        x->scheme = SLICE("https");
    else if (slice_eq_nocase(said, SLICE("http")))
        x->scheme = SLICE("http");
}

/* X-Forwarded-For; where there is none, Forwarded, whose element about the client has its scheme too. */
static void read_chain(struct exchange *x)
{
    struct slice list = headers_get_id(&x->request->headers, HEADER_X_FORWARDED_FOR);
    struct slice last = SLICE_NONE;
    bool is_rfc7239 = list.ptr == NULL;

    if (is_rfc7239)
        list = headers_get_id(&x->request->headers, HEADER_FORWARDED);
    while (list.len) {
        last = take_last(&list);
        if (chain_stops(x, is_rfc7239 ? forwarded_for(last) : last))
            break;
    }
    if (is_rfc7239)
        read_scheme(x, forwarded_value(last, SLICE("proto=")));
}

/* X-Forwarded-Prefix and whatever else begins so, X_Forwarded_For too: many servers can't tell the two apart. */
static bool is_forwarded_name(struct slice name)
{
    static const char begin[] = "x-forwarded-";
    size_t len = sizeof(begin) - 1;

    if (name.len <= len)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name.ptr[i];
        if ((c == '_' ? '-' : c == '-' ? c : c | 0x20) != begin[i])
            return false;
    }
    return true;
}

/* Transfer_Encoding and Content_Length: to a server that takes _ for - they would say where the body ends, which the
 * message's own fields have said. */
static bool is_framing_lookalike(struct slice name)
{
    static const struct slice framing[] = {{"transfer-encoding", 17}, {"content-length", 14}};

    for (size_t i = 0; i < COUNT_OF(framing); i++)
        if (name.len == framing[i].len && slice_find_char(name, '_') >= 0 &&
            headers_look_alike(name, framing[i]))
            return true;
    return false;
}

/* What the client says of its own way here, and what looks like framing. Fields that the core writes anew are left to
 * forward_request; those of hooks come later and stay. */
static void drop_claims(struct exchange *x)
{
    HEADERS_EACH(f, &x->request->headers)
    {
        if (f->id == HEADER_OTHER && is_framing_lookalike(f->name)) {
            f->name = SLICE_NONE;
            continue;
        }
        if (f->id == HEADER_X_REAL_IP ? x->client_is_trusted
                                      : f->id != HEADER_OTHER || !is_forwarded_name(f->name))
            continue;
        if (!x->client_is_trusted || slice_find_char(f->name, '_') >= 0)
            f->name = SLICE_NONE;
    }
}

int forward_client(struct exchange *x)
{
    const struct wire_peer *peer = x->down ? x->down->peer : NULL;

    x->scheme = peer && peer->is_tls ? SLICE("https") : SLICE("http");
    x->client_ip = peer ? peer->ip : SLICE("127.0.0.1");
    x->tls_subject = peer ? peer->tls_subject : SLICE_NONE;
    x->tls_thumbprint = peer ? peer->tls_thumbprint : SLICE_NONE;
    x->client_is_trusted = peer && peer->is_trusted;
    x->request->scheme = x->scheme;
    drop_claims(x);
    if (!x->client_is_trusted)
        return 0;
    /* The peer's own slice dies with the connection; the exchange may outlive it. */
    read_chain(x);
    read_scheme(x, headers_get_id(&x->request->headers, HEADER_X_FORWARDED_PROTO));
    x->request->scheme = x->scheme;
    return 0;
}

/* --- the request that goes upstream ------------------------------------------------------------------------------ */

static struct slice without_prefix(const struct exchange *x)
{
    struct slice prefix = x->route->strip_prefix;

    if (prefix.len && slice_starts(x->path, prefix)) {
        struct slice rest = slice_from_index(x->path, prefix.len);
        if (rest.len == 0)
            return SLICE("/");
        if (rest.ptr[0] == '/')
            return rest;
    }
    return x->path;
}

int forward_path(struct exchange *x)
{
    if (LIKELY(!x->route->changes_path)) {
        x->upstream_path = x->path;
        return 0;
    }
    if (!x->route->rewrite) {
        x->upstream_path = without_prefix(x);
        return 0;
    }
    if (x->rewritten.ptr)
        return 0;
    /* What a client's query or header brings into the template may be dots. */
    struct slice path = template_text(x->route->rewrite, x, TEMPLATE_PATH);
    return uri_normalise_path(path, x->arena, &x->upstream_path) < 0 ? ERR_BAD_REQUEST : 0;
}

static struct slice upstream_host(struct exchange *x, const struct attempt *a)
{
    switch (a->upstream->host_mode) {
    case HOST_NAME: return a->upstream->host;
    case HOST_TARGET: return target_authority(a->endpoint->target, x->arena);
    default: return x->request->authority;
    }
}

/* Continues a list field of a trusted peer, else begins it anew. */
static struct slice chained(struct exchange *x, enum header_id id, struct slice own)
{
    if (!x->client_is_trusted)
        return own;
    struct slice before = headers_get_id(&x->request->headers, id);
    return before.len ? arena_printf(x->arena, "%.*s, %.*s", SLICE_ARG(before), SLICE_ARG(own))
                      : own;
}

/* How fields of a request name who sent it: who came over a unix socket has no address (RFC 7239, 6.2). */
static struct slice node_of(const struct wire_peer *peer)
{
    return addr_is_unix(&peer->address) ? SLICE("unknown") : peer->ip;
}

static struct slice forwarded_element(struct exchange *x, struct slice ip)
{
    struct slice host = x->request->authority;
    bool v6 = slice_find_char(ip, ':') >= 0;
    char *start = arena_alloc(x->arena, ip.len + host.len + 48), *p = start;

    p = slice_put(p, v6 ? SLICE("for=\"[") : SLICE("for="));
    p = slice_put(p, ip);
    if (v6)
        p = slice_put(p, SLICE("]\""));
    if (host.len) {
        p = slice_put(p, SLICE(";host=\""));
        p = slice_put(p, host);
        p = slice_put(p, SLICE("\""));
    }
    p = slice_put(p, SLICE(";proto="));
    p = slice_put(p, x->down->peer->is_tls ? SLICE("https") : SLICE("http"));
    return slice_of(start, (size_t)(p - start));
}

/* What add_forwarded writes anew, and Host, which the codec takes from authority. */
static const bool is_replaced[HEADER_COUNT] = {
    [HEADER_HOST] = true,
    [HEADER_X_FORWARDED_FOR] = true,
    [HEADER_FORWARDED] = true,
    [HEADER_X_FORWARDED_PROTO] = true,
    [HEADER_X_FORWARDED_HOST] = true,
    [HEADER_X_FORWARDED_PORT] = true,
    [HEADER_VIA] = true,
};

static void add_forwarded(struct exchange *x, struct headers *h)
{
    const struct wire_peer *peer = x->down->peer;
    const struct headers *in = &x->request->headers;
    struct slice ip = node_of(peer);
    struct slice via = headers_get_id(in, HEADER_VIA);
    struct slice host =
        x->client_is_trusted ? headers_get_id(in, HEADER_X_FORWARDED_HOST) : SLICE_NONE;

    headers_add_id(h, HEADER_X_FORWARDED_FOR, chained(x, HEADER_X_FORWARDED_FOR, ip));
    headers_add_id(h, HEADER_X_FORWARDED_PROTO, x->scheme);
    if (!host.len)
        host = x->request->authority;
    if (host.len)
        headers_add_id(h, HEADER_X_FORWARDED_HOST, host);
    headers_add_id(h, HEADER_FORWARDED, chained(x, HEADER_FORWARDED, forwarded_element(x, ip)));
    struct slice own = x->request->version == HTTP_10 ? SLICE("1.0 " FORWARD_PSEUDONYM)
                                                      : SLICE("1.1 " FORWARD_PSEUDONYM);
    headers_add_id(h, HEADER_VIA,
                   via.len ? arena_printf(x->arena, "%.*s, %.*s", SLICE_ARG(via), SLICE_ARG(own))
                           : own);
}

/* out has room. */
static void put_headers(struct exchange *x, struct headers *out)
{
    const struct headers *in = &x->request->headers;

    HEADERS_EACH(f, in)
    {
        if (!is_replaced[f->id])
            out->items[out->n++] = *f;
    }
    if (x->down)
        add_forwarded(x, out);
}

void forward_headers(struct exchange *x, struct headers *out)
{
    headers_init(out, x->arena, x->request->headers.n + FORWARD_EXTRA_FIELDS);
    put_headers(x, out);
}

struct message *forward_request(struct exchange *x, struct attempt *a,
                                struct forward_scratch *scratch)
{
    struct message *m = &scratch->message;
    uint32_t room = COUNT_OF(scratch->fields),
             wanted = x->request->headers.n + FORWARD_EXTRA_FIELDS;
    struct slice host = upstream_host(x, a);

    *m = *x->request;
    if (LIKELY(!x->is_own && wanted <= room)) {
        m->headers = (struct headers){.arena = x->arena, .items = scratch->fields, .cap = room};
        put_headers(x, &m->headers);
    } else if (!x->is_own) {
        forward_headers(x, &m->headers);
    }
    m->authority = host;
    if (a->extra) {
        HEADERS_EACH(f, a->extra)
        {
            if (f->id == HEADER_HOST)
                m->authority = f->value;
            else
                headers_set(&m->headers, f->name, f->value);
        }
    }
    m->path = x->rewritten.ptr ? x->rewritten : x->upstream_path;
    flow_describe_request(x, m);
    return m;
}

/* --- the response that goes down --------------------------------------------------------------------------------- */

void forward_response(struct exchange *x)
{
    struct headers *h = &x->response->headers;
    struct slice before = headers_get_id(h, HEADER_VIA);
    struct slice own = x->response->version == HTTP_10 ? SLICE("1.0 " FORWARD_PSEUDONYM)
                                                       : SLICE("1.1 " FORWARD_PSEUDONYM);

    if (before.len)
        headers_set_id(h, HEADER_VIA,
                       arena_printf(x->arena, "%.*s, %.*s", SLICE_ARG(before), SLICE_ARG(own)));
    else
        headers_add_id(h, HEADER_VIA, own);
}
