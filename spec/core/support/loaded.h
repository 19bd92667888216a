/* SPDX-License-Identifier: Apache-2.0 */

/* Snapshots of tests: loaded from text, with plugins that say what they have and do nothing. */

#ifndef TEST_LOADED_H
#define TEST_LOADED_H

#include "gate/snapshot.h"
#include "support/config.h"
#include "support/fake_plugins.h"

#define BIT(p) PHASE_BIT(PHASE_##p)

static const struct fake_plugin plugins[] = {
    {"request-id", BIT(REWRITE) | BIT(RESPONSE), NULL, false, false},
    {"access-log", BIT(LOG), NULL, false, false},
    {"rate-limit", BIT(ACCESS) | BIT(RESPONSE), NULL, false, false},
    {"oauth2", BIT(ACCESS), NULL, true, false},
    {"acl", BIT(ACCESS), "oauth2", true, false},
    {"normalise", BIT(REWRITE) | BIT(START), NULL, false, false},
    {"headers", BIT(ACCESS) | BIT(RESPONSE) | BIT(BODY), NULL, false, false},
    {"key-auth", BIT(ACCESS), NULL, true, false},
    {"cors", BIT(ACCESS) | BIT(RESPONSE), NULL, false, true},
};

struct loaded {
    struct config config;
    struct fake_plugins plugins;
    struct snapshot *snapshot;
};

static inline struct snapshot *load_from(struct loaded *l, const struct snapshot_source *given)
{
    struct snapshot_source source = *given;

    config_init(&l->config);
    fake_plugins_init(&l->plugins, plugins, COUNT_OF(plugins));
    source.plugin_host = fake_plugins_host;
    source.arg = &l->plugins;
    l->snapshot = snapshot_load(&source, &l->config.faults);
    assert_int_equal(l->snapshot != NULL, l->config.faults.nerrors == 0);
    return l->snapshot;
}

static inline void unload(struct loaded *l)
{
    if (l->snapshot)
        snapshot_unref(l->snapshot);
    config_deinit(&l->config);
}

/* A listener is put in front, lest each text get the warning. */
#define LISTENERS "listeners: [{address: 127.0.0.1:0}]\n"

static inline struct snapshot *load(struct loaded *l, const char *text)
{
    static char whole[64 * 1024];

    snprintf(whole, sizeof(whole), "%s%s", LISTENERS, text);
    return load_from(l, &(struct snapshot_source){.text = slice_from(whole), .name = "t"});
}

static inline struct snapshot *load_good(struct loaded *l, const char *text)
{
    struct snapshot *s = load(l, text);

    assert_string_equal(config_faults(&l->config), "");
    assert_non_null(s);
    return s;
}

#define UPSTREAM "upstreams: [{name: up, endpoints: [{address: 127.0.0.1:9001}]}]\n"
#define ROUTE(text) UPSTREAM "routes: [{name: r, " text "}]\n"

#endif
