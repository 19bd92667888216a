/* SPDX-License-Identifier: Apache-2.0 */

/* Listens, finds the page of a path, and sends what it writes. An answer is made at once, when its request head has come,
 * but for the one that tells how a reload went. No request has a body that would be read. */

#include "app/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/admin_rules.h"
#include "app/control.h"
#include "app/listen_fault.h"
#include "app/reload.h"
#include "app/sockets.h"
#include "base/check.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/text.h"
#include "gate/forward.h"
#include "gate/snapshot.h"
#include "http/inbound.h"
#include "net/listener.h"

#define CONNECTIONS 256
#define SPARE_BLOCKS 8
#define BODY_MAX (48 * MIB)
#define CONTENT_MAX (16 * KIB) /* of requests */

struct admin {
    /* owned */
    struct wire_env wire;
    struct http_limits limits;
    struct blocks recv_blocks, head_blocks, arena_blocks;
    struct inbound_set *inbound;
    struct listener *listener; /* NULL: off */
    struct listener_quota quota;
    /* borrowed */
    struct control *control;
    /* state */
    struct addr asked; /* as configured */
    char address[ADDR_TEXT];
    bool is_loopback;
};

/* --- pages ----------------------------------------------------------------------------------------------------------- */

enum page_method { PAGE_GET, PAGE_POST };
enum admin_needs { ADMIN_NOTHING, ADMIN_RELOAD, ADMIN_CONTENT };

/* A '*' in a path stands for one segment. */
static const struct page {
    const char *path;
    enum page_method method;
    enum admin_reach reach;
    admin_page_fn write; /* NULL: not yet supported */
} pages[] = {
    {"/health/live", PAGE_GET, ADMIN_HEALTH, admin_page_live},
    {"/health/ready", PAGE_GET, ADMIN_HEALTH, admin_page_ready},
    {"/metrics", PAGE_GET, ADMIN_METRICS, metrics_page},
    {"/config", PAGE_GET, ADMIN_REST, admin_page_config},
    {"/routes", PAGE_GET, ADMIN_REST, admin_page_routes},
    {"/upstreams", PAGE_GET, ADMIN_REST, admin_page_upstreams},
    {"/plugins", PAGE_GET, ADMIN_REST, admin_page_plugins},
    {"/", PAGE_GET, ADMIN_REST, NULL},
    {"/reload", PAGE_POST, ADMIN_REST, admin_page_reload},
    {"/upstreams/*/endpoints/*/drain", PAGE_POST, ADMIN_REST, admin_page_drain},
    {"/upstreams/*/endpoints/*/enable", PAGE_POST, ADMIN_REST, admin_page_enable},
    {"/breakers/*/open", PAGE_POST, ADMIN_REST, admin_page_breaker_open},
    {"/breakers/*/close", PAGE_POST, ADMIN_REST, admin_page_breaker_close},
    {"/breakers/*/auto", PAGE_POST, ADMIN_REST, admin_page_breaker_auto},
    {"/cache/purge", PAGE_POST, ADMIN_REST, admin_page_purge},
};

static bool path_fits(struct slice pattern, struct slice path)
{
    struct slice want, have;

    while (slice_split(&pattern, '/', &want)) {
        if (!slice_split(&path, '/', &have))
            return false;
        bool any = slice_eq(want, SLICE("*")) && have.len > 0;
        if (!any && !slice_eq(want, have))
            return false;
    }
    return path.ptr == NULL;
}

static const struct page *page_find(struct slice path)
{
    for (size_t i = 0; i < COUNT_OF(pages); i++)
        if (path_fits(slice_from(pages[i].path), path))
            return &pages[i];
    return NULL;
}

/* The answer's id, which the log has too. */
static struct slice new_request_id(struct arena *arena)
{
    uint8_t raw[16];
    char *id = arena_alloc(arena, TEXT_UUID);

    rand_secure(raw, sizeof(raw));
    text_uuid(raw, 4, id);
    return slice_of(id, TEXT_UUID);
}

void admin_put_problem(struct json_writer *w, struct admin_answer *answer, int status,
                       const char *detail)
{
    struct slice id = new_request_id(answer->arena);

    LOG_INFO("admin.refused", detail, LOG_I("status", status),
             LOG_C("method", method_text(answer->request->method)),
             LOG_S("path", answer->request->path), LOG_S("request_id", id));
    answer->status = status;
    answer->type = "application/problem+json";
    json_key(w, SLICE("type"));
    json_string(w, SLICE("about:blank"));
    json_key(w, SLICE("title"));
    json_string(w, slice_from(status_text(status)));
    json_key(w, SLICE("status"));
    json_int(w, status);
    json_key(w, SLICE("detail"));
    json_string_lossy(w, slice_from(detail));
    json_key(w, SLICE("request_id"));
    json_string(w, id);
}

void admin_problem(struct admin_answer *answer, int status, const char *detail)
{
    struct json_writer w;

    buf_clear(&answer->body);
    json_writer_init(&w, &answer->body, 0);
    json_object(&w);
    admin_put_problem(&w, answer, status, detail);
    json_object_end(&w);
    REQUIRE(json_writer_end(&w) == 0);
}

/* Does the listener that this came by still stand for loopback? A reload may have moved it. */
static bool is_loopback(const struct admin *admin, const struct wire *w)
{
    const struct addr *local = &w->peer->local;

    return admin->is_loopback && (addr_is_loopback(local) || addr_is_unix(local));
}

/* What has to be there before a page can be written. */
static enum admin_needs needs_of(const struct page *page)
{
    return page->write == admin_page_reload  ? ADMIN_RELOAD
           : page->write == admin_page_purge ? ADMIN_CONTENT
                                             : ADMIN_NOTHING;
}

static void write_page(const struct page *page, struct admin_answer *answer)
{
    if (page->write(answer) < 0)
        admin_problem(answer, 500, "The answer is too long.");
}

/* Anything but ADMIN_NOTHING: it is to be written when that is there. */
static enum admin_needs write_answer(const struct admin *admin, const struct wire *w,
                                     struct admin_answer *answer, struct headers *headers)
{
    const struct message *request = answer->request;
    const struct page *page = page_find(request->path);
    struct admin_rules rules = {admin->control->snapshot->admin_token, is_loopback(admin, w)};
    const char *why = "";
    int status =
        admin_rules_check(&rules, page ? page->reach : ADMIN_REST, request, answer->arena, &why);
    bool is_post = request->method == METHOD_POST;
    bool is_get = request->method == METHOD_GET || request->method == METHOD_HEAD;

    if (status == 401)
        headers_add_id(headers, HEADER_WWW_AUTHENTICATE, SLICE("Bearer"));
    if (status != 0) {
        admin_problem(answer, status, why);
    } else if (!page) {
        admin_problem(answer, 404, "There is no such page.");
    } else if (page->method == PAGE_GET ? !is_get : !is_post) {
        headers_add_id(headers, HEADER_ALLOW,
                       page->method == PAGE_GET ? SLICE("GET, HEAD") : SLICE("POST"));
        admin_problem(answer, 405, "The page does not support this method.");
    } else if (!page->write) {
        admin_problem(answer, 501, "Not yet supported.");
    } else if (!admin->listener) {
        admin_problem(answer, 503, "The admin endpoint has been switched off.");
    } else if (needs_of(page) != ADMIN_NOTHING) {
        return needs_of(page);
    } else {
        write_page(page, answer);
    }
    return ADMIN_NOTHING;
}

/* --- the wire -------------------------------------------------------------------------------------------------------- */

static void send_answer(struct wire *w, struct admin_answer *answer, struct headers *headers)
{
    bool is_json = strstr(answer->type, "json") != NULL;
    int rc = is_json ? buf_add(&answer->body, SLICE("\n")) : 0; /* for the terminal that shows it */
    struct slice body = buf_slice(&answer->body);
    struct message m = {
        .headers = *headers,
        .status = answer->status,
        .version = HTTP_11,
        .body = BODY_LENGTH,
        .content_length = body.len,
        .has_length = true,
    };

    headers_set_id(&m.headers, HEADER_CONTENT_TYPE, slice_from(answer->type));
    headers_set_id(&m.headers, HEADER_CACHE_CONTROL, SLICE("no-store"));
    headers_set_id(&m.headers, HEADER_SERVER, SLICE(FORWARD_PSEUDONYM));
    rc = wire_head(w, &m, false);
    if (rc == 0)
        rc = wire_body(w, &body, 1, true);
    (void)rc; /* a client that has gone does not want to know */
    wire_release(w);
}

static void begin_answer(const struct admin *admin, struct admin_answer *answer,
                         struct headers *headers, const struct message *request,
                         struct arena *arena)
{
    *answer = (struct admin_answer){
        .control = admin->control,
        .request = request,
        .arena = arena,
        .status = 200,
        .type = "application/json",
    };
    buf_init(&answer->body, BODY_MAX);
    headers_init(headers, arena, 8);
}

static void end_answer(struct wire *w, struct admin_answer *answer, struct headers *headers)
{
    send_answer(w, answer, headers);
    buf_deinit(&answer->body);
    arena_free(answer->arena);
}

static void on_body(void *owner UNUSED, struct wire *w UNUSED, const struct slice *pieces UNUSED,
                    int n UNUSED, bool end UNUSED)
{
}

static void on_room(void *owner UNUSED, struct wire *w UNUSED)
{
}

static void on_gone(void *owner UNUSED, struct wire *w, int err UNUSED)
{
    wire_release(w);
}

/* One that waits for a reload, or for the request's content. In the request's arena. */
struct late {
    struct reload_ask ask;
    struct buf content;
    struct admin *admin;
    struct wire *wire;
    const struct message *request;
    struct arena *arena;
};

static void write_late(struct late *late, const struct reload_report *report)
{
    struct admin_answer answer;
    struct headers headers;

    begin_answer(late->admin, &answer, &headers, late->request, late->arena);
    answer.report = report;
    answer.content = buf_slice(&late->content);
    write_page(page_find(late->request->path), &answer);
    buf_deinit(&late->content);
    end_answer(late->wire, &answer, &headers);
}

static void on_reloaded(struct reload_ask *ask, const struct reload_report *report)
{
    write_late(container_of(ask, struct late, ask), report);
}

static void on_content(void *owner, struct wire *w, const struct slice *pieces, int n, bool end)
{
    struct late *late = owner;

    for (int i = 0; i < n; i++)
        (void)!buf_add(&late->content, pieces[i]); /* no more than was granted */
    (void)w;
    if (end)
        write_late(late, NULL);
}

static void on_late_gone(void *owner, struct wire *w, int err UNUSED)
{
    struct late *late = owner;

    reload_unask(&late->ask);
    buf_deinit(&late->content);
    wire_release(w);
    arena_free(late->arena);
}

static const struct wire_events late_events = {
    .on_head = NULL,
    .on_body = on_content,
    .on_room = on_room,
    .on_gone = on_late_gone,
};

static void answer_late(struct admin *admin, struct wire *w, const struct admin_answer *answer,
                        enum admin_needs needs, bool end)
{
    struct late *late = arena_zero(answer->arena, sizeof(*late));

    *late = (struct late){.admin = admin,
                          .wire = w,
                          .request = answer->request,
                          .arena = answer->arena,
                          .ask = {.on_end = on_reloaded}};
    list_init(&late->ask.link);
    w->owner = late;
    w->events = &late_events;
    buf_init(&late->content, CONTENT_MAX);
    if (needs == ADMIN_RELOAD)
        reload_ask(admin->control->reload, "POST /reload", &late->ask);
    else if (end)
        write_late(late, NULL);
    else
        wire_grant(w, CONTENT_MAX);
}

static void on_head(void *owner, struct wire *w, struct message *request, bool end)
{
    struct admin *admin = owner;
    struct admin_answer answer;
    struct headers headers;
    enum admin_needs needs;

    begin_answer(admin, &answer, &headers, request, w->arena);
    w->arena = NULL;
    needs = write_answer(admin, w, &answer, &headers);
    if (needs == ADMIN_NOTHING)
        end_answer(w, &answer, &headers);
    else if (needs == ADMIN_CONTENT && !end && request->content_length > CONTENT_MAX) {
        admin_problem(&answer, 413, "The request's content is too long.");
        end_answer(w, &answer, &headers);
    } else {
        answer_late(admin, w, &answer, needs, end);
    }
}

static const struct wire_events acceptor = {
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_gone = on_gone,
};

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer,
                      const struct addr *local)
{
    struct admin *a = owner;

    /* Nearly all answers are made at once: who has been here longest holds a place that a health check needs. */
    if (inbound_count(a->inbound) >= CONNECTIONS - 1)
        inbound_abort_oldest(a->inbound);
    inbound_accept(a->inbound,
                   &(struct inbound_from){.listener = ln, .fd = fd, .peer = peer, .local = local});
}

/* --- beginning and end ----------------------------------------------------------------------------------------------- */

/* Fixed: what protects the clients' side is not for the operator's. */
static const struct http_limits admin_limits = {
    .request_line = 8 * KIB,
    .request_head = 16 * KIB - 1,
    .headers = 100,
    .header_timeout_ms = 10000,
    .body_timeout_ms = 10000,
    .idle_timeout_ms = 60000,
};

static struct admin *admin_new(struct control *c)
{
    struct admin *a = calloc(1, sizeof(*a));

    REQUIRE(a != NULL);
    a->control = c;
    a->limits = admin_limits;
    a->quota.max = CONNECTIONS;
    blocks_init(&a->recv_blocks, WIRE_RECV_BLOCK, SPARE_BLOCKS);
    blocks_init(&a->head_blocks, WIRE_HEAD_BLOCK, SPARE_BLOCKS);
    blocks_init(&a->arena_blocks, WIRE_ARENA_BLOCK, SPARE_BLOCKS);
    a->wire = (struct wire_env){
        .loop = c->loop,
        .recv_blocks = &a->recv_blocks,
        .head_blocks = &a->head_blocks,
        .arena_blocks = &a->arena_blocks,
        .scratch = malloc(WIRE_SCRATCH),
        .limits = &a->limits,
        .owner = a,
        .server_name = SLICE(FORWARD_PSEUDONYM),
    };
    REQUIRE(a->wire.scratch != NULL);
    a->inbound = inbound_set_new(&a->wire, &acceptor, a);
    return a;
}

static bool is_here(const struct admin *a, const struct snapshot *s)
{
    return a && a->listener && addr_eq(&a->asked, &s->admin_addr);
}

bool admin_open(struct control *c, const struct snapshot *s, int *fd, struct faults *faults)
{
    struct addr at;

    *fd = -1;
    if (!s->admin_address.len || sockets_open_one(c->sockets, &s->admin_addr, fd, &at) == 0)
        return true;
    listen_fault(faults, conf_get(conf_get(s->conf, SLICE("admin")), SLICE("address")),
                 SLICE("admin.address"), &s->admin_addr, errno);
    return false;
}

static void stop_listening(struct admin *a)
{
    if (!a->listener)
        return;
    listener_drain(a->listener);
    inbound_renumber(a->inbound, a->listener, -1);
    listener_free(a->listener);
    a->listener = NULL;
    snprintf(a->address, sizeof(a->address), "off");
}

static void start_listening(struct admin *a, const struct snapshot *s, int fd)
{
    struct addr at;

    a->asked = s->admin_addr;
    REQUIRE(listener_address(fd, &at) == 0);
    a->is_loopback = addr_is_loopback(&s->admin_addr) || addr_is_unix(&s->admin_addr);
    addr_print(&at, a->address, sizeof(a->address));
    a->listener = listener_start(a->wire.loop, fd, &a->quota, on_accept, a);
}

struct admin *admin_change(struct admin *a, struct control *c, int fd)
{
    const struct snapshot *s = c->snapshot;

    if (!a && fd < 0)
        return NULL;
    if (!a)
        a = admin_new(c);
    if (fd >= 0 && is_here(a, s)) {
        close(fd);
        return a;
    }
    stop_listening(a);
    if (fd >= 0)
        start_listening(a, s, fd);
    if (fd >= 0 && !a->is_loopback && !s->admin_token.ptr)
        LOG_WARN(
            "admin.open",
            "the admin address can be reached from outside and has no token: it serves /health and "
            "/metrics only");
    return a;
}

void admin_retire(struct admin *a)
{
    a->wire.retiring = true;
    if (a->listener)
        listener_drain(a->listener);
}

void admin_free(struct admin *a)
{
    if (a->listener)
        listener_free(a->listener);
    inbound_set_free(a->inbound);
    free(a->wire.scratch);
    blocks_deinit(&a->recv_blocks);
    blocks_deinit(&a->head_blocks);
    blocks_deinit(&a->arena_blocks);
    free(a);
}

const char *admin_address(const struct admin *a)
{
    return a->address;
}
