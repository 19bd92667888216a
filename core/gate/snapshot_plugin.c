/* SPDX-License-Identifier: Apache-2.0 */

/* Places where plugins are enabled, and the chains that they form: global, route, consumer, in the
 * order written. What a plugin says about its neighbours (`after`) is asked once per pair of
 * plugins, however many routes there are. */

#include <stdlib.h>

#include "gate/hook_time.h"
#include "gate/snapshot_build.h"

/* What was asked about a plugin. */
struct plugin_kind {
    const struct plugin_use *use; /* one of it */
    bool guards, answers_preflights, looks_back, answers;
};

/* Which plugins are used, and which of them stand after which. */
struct plugin_order {
    VEC(struct plugin_kind) kinds;
    uint8_t *after;  /* [i * cap + j]: i stands after j */
    bool *in_routes; /* used globally or by a route */
    size_t cap;
    VEC(uint32_t) kind_of; /* by the use's index */
};

/* --- order ------------------------------------------------------------------------------------ */

static void grow_order(struct plugin_order *o)
{
    size_t cap = o->cap ? 2 * o->cap : 16;
    uint8_t *after = calloc(cap, cap);
    bool *in_routes = calloc(cap, sizeof(*in_routes));

    REQUIRE(after != NULL && in_routes != NULL);
    for (size_t i = 0; i < o->kinds.n; i++) {
        in_routes[i] = o->in_routes[i];
        memcpy(after + i * cap, o->after + i * o->cap, o->kinds.n);
    }
    free(o->after);
    free(o->in_routes);
    o->after = after;
    o->in_routes = in_routes;
    o->cap = cap;
}

static void ask_kind(struct build *b, const struct plugin_use *use)
{
    struct plugin_order *o = b->order;
    const struct plugin_host_ops *ops = b->host->ops;
    uint32_t kind = (uint32_t)o->kinds.n;
    struct plugin_kind fresh = {
        .use = use,
        .guards = ops->guards(b->host, use),
        .answers_preflights = ops->answers_preflights && ops->answers_preflights(b->host, use),
        .answers = ops->answers && ops->answers(b->host, use),
        .looks_back = ops->looks_back && ops->looks_back(b->host, use),
    };

    if (kind == o->cap)
        grow_order(o);
    vec_push(&o->kinds, fresh);
    for (uint32_t i = 0; i < kind; i++) {
        const struct plugin_use *other = o->kinds.items[i].use;
        o->after[kind * o->cap + i] = ops->stands_after(b->host, use, other);
        o->after[i * o->cap + kind] = ops->stands_after(b->host, other, use);
    }
}

static void add_kind(struct build *b, const struct plugin_use *use)
{
    struct plugin_order *o = b->order;
    uint32_t kind = 0;

    while (kind < o->kinds.n && !slice_eq(o->kinds.items[kind].use->name, use->name))
        kind++;
    vec_push(&o->kind_of, kind);
    if (kind == o->kinds.n)
        ask_kind(b, use);
}

static const struct plugin_kind *kind_of(const struct build *b, const struct plugin_use *use)
{
    return &b->order->kinds.items[b->order->kind_of.items[use->index]];
}

static bool is_after(const struct plugin_order *o, const struct plugin_use *x,
                     const struct plugin_use *y)
{
    uint32_t i = o->kind_of.items[x->index], j = o->kind_of.items[y->index];

    return i != j && o->after[i * o->cap + j];
}

static void fault_of_order(struct build *b, const struct plugin_use *late, struct slice other)
{
    fault_at(b->faults, late->place, late->path,
             "\"%.*s\" must run before \"%.*s\", which wants to stand after it; plugins run as "
             "written: global, route, consumer",
             SLICE_ARG(late->name), SLICE_ARG(other));
}

/* From `from` on the uses are new to this chain; pairs before it are looked at elsewhere. */
static void check_order(struct build *b, const struct chain *c, uint32_t from)
{
    if (!b->host)
        return;
    for (uint32_t j = MAX(from, 1u); j < c->n; j++)
        for (uint32_t i = 0; i < j; i++)
            if (is_after(b->order, c->uses[i], c->uses[j]))
                fault_of_order(b, c->uses[j], c->uses[i]->name);
}

/* Preflights carry no credentials: a guard in front turns them away. */
static void check_preflights(struct build *b, const struct chain *c, uint32_t from)
{
    for (uint32_t j = MAX(from, 1u); j < c->n; j++) {
        for (uint32_t i = 0; c->uses[j]->answers_preflights && i < j; i++) {
            if (!kind_of(b, c->uses[i])->guards)
                continue;
            warn_at(
                b->faults, c->uses[j]->place, c->uses[j]->path,
                "\"%.*s\" stands behind \"%.*s\", which may refuse preflights before it answers "
                "them: they carry no credentials",
                SLICE_ARG(c->uses[j]->name), SLICE_ARG(c->uses[i]->name));
            break;
        }
    }
}

/* What a plugin says of those before it. */
static void ask_remarks(struct build *b, const struct chain *c, uint32_t from)
{
    for (uint32_t j = MAX(from, 1u); j < c->n; j++) {
        struct plugin_use *use = c->uses[j];
        for (uint32_t i = 0; kind_of(b, use)->looks_back && i < j; i++) {
            struct slice says = b->host->ops->remark(b->host, use, c->uses[i], b->faults->arena);
            if (says.ptr)
                warn_at(b->faults, use->place, use->path, "%.*s", SLICE_ARG(says));
        }
    }
}

/* A consumer's plugins run after those of any route. */
static void check_after_routes(struct build *b, const struct plugin_use *use)
{
    const struct plugin_order *o = b->order;
    uint32_t kind = o->kind_of.items[use->index];

    for (uint32_t i = 0; i < o->kinds.n; i++)
        if (i != kind && o->in_routes[i] && o->after[i * o->cap + kind])
            fault_of_order(b, use, o->kinds.items[i].use->name);
}

/* --- one use ---------------------------------------------------------------------------------- */

static void check_guard(struct build *b, const struct plugin_use *use)
{
    const struct conf *node = build_get(use->place, "on_error");

    if (use->continues_on_error && kind_of(b, use)->guards)
        fault_at(b->faults, node,
                 arena_printf(b->faults->arena, "%.*s.on_error", SLICE_ARG(use->path)),
                 "\"%.*s\" decides who may pass: when it fails, nobody may", SLICE_ARG(use->name));
}

static void check_hooks(struct build *b, const struct plugin_use *use)
{
    uint32_t global_only = PHASE_BIT(PHASE_REWRITE) | PHASE_BIT(PHASE_CERTIFICATE);
    uint32_t of_requests = use->hooks & ~(PHASE_BIT(PHASE_START) | PHASE_BIT(PHASE_STOP));

    if (of_requests && !(of_requests & ~global_only))
        warn_at(b->faults, use->place, use->path,
                "\"%.*s\" has only hooks that run before routing: it does nothing here, enable it "
                "globally",
                SLICE_ARG(use->name));
}

/* NULL, with a fault, when it can't be used. route NULL: global or a consumer's. */
static struct plugin_use *new_use(struct build *b, const struct conf *item, struct slice path,
                                  struct slice scope, const struct route *route)
{
    struct slice name = build_text(build_get(item, "name"));
    struct plugin_use *use = arena_zero(b->a, sizeof(*use));

    if (!name.ptr)
        return NULL;
    *use = (struct plugin_use){
        .name = name,
        .config = build_get(item, "config"),
        .place = item,
        .path = arena_dup(b->a, path),
        .scope = scope,
        .route = route,
        .index = (uint32_t)b->uses.n,
        .continues_on_error = slice_eq(build_text(build_get(item, "on_error")), SLICE("continue")),
    };
    if (!b->host) {
        fault_at(b->faults, build_get(item, "name"), PATH(b, "%.*s.name", SLICE_ARG(path)),
                 "no plugin \"%.*s\" is installed", SLICE_ARG(name));
        return NULL;
    }
    if (!b->host->ops->check(b->host, use, b->faults))
        return NULL;
    use->times = arena_zero(b->a, hook_times_count(use->hooks) * sizeof(use->times[0]));
    use->total = hook_total_of(use->name, use->hooks);
    vec_push(&b->uses, use);
    add_kind(b, use);
    use->answers_preflights = kind_of(b, use)->answers_preflights;
    use->answers = kind_of(b, use)->answers;
    check_guard(b, use);
    return use;
}

/* --- chains ----------------------------------------------------------------------------------- */

static void add_chain(struct build *b, struct chain *c)
{
    c->index = (uint32_t)b->chains.n;
    vec_push(&b->chains, c);
}

/* Behind `before`, which may be NULL, those of the list; path is that of the list. */
static void read_chain(struct build *b, struct chain *c, const struct chain *before,
                       const struct conf *list, struct slice path, struct slice scope,
                       const struct route *route)
{
    uint32_t n = build_count(list), nbefore = before ? before->n : 0;

    c->uses = arena_alloc(b->a, (nbefore + n) * sizeof(c->uses[0]));
    c->n = nbefore;
    c->hooks = before ? before->hooks : 0;
    c->answers_preflights = before && before->answers_preflights;
    c->answers = false;
    for (uint32_t i = 0; i < nbefore; i++)
        c->uses[i] = before->uses[i];
    for (uint32_t i = 0; i < n; i++) {
        struct slice here = PATH(b, "%.*s[%u]", SLICE_ARG(path), i);
        struct plugin_use *use = new_use(b, list->items[i], here, scope, route);
        if (!use)
            continue;
        c->uses[c->n++] = use;
        c->hooks |= use->hooks;
        c->answers_preflights |= use->answers_preflights;
        c->answers |= use->answers;
    }
    check_order(b, c, nbefore);
    check_preflights(b, c, nbefore);
    ask_remarks(b, c, nbefore);
}

static void mark_in_routes(struct build *b, const struct chain *c)
{
    for (uint32_t i = 0; b->host && i < c->n; i++)
        b->order->in_routes[b->order->kind_of.items[c->uses[i]->index]] = true;
}

void build_global_chain(struct build *b)
{
    struct chain *c = &b->s->global;

    b->order = calloc(1, sizeof(*b->order));
    REQUIRE(b->order != NULL);
    read_chain(b, c, NULL, build_get(b->root, "plugins"), SLICE("plugins"), SLICE("global"), NULL);
    mark_in_routes(b, c);
    add_chain(b, c);
}

void build_route_chain(struct build *b, struct route *route)
{
    const struct conf *list = build_get(route->place, "plugins");
    const struct chain *global = &b->s->global;
    struct chain *c = &route->chain;

    *c = *global; /* its index too: what has the same functions is one chain */
    c->answers = false;
    if (build_count(list) == 0)
        return;
    struct slice scope = arena_printf(b->a, "route:%.*s", SLICE_ARG(route->name));
    read_chain(b, c, global, list, PATH(b, "routes[%u].plugins", route->index), scope, route);
    for (uint32_t i = global->n; i < c->n; i++)
        check_hooks(b, c->uses[i]);
    mark_in_routes(b, c);
    add_chain(b, c);
}

static void read_consumer_chain(struct build *b, struct consumer *consumer, struct chain *none)
{
    const struct conf *list = build_get(consumer->place, "plugins");
    struct chain *c = &consumer->chain;

    *c = *none;
    if (build_count(list) == 0)
        return;
    struct slice scope = arena_printf(b->a, "consumer:%.*s", SLICE_ARG(consumer->name));
    read_chain(b, c, NULL, list, PATH(b, "consumers[%u].plugins", consumer->index), scope, NULL);
    for (uint32_t i = 0; i < c->n; i++) {
        check_hooks(b, c->uses[i]);
        check_after_routes(b, c->uses[i]);
    }
    add_chain(b, c);
}

/* A consumer's credentials stand under the names of plugins. Those that can be used are put into `kinds`. */
static void check_kinds(struct build *b, const struct consumer *c, struct map *kinds)
{
    for (size_t i = 0; c->credentials && i < c->credentials->n; i++) {
        struct slice kind = c->credentials->pairs[i].key;
        if (map_find(kinds, kind))
            continue;
        struct slice why = b->host->ops->missing(b->host, kind, b->a);
        if (why.ptr)
            fault_at_key(b->faults, c->credentials, kind,
                         PATH(b, "consumers[%u].credentials.%.*s", c->index, SLICE_ARG(kind)),
                         "%.*s", SLICE_ARG(why));
        else
            map_set(kinds, kind, (void *)(uintptr_t)c);
    }
}

static void check_credentials(struct build *b)
{
    const struct plugin_host_ops *ops = b->host ? b->host->ops : NULL;
    struct map_entry *e;
    struct map kinds;
    size_t at = 0;

    if (!ops || !ops->missing)
        return;
    map_init(&kinds);
    for (uint32_t i = 0; i < b->s->nconsumers; i++)
        check_kinds(b, b->s->consumers[i], &kinds);
    while (ops->credentials && (e = map_next(&kinds, &at)))
        ops->credentials(b->host, e->key, b->faults);
    map_deinit(&kinds);
}

void build_consumer_chains(struct build *b)
{
    struct chain *none = arena_zero(b->a, sizeof(*none));

    add_chain(b, none); /* of consumers without plugins */
    check_credentials(b);
    for (uint32_t i = 0; i < b->s->nconsumers; i++)
        read_consumer_chain(b, b->s->consumers[i], none);
}

static void *moved(struct arena *a, const void *items, size_t bytes)
{
    void *copy = arena_alloc(a, bytes);

    return bytes ? memcpy(copy, items, bytes) : copy;
}

void build_plugins_end(struct build *b)
{
    struct snapshot *s = b->s;

    s->nuses = (uint32_t)b->uses.n;
    s->uses = moved(b->a, b->uses.items, b->uses.n * sizeof(s->uses[0]));
    s->nchains = (uint32_t)b->chains.n;
    s->chains = moved(b->a, b->chains.items, b->chains.n * sizeof(s->chains[0]));
    s->upstreams = moved(b->a, b->upstreams.items, b->upstreams.n * sizeof(s->upstreams[0]));
    vec_free(&b->uses);
    vec_free(&b->chains);
    vec_free(&b->upstreams);
    if (!b->order)
        return;
    vec_free(&b->order->kinds);
    vec_free(&b->order->kind_of);
    free(b->order->after);
    free(b->order->in_routes);
    free(b->order);
}
