/* SPDX-License-Identifier: Apache-2.0 */

/* Both ends of a connection over a stream in memory, driven by the input: bytes that arrive in any
 * cut, ends and resets, a peer that takes little, time that passes, and an owner that gives any
 * order it may give at any moment, inside events too. What must hold: no event against the rules
 * of wire.h, no block lost, no memory misused. */

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "http/h1.h"
#include "net/loop.h"

static const char *const snippets[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
    "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw",
    "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "5\r\nhello\r\n",
    "0\r\nX: y\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nuntil close",
    "HTTP/1.0 204 No Content\r\n\r\n",
    "abc",
};

struct side {
    struct h1_server server;
    struct h1_client client;
    struct stream stream;
    struct wire *w; /* NULL: no owner */
    struct arena *arena;
    struct message *m; /* the last head heard */
    bool head, ended;  /* orders given */
    bool has_content;  /* the head said so */
    bool heard_end, gone, offended, tunnel;
    bool over; /* the connection */
    bool stream_freed;
    uint8_t reaction; /* what the owner does inside the next event */
    int depth;
    size_t credit;
};

static struct side side;
static struct wire_env env;
static struct blocks recv_blocks, head_blocks, arena_blocks;
static struct http_limits limits = {256, 1024, 8, 1000, 1000, 2000};
static bool is_client;
static char pending[8192]; /* what the stream gives next */
static size_t npending;
static int stream_end; /* 0, ERR_CLOSED, ERR_RESET */
static size_t room;    /* what the stream takes */
static volatile uint8_t touched;

/* --- the stream ------------------------------------------------------------------------------- */

static ssize_t mem_recv(struct stream *s, void *mem, size_t len)
{
    size_t n = MIN(len, npending);

    (void)s;
    if (n == 0)
        return stream_end != 0 ? stream_end : ERR_AGAIN;
    memcpy(mem, pending, n);
    memmove(pending, pending + n, npending - n);
    npending -= n;
    return (ssize_t)n;
}

static ssize_t mem_send(struct stream *s, const struct iovec *iov, int n)
{
    size_t len = 0;

    (void)s;
    if (stream_end == ERR_RESET)
        return ERR_RESET;
    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    len = MIN(len, room);
    room -= len;
    return len > 0 ? (ssize_t)len : ERR_AGAIN;
}

static int mem_shutdown(struct stream *s)
{
    (void)s;
    return 0;
}

static void mem_watch(struct stream *s)
{
    (void)s;
}

static bool mem_is_quiet(struct stream *s)
{
    (void)s;
    return npending == 0 && stream_end == 0;
}

static uint64_t mem_sent(const struct stream *s)
{
    return s->bytes_out;
}

static void mem_free(struct stream *s)
{
    (void)s;
    side.stream_freed = true;
}

static const struct stream_ops mem_ops = {
    .name = "memory",
    .recv = mem_recv,
    .send = mem_send,
    .shutdown = mem_shutdown,
    .watch = mem_watch,
    .is_quiet = mem_is_quiet,
    .sent = mem_sent,
    .free = mem_free,
};

/* --- the owner -------------------------------------------------------------------------------- */

static void let_go(bool by_abort)
{
    struct wire *w = side.w;
    struct arena *a = side.arena;

    if (w == NULL)
        return;
    side.w = NULL;
    side.arena = NULL;
    if (by_abort)
        wire_abort(w, ERR_CANCELLED);
    else
        wire_release(w);
    arena_free(a);
}

static void order_head(uint8_t how)
{
    static const int statuses[] = {200, 204, 304, 404, 100, 103, 500, 101};
    struct message m = {.status = statuses[how & 7], .method = METHOD_GET, .path = SLICE("/")};

    if (side.head)
        return;
    headers_init(&m.headers, side.arena, 2);
    headers_add(&m.headers, SLICE("X"), SLICE("y"));
    m.body = how & 8 ? BODY_UNKNOWN : BODY_NONE;
    if (is_client) {
        m.method = how & 1 ? METHOD_HEAD : m.body == BODY_NONE ? METHOD_GET : METHOD_POST;
        m.wants_websocket = m.method == METHOD_GET && how & 2;
        m.expects_continue = how & 4;
    } else if (m.status == 101) {
        if (!side.m->wants_websocket)
            return;
        m.body = BODY_TUNNEL;
    }
    bool interim = !is_client && m.status < 200 && m.status != 101;
    bool end = !interim && m.body == BODY_NONE && how & 16;
    int rc = wire_head(side.w, &m, end);
    REQUIRE(rc != ERR_ARG);
    side.head = !interim;
    side.ended = end;
    side.has_content = m.body != BODY_NONE;
    if (m.body == BODY_TUNNEL && rc == 0) {
        side.tunnel = true;
        side.heard_end = false;
    }
}

static void order_body(uint8_t how)
{
    struct slice pieces[3] = {SLICE("one"), SLICE("two and a half"),
                              slice_of(pending, sizeof(pending))};
    bool end = how & 4;

    if (!side.head || side.ended)
        return;
    int rc = wire_body(side.w, pieces, side.has_content ? how & 3 : 0, end);
    REQUIRE(rc != ERR_ARG);
    side.ended = end || rc < 0; /* a broken wire takes no more */
}

static void act(uint8_t what)
{
    if (side.w == NULL)
        return;
    switch (what & 7) {
    case 0: order_head(what >> 3); break;
    case 1: order_body((what >> 3) & 4); break;
    case 2: order_body(what >> 3); break;
    case 3:
        if (side.head && !side.ended) {
            side.ended = true;
            REQUIRE(wire_finish(side.w, NULL) != ERR_ARG);
        }
        break;
    case 4: let_go(false); break;
    case 5: let_go((what & 8) != 0); break;
    default: {
        size_t n = (size_t)1 << (what >> 4);
        side.credit += n;
        wire_grant(side.w, n);
    }
    }
}

static void react(void)
{
    uint8_t what = side.reaction;

    side.reaction = 6; /* a small grant, unless told otherwise */
    if (side.depth < 3) {
        side.depth++;
        act(what);
        side.depth--;
    }
}

static void hear_head(void *owner, struct wire *w, struct message *m, bool end)
{
    (void)owner;
    REQUIRE(w == side.w && !side.gone && !side.offended && !side.heard_end);
    side.m = m;
    side.heard_end = end;
    if (is_client && m->body == BODY_TUNNEL) {
        side.tunnel = side.has_content = true;
        side.ended = false;
    }
    react();
}

static void hear_body(void *owner, struct wire *w, const struct slice *pieces, int n, bool end)
{
    size_t len = 0;

    (void)owner;
    REQUIRE(w == side.w && !side.gone && !side.offended && !side.heard_end && (n > 0 || end));
    for (int i = 0; i < n; i++) {
        len += pieces[i].len;
        touched ^= (uint8_t)pieces[i].ptr[0] ^ (uint8_t)pieces[i].ptr[pieces[i].len - 1];
    }
    REQUIRE(len <= side.credit);
    side.credit -= len;
    side.heard_end = end;
    react();
}

static void hear_room(void *owner, struct wire *w)
{
    (void)owner;
    REQUIRE(w == side.w && !side.gone);
    react();
}

static void hear_gone(void *owner, struct wire *w, int err)
{
    (void)owner;
    REQUIRE(w == side.w && !side.gone && err < 0);
    if (err != ERR_BAD_REQUEST && err != ERR_REQUEST_TIMEOUT) {
        side.gone = true;
    } else { /* who broke the rules can still be told so, and may leave */
        REQUIRE(!side.offended);
        side.offended = true;
    }
    react();
}

static const struct wire_events events = {hear_head, hear_body, hear_room, hear_gone};

static void begin_exchange(struct wire *w, struct arena *a)
{
    REQUIRE(side.w == NULL && !side.over);
    side.w = w;
    side.arena = a;
    side.head = side.ended = side.heard_end = side.gone = side.offended = side.tunnel = false;
    side.has_content = false;
    side.credit = 0;
}

/* --- hosts ------------------------------------------------------------------------------------ */

static void on_request(struct h1_server *s, struct wire *w)
{
    (void)s;
    begin_exchange(w, w->arena);
    w->events = &events;
    w->owner = NULL;
}

static void describe(struct h1_server *s, struct wire_peer *out)
{
    (void)s;
    *out = (struct wire_peer){0};
}

static void server_end(struct h1_server *s)
{
    (void)s;
    REQUIRE(!side.over);
    side.over = true;
}

static void client_idle(struct h1_client *cl)
{
    (void)cl;
    REQUIRE(!side.over);
}

static void client_end(struct h1_client *cl)
{
    (void)cl;
    REQUIRE(!side.over);
    side.over = true;
}

static const struct h1_server_host server_host = {on_request, describe, server_end};
static const struct h1_client_host client_host = {client_idle, client_end};

/* --- the script ------------------------------------------------------------------------------- */

static void feed(const char *bytes, size_t len)
{
    len = MIN(len, sizeof(pending) - npending);
    memcpy(pending + npending, bytes, len);
    npending += len;
}

static void ready(bool readable, bool writable)
{
    bool has = npending > 0 || stream_end != 0;

    if (!side.stream.closed)
        stream_on_ready(&side.stream, readable && has, writable);
}

static void step(uint8_t op, uint8_t arg)
{
    switch (op & 15) {
    case 0:
    case 1: feed(snippets[arg & 15], strlen(snippets[arg & 15])); break;
    case 2: feed(snippets[arg & 15], MIN(strlen(snippets[arg & 15]), arg >> 4)); break;
    case 3: feed((const char *)&arg, 1); break;
    case 4:
    case 5: ready(true, false); break;
    case 6:
        room += (size_t)arg * 512;
        ready(false, true);
        break;
    case 7: loop_turn(env.loop, 0); break;
    case 8:
    case 9: act(arg); break;
    case 10: side.reaction = arg; break;
    case 11: clock_advance_ms(arg * 16); break;
    case 12:
        if (arg > 200 && stream_end == 0)
            stream_end = arg & 1 ? ERR_CLOSED : ERR_RESET;
        break;
    case 13: env.draining = arg > 250; break;
    default:
        if (is_client && side.w == NULL && !side.over) {
            struct arena *a = arena_new(&arena_blocks);
            begin_exchange(h1_client_open(&side.client, a, &events, NULL, false), a);
        }
    }
}

static void setup(bool client)
{
    if (env.loop == NULL) {
        blocks_init(&recv_blocks, WIRE_RECV_BLOCK, 4);
        blocks_init(&head_blocks, WIRE_HEAD_BLOCK, 4);
        blocks_init(&arena_blocks, WIRE_ARENA_BLOCK, 4);
        env = (struct wire_env){
            .loop = loop_new(),
            .recv_blocks = &recv_blocks,
            .head_blocks = &head_blocks,
            .arena_blocks = &arena_blocks,
            .scratch = malloc(WIRE_SCRATCH),
            .limits = &limits,
        };
    }
    is_client = client;
    side = (struct side){.reaction = 6};
    npending = room = 0;
    stream_end = 0;
    env.draining = false;
    stream_init(&side.stream, &mem_ops, env.loop, -1, NULL, NULL);
    if (client) {
        h1_client_init(&side.client, &env, &side.stream, &client_host);
    } else {
        h1_server_init(&side.server, &env, &side.stream, &server_host);
        stream_resume(&side.stream);
    }
}

static void teardown(void)
{
    let_go(false);
    if (!side.over && is_client)
        h1_client_close(&side.client);
    else if (!side.over)
        h1_server_abort(&side.server);
    /* What closes gently sends the rest, and waits for the peer's end. */
    stream_end = ERR_CLOSED;
    room = SIZE_MAX;
    for (int i = 0; i < 4 && !side.stream_freed; i++) {
        ready(true, true);
        clock_advance_ms(100000);
        loop_turn(env.loop, 0);
    }
    REQUIRE(side.stream_freed);
    REQUIRE(recv_blocks.nused == 0 && head_blocks.nused == 0 && arena_blocks.nused == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len < 1)
        return 0;
    setup(bytes[0] & 1);
    for (size_t i = 1; i + 1 < len; i += 2)
        step(bytes[i], bytes[i + 1]);
    teardown();
    return 0;
}
