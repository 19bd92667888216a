/* SPDX-License-Identifier: Apache-2.0 */

/* The Kafka clusters of the configuration. Their producers belong to the process (side/kafka.h), which finds them again
 * after a reload by what stands here. */

#include "base/map.h"
#include "gate/conf_scalar.h"
#include "gate/snapshot_build.h"
#include "net/addr.h"
#include "side/kafka_cluster.h"

#define PORT 9092

struct reading {
    struct build *b;
    const struct conf *item; /* the cluster */
    const struct conf *options;
    uint32_t index;
    const struct conf_pair **pairs; /* of each option that is read */
    struct kafka_option *items;
    size_t n;
    bool is_faulty;
};

/* --- brokers ---------------------------------------------------------------------------------- */

/* librdkafka would take a comma, a scheme or a space for something else. */
static bool is_host(struct slice host)
{
    for (size_t i = 0; i < host.len; i++)
        if (host.ptr[i] <= ' ' || host.ptr[i] == ',' || host.ptr[i] == '/')
            return false;
    return host.len > 0;
}

/* "host:port,host:port", NUL-terminated. Absent with a fault. */
static struct slice read_brokers(struct reading *r)
{
    const struct conf *list = build_get(r->item, "brokers");
    struct slice all = SLICE("");
    uint16_t port;

    for (uint32_t i = 0; i < build_count(list); i++) {
        struct slice text = build_text(list->items[i]), host;
        if (!text.ptr)
            return SLICE_NONE;
        if (addr_split(text, &host, &port) < 0 || !is_host(host)) {
            fault_at(r->b->faults, list->items[i], PATH(r->b, "kafka[%u].brokers[%u]", r->index, i),
                     "%.*s is not host:port, such as 127.0.0.1:9092",
                     SLICE_ARG(conf_shown(list->items[i], r->b->faults->arena)));
            return SLICE_NONE;
        }
        bool is_v6 = slice_find_char(host, ':') >= 0;
        all = arena_printf(r->b->a, "%.*s%s%s%.*s%s:%u", SLICE_ARG(all), all.len ? "," : "",
                           is_v6 ? "[" : "", SLICE_ARG(host), is_v6 ? "]" : "", port ? port : PORT);
    }
    if (list && all.len == 0)
        fault_at(r->b->faults, list, PATH(r->b, "kafka[%u].brokers", r->index), "names no broker");
    return all.len ? all : SLICE_NONE;
}

/* --- options ---------------------------------------------------------------------------------- */

static bool is_secret_name(struct slice name)
{
    return slice_find(name, SLICE("password")) >= 0 || slice_find(name, SLICE("secret")) >= 0 ||
           slice_ends(name, SLICE(".pem")) || slice_eq(name, SLICE("sasl.oauthbearer.config"));
}

static void fault_of_option(struct reading *r, const struct conf_pair *pair, const char *text)
{
    struct slice path = PATH(r->b, "kafka[%u].options.%.*s", r->index, SLICE_ARG(pair->key));

    if (kafka_option_is_known(pair->key))
        fault_at(r->b->faults, pair->value, path, "%s", text);
    else
        fault_at_key(r->b->faults, r->options, pair->key, path, "%s", text);
    r->is_faulty = true;
}

static void read_option(struct reading *r, const struct conf_pair *pair)
{
    const struct conf *node = pair->value;
    struct slice value = node->text;

    if (node->is_broken) {
        r->is_faulty = true;
        return;
    }
    if (node->type == CONF_NULL)
        return;
    if (node->type == CONF_MAP || node->type == CONF_LIST) {
        fault_of_option(r, pair, "is a text or a number, as librdkafka takes it");
        return;
    }
    if (kafka_option_is_file(pair->key) && !slice_eq(value, SLICE("probe"))) {
        value = conf_resolve(node->file->dir, value, r->b->a);
        faults_saw(r->b->faults, value.ptr, false);
    }
    r->pairs[r->n] = pair;
    r->items[r->n++] = (struct kafka_option){
        .name = pair->key,
        .value = value,
        .is_hidden = node->is_open || node->is_from_env || is_secret_name(pair->key),
    };
}

static void read_options(struct reading *r)
{
    const struct conf *map = r->options;

    if (!map)
        return;
    if (map->type != CONF_MAP) {
        fault_at(r->b->faults, map, PATH(r->b, "kafka[%u].options", r->index),
                 "is a map, such as { compression.type: zstd }");
        r->is_faulty = true;
        return;
    }
    r->pairs = arena_alloc(r->b->a, map->n * sizeof(r->pairs[0]));
    r->items = arena_alloc(r->b->a, map->n * sizeof(r->items[0]));
    for (size_t i = 0; i < map->n; i++)
        read_option(r, &map->pairs[i]);
}

static void fault_of_token(struct reading *r, const char *text)
{
    const struct conf *node = build_get(r->item, "token_file");
    struct slice path = PATH(r->b, "kafka[%u].token_file", r->index);

    if (node)
        fault_at(r->b->faults, node, path, "%.*s: %s", SLICE_ARG(node->text), text);
    else
        fault_at(r->b->faults, r->item, path, "%s", text);
}

static void on_fault(void *arg, ssize_t option, const char *text)
{
    struct reading *r = arg;

    if (option >= 0)
        fault_of_option(r, r->pairs[option], text);
    else if (option == KAFKA_FAULT_TOKEN)
        fault_of_token(r, text);
    else
        fault_at(r->b->faults, r->options ? r->options : r->item,
                 PATH(r->b, "kafka[%u].options", r->index), "librdkafka says: %s", text);
}

/* --- clusters --------------------------------------------------------------------------------- */

static void read_cluster(struct build *b, const struct conf *item, struct slice name,
                         uint32_t index)
{
    struct reading r = {
        .b = b, .item = item, .options = build_get(item, "options"), .index = index};
    const struct conf *token = build_get(item, "token_file");
    struct slice brokers = read_brokers(&r), file = build_text(token);

    read_options(&r);
    struct kafka_cluster_source source = {
        .name = name,
        .brokers = brokers.ptr ? brokers : SLICE(""),
        .token_file = file.ptr ? conf_resolve(token->file->dir, file, b->a) : SLICE_NONE,
        .options = r.items,
        .noptions = r.n,
    };
    struct kafka_cluster *c = kafka_cluster_new(&source, on_fault, &r);
    if (!c)
        return;
    if (r.is_faulty || !brokers.ptr)
        kafka_cluster_unref(c);
    else
        b->s->kafka[b->s->nkafka++] = (struct kafka_conf){.name = name, .cluster = c};
}

void build_kafka(struct build *b)
{
    const struct conf *list = build_get(b->root, "kafka");
    uint32_t n = build_count(list);
    struct map names;

    map_init(&names);
    b->s->kafka = arena_zero(b->a, n * sizeof(b->s->kafka[0]));
    for (uint32_t i = 0; i < n; i++) {
        const struct conf *item = list->items[i];
        struct slice name = build_text(build_get(item, "name"));
        if (name.ptr && item->type == CONF_MAP &&
            build_name(b, &names, item, name, PATH(b, "kafka[%u].name", i)))
            read_cluster(b, item, name, i);
    }
    map_deinit(&names);
}

struct kafka_cluster *snapshot_kafka(const struct snapshot *s, struct slice name)
{
    for (uint32_t i = 0; i < s->nkafka; i++)
        if (slice_eq(s->kafka[i].name, name))
            return s->kafka[i].cluster;
    return NULL;
}
