/* SPDX-License-Identifier: Apache-2.0 */

/* Methods and statuses: the lists of method.def and status.def as functions. */

#include "http/message.h"

#include "http/uri.h"

static const struct {
    struct slice text;
    bool is_safe, is_idempotent;
} methods[METHOD_COUNT] = {
    [METHOD_UNKNOWN] = {{"", 0}, false, false},
#define METHOD(name, text, safe, idempotent) \
    [METHOD_##name] = {{text, sizeof(text) - 1}, safe, idempotent},
#include "http/method.def"
#undef METHOD
};

enum method method_parse(struct slice s)
{
    /* The list has the frequent ones first. */
    for (int m = METHOD_UNKNOWN + 1; m < METHOD_COUNT; m++) {
        if (slice_eq(methods[m].text, s))
            return (enum method)m;
    }
    return METHOD_UNKNOWN;
}

const char *method_text(enum method m)
{
    return methods[m].text.ptr;
}

struct slice method_name(enum method m)
{
    return methods[m].text;
}

bool method_is_safe(enum method m)
{
    return methods[m].is_safe;
}

bool method_is_idempotent(enum method m)
{
    return methods[m].is_idempotent;
}

const char *status_text(int status)
{
    switch (status) {
#define STATUS(code, text) \
    case code: \
        return text;
#include "http/status.def"
#undef STATUS
    default: return "";
    }
}

int message_set_authority(struct message *m, struct slice authority)
{
    struct slice host;
    uint16_t port;
    int rc = uri_parse_host(authority, m->headers.arena, &host, &port);

    if (rc < 0)
        return rc;
    m->authority = authority;
    m->host = host;
    m->port = port;
    return 0;
}

static struct slice dup(struct arena *a, struct slice text)
{
    return text.ptr ? arena_dup(a, text) : text;
}

struct message *message_dup(const struct message *m, struct arena *a)
{
    struct message *copy = arena_alloc(a, sizeof(*copy));

    *copy = *m;
    headers_init(&copy->headers, a, m->headers.n);
    HEADERS_EACH(f, &m->headers)
    headers_add_as(&copy->headers, (enum header_id)f->id, arena_dup(a, f->name),
                   arena_dup(a, f->value));
    copy->scheme = dup(a, m->scheme);
    copy->path = dup(a, m->path);
    copy->query = dup(a, m->query);
    copy->reason = dup(a, m->reason);
    copy->authority = dup(a, m->authority);
    copy->host = SLICE_NONE;
    if (copy->authority.len)
        (void)!message_set_authority(copy, copy->authority);
    return copy;
}
