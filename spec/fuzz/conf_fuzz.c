/* SPDX-License-Identifier: Apache-2.0 */

/* A configuration from any text: tree, check, snapshot. A text that is refused has a fault, and all
 * faults can be printed; what is accepted can be asked for a route. */

#include <stdlib.h>

#include "base/hash.h"
#include "gate/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool accept_plugin(struct plugin_host *h UNUSED, struct plugin_use *use,
                          struct faults *faults UNUSED)
{
    use->hooks = PHASE_BIT(use->name.len % PHASE_COUNT);
    return true;
}

static bool stands_after(struct plugin_host *h UNUSED, const struct plugin_use *plugin,
                         const struct plugin_use *other)
{
    return plugin->name.len == other->name.len + 1;
}

static bool guards(struct plugin_host *h UNUSED, const struct plugin_use *plugin)
{
    return plugin->name.len % 2;
}

static struct plugin_host *host_of(void *arg UNUSED, const struct snapshot *s UNUSED)
{
    static const struct plugin_host_ops ops = {
        .check = accept_plugin, .stands_after = stands_after, .guards = guards};
    static struct plugin_host host = {.ops = &ops};

    return &host;
}

static void ask(const struct snapshot *s)
{
    struct message m = {.method = METHOD_GET};
    struct route_match match;

    headers_init(&m.headers, s->arena, 1);
    router_match(s->router, SLICE("a.example.com"), SLICE("/orders/1/a"), &m, &match);
    router_match(s->router, SLICE_NONE, SLICE("/"), &m, &match);
    if (match.route && match.route->index >= s->nroutes)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct arena *a = arena_new_heap(4096);
    struct snapshot_source source = {.text = slice_of((const char *)bytes, len),
                                     .name = "fuzz",
                                     .dir = "/nowhere",
                                     .plugin_host = host_of};
    struct faults faults;
    struct buf out;

    hash_set_key(1, 2);
    faults_init(&faults, a);
    buf_init(&out, 1 * MIB);
    struct snapshot *s = snapshot_load(&source, &faults);
    if ((s != NULL) != (faults.nerrors == 0))
        abort();
    faults_print(&faults, &out, len % 2);
    if (faults.list.n && buf_len(&out) == 0)
        abort();
    if (s) {
        ask(s);
        snapshot_unref(s);
    }
    buf_deinit(&out);
    faults_deinit(&faults);
    arena_free(a);
    return 0;
}
