/* SPDX-License-Identifier: Apache-2.0 */

/* Loads a snapshot: text -> tree -> check -> settings, upstreams, consumers, plugins, routes. Every
 * stage goes on after a fault, so that one run says all of them. A snapshot that is not to be is
 * given to the faults, which point into its text. */

#include "gate/snapshot.h"

#include "base/hash.h"
#include "base/text.h"
#include "gate/conf_keys.h"
#include "gate/conf_yaml.h"
#include "gate/snapshot_build.h"
#include "net/tls_client.h"
#include "net/tls_ctx.h"
#include "side/kafka_cluster.h"
#include "side/redis_server.h"
#include "side/store.h"

#define NAMES_MAX 1000 /* compared for "did you mean" */

/* --- what the builders share ------------------------------------------------------------------ */

struct slice build_text(const struct conf *node)
{
    return node && node->type == CONF_STRING && !node->is_broken ? node->text : SLICE_NONE;
}

const struct conf *build_get(const struct conf *map, const char *key)
{
    const struct conf *node = conf_get(map, slice_from(key));

    return node && node->type != CONF_NULL && !node->is_broken ? node : NULL;
}

uint32_t build_count(const struct conf *list)
{
    return list && list->type == CONF_LIST ? (uint32_t)list->n : 0;
}

static bool has_control(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
            return true;
    return false;
}

bool build_name(struct build *b, struct map *names, const struct conf *place, struct slice name,
                struct slice path)
{
    const struct conf *node = build_get(place, "name");

    /* In keys of stores and of Redis they stand between names. */
    if (has_control(name)) {
        fault_at(b->faults, node ? node : place, path, "a name has no control characters");
        return false;
    }
    if (!map_find(names, name)) {
        map_set(names, name, (void *)(uintptr_t)place);
        return true;
    }
    fault_at(b->faults, node ? node : place, path, "the name %.*s is taken already",
             SLICE_ARG(conf_shown(node ? node : place, b->faults->arena)));
    return false;
}

const char *build_nearest(struct build *b, const struct map *names, struct slice word)
{
    const char *words[NAMES_MAX];
    struct map_entry *e;
    size_t n = 0, i = 0;

    while (n < NAMES_MAX && (e = map_next(names, &i)))
        words[n++] = arena_dup(b->faults->arena, e->key).ptr;
    const char *near = text_nearest(word, words, n);
    return near ? PATH(b, ", did you mean \"%s\"?", near).ptr : "";
}

/* --- consumers -------------------------------------------------------------------------------- */

static void read_groups(struct build *b, struct consumer *c)
{
    const struct conf *list = build_get(c->place, "groups");
    uint32_t n = build_count(list);

    c->groups = arena_alloc(b->a, n * sizeof(c->groups[0]));
    for (uint32_t i = 0; i < n; i++) {
        struct slice text = build_text(list->items[i]);
        if (text.ptr)
            c->groups[c->ngroups++] = text;
    }
}

/* One kind: a plugin's name, and its list, which that plugin looks at later (build_consumer_chains). */
static void check_kind(struct build *b, const struct consumer *c, const struct conf_pair *kind)
{
    const struct conf *list = kind->value;

    if (list->type != CONF_LIST && list->type != CONF_NULL && !list->is_broken)
        fault_at(b->faults, list,
                 PATH(b, "consumers[%u].credentials.%.*s", c->index, SLICE_ARG(kind->key)),
                 "expected a list of credentials, got %s", conf_type_name(list->type));
}

static void read_credentials(struct build *b, struct consumer *c)
{
    const struct conf *map = build_get(c->place, "credentials");

    c->credentials = map && map->type == CONF_MAP ? map : NULL;
    for (size_t i = 0; c->credentials && i < map->n; i++)
        check_kind(b, c, &map->pairs[i]);
}

void build_consumers(struct build *b)
{
    const struct conf *list = build_get(b->root, "consumers");
    uint32_t n = build_count(list);
    struct snapshot *s = b->s;

    s->consumers = arena_alloc(b->a, n * sizeof(s->consumers[0]));
    for (uint32_t i = 0; i < n; i++) {
        const struct conf *item = list->items[i];
        struct slice name = build_text(build_get(item, "name"));
        if (!name.ptr)
            continue;
        if (map_find(&s->consumers_by_name, name)) {
            build_name(b, &s->consumers_by_name, item, name, PATH(b, "consumers[%u].name", i));
            continue;
        }
        struct consumer *c = arena_zero(b->a, sizeof(*c));
        name = arena_dup(b->a, name); /* near what points to it, for requests of many consumers */
        *c = (struct consumer){.name = name, .index = i, .place = item};
        map_set(&s->consumers_by_name, name, c);
        s->consumers[s->nconsumers++] = c;
        read_groups(b, c);
        read_credentials(b, c);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

/* What lies outside of the arena. */
static void release(struct snapshot *s)
{
    for (uint32_t i = 0; i < s->nstores; i++)
        stores_unname(s->stores[i].name);
    for (uint32_t i = 0; i < s->nlisteners; i++)
        tls_server_unref(s->listeners[i].tls);
    for (uint32_t i = 0; i < s->nredis; i++)
        redis_server_unref(s->redis[i].server);
    for (uint32_t i = 0; i < s->nkafka; i++)
        kafka_cluster_unref(s->kafka[i].cluster);
    for (uint32_t i = 0; i < s->nupstreams; i++) {
        struct upstream *u = s->upstreams[i];
        for (uint32_t j = 0; j < u->nendpoints; j++) {
            endpoint_live_unref(u->endpoints[j].live);
            target_unref(u->endpoints[j].target);
        }
        upstream_live_unref(u->live);
        tls_client_unref(u->tls);
    }
    map_deinit(&s->upstreams_by_name);
    map_deinit(&s->routes_by_key);
    map_deinit(&s->consumers_by_name);
}

static void free_arena(void *arena)
{
    arena_free(arena);
}

/* The same on every machine that has the same files. */
static struct slice id_of(const struct snapshot *s)
{
    uint64_t hash = 0;

    for (const struct conf_file *f = s->conf->file; f; f = f->next)
        hash = hash_stable(f->text, hash + 1);
    for (uint32_t i = 0; i < s->ncertificates; i++) {
        uint64_t print = s->certificates[i].print;
        hash = hash_stable(slice_of((const char *)&print, sizeof(print)), hash + 1);
    }
    return arena_printf(s->arena, "%016llx", (unsigned long long)hash);
}

/* Plugins hold on to stores from their first moment, which is when they are checked. A store that exists keeps its size
 * until the configuration is used. */
static void name_stores(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->nstores; i++)
        stores_name(s->stores[i].name, s->stores[i].bytes);
}

static void build(struct snapshot *s, const struct snapshot_source *source, struct faults *faults)
{
    struct build b = {.s = s, .a = s->arena, .faults = faults, .source = source, .root = s->conf};

    conf_check(s->conf, faults);
    build_settings(&b);
    build_redis(&b);
    build_kafka(&b);
    build_upstreams(&b);
    build_consumers(&b);
    name_stores(s);
    if (source->plugin_host)
        b.host = source->plugin_host(source->arg, s);
    build_global_chain(&b);
    build_routes(&b);
    build_consumer_chains(&b);
    build_plugins_end(&b);
    if (b.host && b.host->ops->saw)
        b.host->ops->saw(b.host, faults);
}

static void keep_seen(struct snapshot *s, const struct faults *faults)
{
    s->nseen = faults->seen.n;
    s->seen = arena_alloc(s->arena, s->nseen * sizeof(s->seen[0]));
    for (size_t i = 0; i < s->nseen; i++) {
        s->seen[i] = faults->seen.items[i];
        s->seen[i].path = arena_dup(s->arena, s->seen[i].path);
    }
}

static struct conf *load_conf(const struct snapshot_source *source, struct arena *a,
                              struct faults *faults)
{
    if (source->path)
        return conf_yaml_load(source->path, a, faults);
    return conf_yaml_parse(source->text, source->name ? source->name : "configuration",
                           source->dir ? source->dir : ".", a, faults);
}

bool snapshot_names_plugins(const struct snapshot *s)
{
    static const char *const lists[] = {"routes", "consumers"};

    if (build_count(build_get(s->conf, "plugins")) > 0)
        return true;
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        const struct conf *list = build_get(s->conf, lists[i]);
        for (uint32_t k = 0; k < build_count(list); k++)
            if (build_get(list->items[k], "plugins") || build_get(list->items[k], "credentials"))
                return true;
    }
    return false;
}

struct snapshot *snapshot_load(const struct snapshot_source *source, struct faults *faults)
{
    static atomic_ullong versions;
    struct arena *a = arena_new_large();
    struct snapshot *s = arena_zero(a, sizeof(*s));

    s->arena = a;
    s->version = atomic_fetch_add(&versions, 1) + 1;
    atomic_init(&s->refs, 1);
    map_init(&s->upstreams_by_name);
    map_init(&s->routes_by_key);
    map_init(&s->consumers_by_name);
    s->conf = load_conf(source, a, faults);
    if (s->conf)
        build(s, source, faults);
    if (faults->nerrors) {
        unsigned long long mine = s->version;
        atomic_compare_exchange_strong(&versions, &mine, mine - 1); /* nobody has seen it */
        release(s);
        arena_on_free(faults->arena, free_arena, a);
        return NULL;
    }
    keep_seen(s, faults);
    s->id = id_of(s);
    return s;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    release(s);
    arena_free(s->arena);
}

struct upstream *snapshot_upstream(const struct snapshot *s, struct slice name)
{
    return map_find(&s->upstreams_by_name, name);
}

struct route *snapshot_route(const struct snapshot *s, struct slice key)
{
    return map_find(&s->routes_by_key, key);
}

struct redis_server *snapshot_redis(const struct snapshot *s, struct slice name)
{
    for (uint32_t i = 0; i < s->nredis; i++)
        if (slice_eq(s->redis[i].name, name))
            return s->redis[i].server;
    return NULL;
}

struct consumer *snapshot_consumer(const struct snapshot *s, struct slice name)
{
    return map_find(&s->consumers_by_name, name);
}
