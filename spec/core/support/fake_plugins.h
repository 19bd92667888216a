/* SPDX-License-Identifier: Apache-2.0 */

/* Plugins without Lua, for tests of how a configuration is built: a list of names with what the
 * script floor would say of each. A config with the key "bad" does not fit its schema. */

#ifndef TEST_FAKE_PLUGINS_H
#define TEST_FAKE_PLUGINS_H

#include <stdio.h>

#include "gate/conf.h"
#include "gate/phase.h"
#include "gate/route.h"

struct fake_plugin {
    const char *name;
    uint32_t hooks;
    const char *after; /* one name, or NULL */
    bool guards, answers_preflights;
};

struct fake_plugins {
    struct plugin_host base;
    const struct fake_plugin *list;
    size_t n;
    int asked;     /* stands_after was called so often */
    bool in_route; /* of the latest check: what its scope was */
    size_t nparams;
    char param[32]; /* the first one */
};

static inline const struct fake_plugin *fake_plugin_find(struct plugin_host *h, struct slice name)
{
    struct fake_plugins *f = container_of(h, struct fake_plugins, base);

    for (size_t i = 0; i < f->n; i++)
        if (slice_eq(slice_from(f->list[i].name), name))
            return &f->list[i];
    return NULL;
}

static inline bool fake_plugin_check(struct plugin_host *h, struct plugin_use *use,
                                     struct faults *faults)
{
    struct fake_plugins *f = container_of(h, struct fake_plugins, base);
    const struct fake_plugin *plugin = fake_plugin_find(h, use->name);

    f->in_route = use->route != NULL;
    f->nparams = use->route ? use->route->nparams : 0;
    if (f->nparams)
        snprintf(f->param, sizeof(f->param), "%.*s", SLICE_ARG(use->route->params[0]));
    if (!plugin || conf_get(use->config, SLICE("bad"))) {
        fault_at(faults, use->place, use->path, plugin ? "wrong config" : "not installed");
        return false;
    }
    use->hooks = plugin->hooks;
    return true;
}

static inline bool fake_plugin_after(struct plugin_host *h, const struct plugin_use *plugin,
                                     const struct plugin_use *other)
{
    const char *after = fake_plugin_find(h, plugin->name)->after;

    container_of(h, struct fake_plugins, base)->asked++;
    return after && slice_eq(slice_from(after), other->name);
}

static inline bool fake_plugin_guards(struct plugin_host *h, const struct plugin_use *plugin)
{
    return fake_plugin_find(h, plugin->name)->guards;
}

static inline bool fake_plugin_preflights(struct plugin_host *h, const struct plugin_use *plugin)
{
    return fake_plugin_find(h, plugin->name)->answers_preflights;
}

static inline struct slice fake_plugin_missing(struct plugin_host *h, struct slice name,
                                               struct arena *a UNUSED)
{
    return fake_plugin_find(h, name) ? SLICE_NONE : SLICE("not installed");
}

static inline void fake_plugins_init(struct fake_plugins *f, const struct fake_plugin *list,
                                     size_t n)
{
    static const struct plugin_host_ops ops = {.check = fake_plugin_check,
                                               .stands_after = fake_plugin_after,
                                               .guards = fake_plugin_guards,
                                               .answers_preflights = fake_plugin_preflights,
                                               .missing = fake_plugin_missing};

    *f = (struct fake_plugins){.base.ops = &ops, .list = list, .n = n};
}

/* snapshot_source.plugin_host; arg is the struct fake_plugins. */
struct snapshot;
static inline struct plugin_host *fake_plugins_host(void *arg, const struct snapshot *s UNUSED)
{
    return &((struct fake_plugins *)arg)->base;
}

#endif
