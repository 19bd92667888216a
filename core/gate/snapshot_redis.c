/* SPDX-License-Identifier: Apache-2.0 */

/* The Redis servers of the configuration. Their connections belong to the workers (side/redis.h), who find them again
 * after a reload by what stands here. */

#include "base/map.h"
#include "gate/conf_keys.h"
#include "gate/snapshot_build.h"
#include "net/tls_client.h"
#include "side/redis_server.h"

static struct redis_options read_options(const struct conf *c, struct slice name)
{
    return (struct redis_options){
        .name = name,
        .connect_timeout_ms = (uint32_t)conf_duration_ms(c, "redis", "connect_timeout"),
        .timeout_ms = (uint32_t)conf_duration_ms(c, "redis", "timeout"),
        .pool_size = (uint32_t)conf_int(c, "redis", "pool_size"),
        .max_pending = (uint32_t)conf_int(c, "redis", "max_pending"),
        .max_reply = conf_size(c, "redis", "max_reply"),
    };
}

/* False with a fault. *out: a reference, or NULL where the URL does not ask for TLS. */
static bool read_tls(struct build *b, const struct conf *item, const struct redis_url *url,
                     uint32_t index, struct tls_client **out)
{
    const struct conf *tls = build_get(item, "tls");

    *out = NULL;
    if (!url->is_tls && tls) {
        fault_at(b->faults, tls, PATH(b, "redis[%u].tls", index),
                 "is used with a URL that begins with rediss:// only");
        return false;
    }
    if (!url->is_tls || (tls && tls->type != CONF_MAP))
        return true;
    *out = build_upstream_tls(b, tls, PATH(b, "redis[%u].tls", index));
    return *out != NULL;
}

static void read_server(struct build *b, const struct conf *item, struct slice name, uint32_t index)
{
    const struct conf *node = build_get(item, "url");
    struct slice text = build_text(node);
    struct tls_client *tls;
    struct redis_url url;

    if (!text.ptr)
        return;
    const char *wrong = redis_url_parse(text, &url);
    if (wrong) {
        fault_at(b->faults, node, PATH(b, "redis[%u].url", index), "%s", wrong);
        return;
    }
    if (!read_tls(b, item, &url, index, &tls))
        return;
    struct redis_options options = read_options(item, name);
    b->s->redis[b->s->nredis++] = (struct redis_conf){
        .name = name,
        .server = redis_server_new(&url, &options, tls,
                                   build_text(build_get(build_get(item, "tls"), "sni"))),
    };
    tls_client_unref(tls);
}

void build_redis(struct build *b)
{
    const struct conf *list = build_get(b->root, "redis");
    uint32_t n = build_count(list);
    struct map names;

    map_init(&names);
    b->s->redis = arena_zero(b->a, n * sizeof(b->s->redis[0]));
    for (uint32_t i = 0; i < n; i++) {
        const struct conf *item = list->items[i];
        struct slice name = build_text(build_get(item, "name"));
        if (name.ptr && item->type == CONF_MAP &&
            build_name(b, &names, item, name, PATH(b, "redis[%u].name", i)))
            read_server(b, item, name, i);
    }
    map_deinit(&names);
}
