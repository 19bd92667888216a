/* SPDX-License-Identifier: Apache-2.0 */

#include "support/rig.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/metric.h"
#include "net/listener.h"
#include "net/mailbox.h"

static struct rig *host_rig(struct phase_host *h)
{
    return container_of(h, struct rig, host);
}

static enum phase_result run(struct phase_host *h, struct exchange *x, enum phase p)
{
    struct rig *rig = host_rig(h);

    rig->calls[p]++;
    if (p == PHASE_LOG) {
        rig->last_status = x->response ? x->response->status : 0;
        rig->last_err = x->err;
    }
    return rig->hooks[p] ? rig->hooks[p](rig, x) : PHASE_DONE;
}

static enum phase_result go_on(struct phase_host *h, struct exchange *x UNUSED, enum phase p)
{
    host_rig(h)->rests[p]++;
    return PHASE_DONE;
}

static void cancel(struct phase_host *h, struct exchange *x)
{
    host_rig(h)->cancelled++;
    exchange_phase_done(x, PHASE_DONE);
}

static void forget(struct phase_host *h, struct exchange *x UNUSED)
{
    host_rig(h)->forgotten++;
}

static void nothing(struct phase_host *h UNUSED, uint64_t by_ms UNUSED)
{
}

static const struct phase_host_ops host_ops = {
    .run = run, .go_on = go_on, .cancel = cancel, .forget = forget, .free = nothing};

static bool check(struct plugin_host *h, struct plugin_use *use, struct faults *faults UNUSED)
{
    use->hooks = container_of(h, struct rig, plugins)->mask;
    return true;
}

static bool no(struct plugin_host *h UNUSED, const struct plugin_use *a UNUSED,
               const struct plugin_use *b UNUSED)
{
    return false;
}

static bool guards_not(struct plugin_host *h UNUSED, const struct plugin_use *a UNUSED)
{
    return false;
}

static const struct plugin_host_ops plugin_ops = {
    .check = check, .stands_after = no, .guards = guards_not};

static struct plugin_host *plugin_host(void *arg, const struct snapshot *partly UNUSED)
{
    return &((struct rig *)arg)->plugins;
}

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer,
                      const struct addr *local)
{
    gateway_accept(owner, ln, 0, fd, peer, local);
}

static struct snapshot *load(struct rig *rig, const char *routes)
{
    char text[8192];
    struct faults faults;
    struct arena *a = arena_new_heap(4 * KIB);
    uint16_t port = addr_port(&rig->origin_at);

    snprintf(
        text, sizeof(text),
        "workers: 1\n"
        "trusted_proxies: [127.0.0.2/32]\n"
        "limits: { request_body: 1MiB, buffered_body: 64KiB, body_timeout: 300ms }\n"
        "listeners: [{ address: '127.0.0.1:0' }]\n"
        "upstreams:\n"
        "  - name: origin\n"
        "    endpoints: [{ address: '127.0.0.1:%u' }]\n"
        "    timeout: 300ms\n"
        "  - name: nobody\n"
        "    endpoints: [{ address: '127.0.0.1:1' }]\n"
        "  - name: half\n"
        "    endpoints: [{ address: '127.0.0.1:1', weight: 100 }, { address: '127.0.0.1:%u' }]\n"
        "%s"
        "routes:\n%s",
        port, port, rig->mask ? "plugins: [{ name: fake }]\n" : "", routes);
    faults_init(&faults, a);
    struct snapshot_source source = {.text = slice_from(text),
                                     .name = "test.yaml",
                                     .dir = ".",
                                     .plugin_host = plugin_host,
                                     .arg = rig};
    struct snapshot *s = snapshot_load(&source, &faults);
    if (!s) {
        struct buf out;
        buf_init(&out, 64 * KIB);
        faults_print(&faults, &out, false);
        fail_msg("%.*s", SLICE_ARG(buf_slice(&out)));
    }
    faults_deinit(&faults);
    arena_free(a);
    return s;
}

void rig_start(struct rig *rig, const char *routes)
{
    int fd;

    hash_init();
    metric_init(2, 1000);
    rig->host.ops = &host_ops;
    rig->plugins.ops = &plugin_ops;
    rig->origin = loopback_listen(16, &rig->origin_at);
    loopback_set_blocking(rig->origin, false);
    struct snapshot *s = load(rig, routes);
    struct gateway *g = &rig->gateway;
    g->loop = loop_new();
    g->mailbox = mailbox_new(g->loop, g);
    g->writer = 1;
    g->nworkers = 1;
    gateway_init(g, s);
    gateway_use(g, plan_new(g, s, rig->mask ? &rig->host : NULL, NULL));
    rig->quota.max = 100;
    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &rig->at), 0);
    assert_int_equal(listener_open(&rig->at, true, &fd), 0);
    assert_int_equal(listener_address(fd, &rig->at), 0);
    rig->listener = listener_start(g->loop, fd, &rig->quota, on_accept, g);
}

void rig_stop(struct rig *rig)
{
    struct gateway *g = &rig->gateway;

    inbound_abort_all(g->inbound);
    TURN_UNTIL(g->loop, gateway_exchanges(g) == 0);
    listener_free(rig->listener);
    gateway_deinit(g);
    mailbox_free(g->mailbox);
    loop_free(g->loop);
    close(rig->origin);
    metric_deinit();
}

int rig_connect(struct rig *rig)
{
    int fd = loopback_connect(&rig->at);

    loopback_set_blocking(fd, false);
    return fd;
}

int rig_accept(struct rig *rig)
{
    int fd = -1;

    TURN_UNTIL(rig->gateway.loop, (fd = accept4(rig->origin, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    return fd;
}

void rig_expect(struct rig *rig, struct inbox *in, int fd, const char *text)
{
    TURN_UNTIL(rig->gateway.loop, (inbox_read(in, fd), strstr(in->text, text) != NULL));
}

void rig_expect_end(struct rig *rig, struct inbox *in, int fd)
{
    TURN_UNTIL(rig->gateway.loop, (inbox_read(in, fd), in->eof || in->reset));
}

void inbox_clear(struct inbox *in)
{
    in->len = 0;
    in->text[0] = '\0';
    in->eof = in->reset = false;
}
