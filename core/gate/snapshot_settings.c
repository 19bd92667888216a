/* SPDX-License-Identifier: Apache-2.0 */

/* Everything of the configuration that is a number, an address or a list of them. */

#include <pwd.h>

#include "base/err.h"
#include "gate/cgroup.h"
#include "gate/conf_keys.h"
#include "gate/conf_scalar.h"
#include "gate/snapshot_build.h"
#include "side/store.h"

#define DNS_NEGATIVE_TTL_MS 5000
#define DNS_TIMEOUT_MS 5000
#define DNS_ENTRIES 10000
#define DEFAULT_STORE (64 * MIB)
#define DEFAULT_MARKS (32 * MIB)
#define SCRIPT_MEMORY_LEAST (16 * MIB)

static void read_workers(struct build *b)
{
    const struct conf *node = build_get(b->root, "workers");

    if (b->source->workers > 0)
        b->s->workers = b->source->workers;
    else if (node && node->type == CONF_INT)
        b->s->workers = (int)conf_int(b->root, "root", "workers");
    else
        b->s->workers = cgroup_cpus("");
}

static void read_user(struct build *b)
{
    const struct conf *node = build_get(b->root, "user");
    struct slice name = build_text(node);
    struct passwd entry, *found = NULL;
    char mem[16 * KIB];

    if (!name.len)
        return;
    if (getpwnam_r(name.ptr, &entry, mem, sizeof(mem), &found) == 0 && !found)
        fault_at(b->faults, node, SLICE("user"), "this machine has no user \"%s\"", name.ptr);
    b->s->user = name;
}

static void read_log_and_drain(struct build *b)
{
    const struct conf *log = build_get(b->root, "log"), *drain = build_get(b->root, "drain");
    int level = log_level_parse(conf_text(log, "log", "level"));

    b->s->log_level = level < 0 ? LOG_INFO : (enum log_level)level;
    b->s->log_format =
        slice_eq(conf_text(log, "log", "format"), SLICE("text")) ? LOG_TEXT : LOG_JSON;
    b->s->watch = conf_bool(b->root, "root", "watch");
    b->s->drain_delay_ms = (uint32_t)conf_duration_ms(drain, "drain", "delay");
    b->s->drain_timeout_ms = (uint32_t)conf_duration_ms(drain, "drain", "timeout");
}

/* --- addresses -------------------------------------------------------------------------------- */

/* "localhost" is the one name that is an address wherever it stands: IPv4's. */
static int parse_address(struct build *b, struct slice text, struct addr *out)
{
    if (slice_starts(text, SLICE("localhost:")))
        text = arena_printf(b->a, "127.0.0.1%.*s", (int)(text.len - 9), text.ptr + 9);
    int rc = addr_parse(text, out);
    if (rc == 0)
        addr_unmap(out); /* a socket of IPv6 takes no IPv4 */
    return rc;
}

const char *build_unix_fault(struct slice text, int err)
{
    if (err == ERR_RANGE)
        return "the path of a unix socket has at most 107 bytes";
    return slice_starts(text, SLICE("unix:@"))
               ? "abstract sockets have no permissions and are not supported: give a path, such as "
                 "unix:/run/demilune.sock"
               : "a unix socket needs an absolute path, such as unix:/run/demilune.sock";
}

static const char *address_fault(struct slice text, int err)
{
    if (addr_has_zone(text))
        return ADDR_ZONE_FAULT;
    if (!slice_starts(text, SLICE("unix:")))
        return "no address with a port, such as 127.0.0.1:8080 or [::1]:8080";
    return build_unix_fault(text, err);
}

/* Two addresses at which one connection could arrive. */
static bool do_collide(struct build *b, const struct conf *node, struct slice path,
                       const struct addr *a, const struct addr *other, struct slice other_text)
{
    if (addr_eq(a, other) && (addr_is_unix(a) || addr_port(a)))
        fault_at(b->faults, node, path, "another listener has this address");
    else if (addr_covers(a, other) || addr_covers(other, a))
        fault_at(b->faults, node, path,
                 "another listener has %.*s: one of the two addresses stands for the other, too",
                 SLICE_ARG(other_text));
    else
        return false;
    return true;
}

static void read_listener(struct build *b, const struct conf *item, uint32_t i)
{
    struct snapshot *s = b->s;
    struct listener_conf *l = &s->listeners[s->nlisteners];
    const struct conf *node = build_get(item, "address");

    *l = (struct listener_conf){
        .text = build_text(node),
        .index = s->nlisteners,
        .place = item,
        .proxy_protocol = conf_bool(item, "listener", "proxy_protocol"),
    };
    if (!l->text.ptr)
        return;
    struct slice path = PATH(b, "listeners[%u].address", i);
    int err = parse_address(b, l->text, &l->addr);
    if (err < 0) {
        fault_at(b->faults, node, path, "%s", address_fault(l->text, err));
        return;
    }
    for (uint32_t j = 0; j < s->nlisteners; j++)
        if (do_collide(b, node, path, &l->addr, &s->listeners[j].addr, s->listeners[j].text))
            return;
    s->nlisteners++;
    l->tls = build_listener_tls(b, l, i);
}

static void read_listeners(struct build *b)
{
    const struct conf *list = build_get(b->root, "listeners");
    uint32_t n = build_count(list);

    b->s->listeners = arena_zero(b->a, n * sizeof(b->s->listeners[0]));
    for (uint32_t i = 0; i < n; i++)
        read_listener(b, list->items[i], i);
    if (n == 0)
        warn_at(b->faults, b->root, SLICE("listeners"), "no client can connect: there are none");
}

static void read_admin(struct build *b)
{
    struct snapshot *s = b->s;
    const struct conf *admin = build_get(b->root, "admin");
    const struct conf *node = build_get(admin, "address");
    const struct conf *token = conf_get(admin, SLICE("token"));
    struct slice text = build_text(node);

    /* A ${} that comes out empty is nothing to YAML, but somebody meant to protect this. */
    if (token && !token->is_broken && token->text.len == 0 &&
        (token->type == CONF_STRING || token->is_open))
        fault_at(b->faults, token, SLICE("admin.token"), "an empty token protects nothing");
    s->admin_token = build_text(build_get(admin, "token"));
    if (!text.ptr)
        return;
    struct slice path = SLICE("admin.address");
    int err = parse_address(b, text, &s->admin_addr);
    if (err < 0)
        fault_at(b->faults, node, path, "%s", address_fault(text, err));
    for (uint32_t i = 0; i < s->nlisteners; i++)
        if (do_collide(b, node, path, &s->admin_addr, &s->listeners[i].addr, s->listeners[i].text))
            break;
    s->admin_address = text;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void read_limits(struct build *b)
{
    const struct conf *limits = build_get(b->root, "limits");
    struct snapshot *s = b->s;

    s->limits = (struct http_limits){
        .request_line = (uint32_t)conf_size(limits, "limits", "request_line"),
        .request_head = (uint32_t)conf_size(limits, "limits", "request_head"),
        .headers = (uint32_t)conf_int(limits, "limits", "headers"),
        .header_timeout_ms = (uint32_t)conf_duration_ms(limits, "limits", "header_timeout"),
        .body_timeout_ms = (uint32_t)conf_duration_ms(limits, "limits", "body_timeout"),
        .idle_timeout_ms = (uint32_t)conf_duration_ms(limits, "limits", "idle_timeout"),
    };
    s->request_body = conf_size(limits, "limits", "request_body");
    s->buffered_body = conf_size(limits, "limits", "buffered_body");
    s->log_timeout_ms = (uint32_t)conf_duration_ms(limits, "limits", "log_timeout");
    s->connections = (uint32_t)conf_int(limits, "limits", "connections");
}

static void read_script(struct build *b)
{
    const struct conf *script = build_get(b->root, "script");
    const struct conf *metrics = build_get(b->root, "metrics");

    b->s->script_time_budget_ms = (uint32_t)conf_duration_ms(script, "script", "time_budget");
    b->s->script_hang_timeout_ms = (uint32_t)conf_duration_ms(script, "script", "hang_timeout");
    b->s->metrics_max_series = (uint64_t)conf_int(metrics, "metrics", "max_series");
}

static void put_store(struct build *b, struct slice name, uint64_t bytes)
{
    b->s->stores[b->s->nstores++] = (struct store_conf){.name = name, .bytes = bytes};
}

/* Two are always there: who adds a store of his own does not take the plugins theirs away. */
static void read_stores(struct build *b)
{
    const struct conf *list = build_get(b->root, "stores");
    uint32_t n = build_count(list);
    struct map names;

    map_init(&names);
    b->s->stores = arena_zero(b->a, (n + 2) * sizeof(b->s->stores[0]));
    for (uint32_t i = 0; i < n; i++) {
        const struct conf *item = list->items[i];
        struct slice name = build_text(build_get(item, "name"));
        if (name.ptr && build_name(b, &names, item, name, PATH(b, "stores[%u].name", i)))
            put_store(b, name, conf_size(item, "store", "size"));
    }
    if (!map_find(&names, SLICE("default")))
        put_store(b, SLICE("default"), DEFAULT_STORE);
    if (!map_find(&names, SLICE(STORE_MARKS)))
        put_store(b, SLICE(STORE_MARKS), DEFAULT_MARKS);
    map_deinit(&names);
}

/* Lua's share of a memory limit: half of it, without the stores, over all workers. The other half is for connections, bodies
 * and kept responses. A plugin that wants more then gets an error, and the process is not killed. */
static void read_script_memory(struct build *b)
{
    const struct conf *script = build_get(b->root, "script"), *node = build_get(script, "memory");
    uint64_t memory = conf_size(script, "script", "memory"), limit = cgroup_memory(""), stores = 0;

    for (uint32_t i = 0; i < b->s->nstores; i++)
        stores += b->s->stores[i].bytes;
    uint64_t workers = (uint64_t)b->s->workers;
    uint64_t share = limit / 2 > stores ? (limit / 2 - stores) / workers : 0;
    if (limit && !node)
        memory = MIN(memory, MAX(share, SCRIPT_MEMORY_LEAST));
    else if (limit && memory * workers + stores > limit)
        warn_at(
            b->faults, node, SLICE("script.memory"),
            "%d workers with so much, and the stores, are more than the %.0f MiB that this process may have",
            b->s->workers, (double)limit / MIB);
    b->s->script_memory = memory;
}

/* --- lists ------------------------------------------------------------------------------------ */

static void read_dns(struct build *b)
{
    const struct conf *dns = build_get(b->root, "dns"), *list = build_get(dns, "servers");
    uint32_t n = build_count(list), used = 0;
    const char **servers = arena_zero(b->a, n * sizeof(servers[0]));
    struct addr addr;

    for (uint32_t i = 0; i < n; i++) {
        struct slice text = build_text(list->items[i]);
        if (!text.ptr)
            continue;
        bool is_address = addr_parse_ip(text, 53, &addr) == 0 || addr_parse(text, &addr) == 0;
        if (!is_address || addr_is_unix(&addr))
            fault_at(b->faults, list->items[i], PATH(b, "dns.servers[%u]", i), "%s",
                     addr_has_zone(text)
                         ? ADDR_ZONE_FAULT
                         : "no address of a name server, such as 10.0.0.2 or 10.0.0.2:53");
        else
            servers[used++] = text.ptr;
    }
    b->s->dns = (struct dns_options){
        .servers = servers,
        .nservers = used,
        .min_ttl_ms = (uint32_t)conf_duration_ms(dns, "dns", "min_ttl"),
        .max_ttl_ms = (uint32_t)conf_duration_ms(dns, "dns", "max_ttl"),
        .negative_ttl_ms = DNS_NEGATIVE_TTL_MS,
        .timeout_ms = DNS_TIMEOUT_MS,
        .max_entries = DNS_ENTRIES,
    };
    if (b->s->dns.min_ttl_ms > b->s->dns.max_ttl_ms)
        fault_at(b->faults, dns, SLICE("dns.min_ttl"), "is longer than max_ttl");
}

/* *unix_too becomes true when "unix:" is among them; NULL: it may not be. */
static uint32_t read_networks(struct build *b, const struct conf *list, const char *path,
                              struct cidr **out, bool *unix_too)
{
    uint32_t n = build_count(list), used = 0;

    *out = arena_zero(b->a, n * sizeof(**out));
    for (uint32_t i = 0; i < n; i++) {
        struct slice text = build_text(list->items[i]);
        if (!text.ptr)
            continue;
        if (unix_too && slice_eq(text, SLICE("unix:")))
            *unix_too = true;
        else if (cidr_parse(text, &(*out)[used]) == 0)
            used++;
        else
            fault_at(b->faults, list->items[i], PATH(b, "%s[%u]", path, i),
                     "no address or network, such as 10.0.0.0/8 or fd00::/8");
    }
    return used;
}

static void read_trust(struct build *b)
{
    struct snapshot *s = b->s;

    s->ntrusted_proxies = read_networks(b, build_get(b->root, "trusted_proxies"), "trusted_proxies",
                                        &s->trusted_proxies, &s->trusts_unix);
    for (uint32_t i = 0; i < s->nlisteners; i++) {
        const struct listener_conf *l = &s->listeners[i];
        bool can_be_trusted = addr_is_unix(&l->addr) ? s->trusts_unix : s->ntrusted_proxies > 0;
        if (l->proxy_protocol && !can_be_trusted)
            fault_at(
                b->faults, build_get(l->place, "proxy_protocol"),
                PATH(b, "listeners[%u].proxy_protocol", i),
                "nobody could connect: PROXY headers are believed from trusted_proxies only, and "
                "there %s",
                addr_is_unix(&l->addr) ? "is no unix: among them" : "are none");
    }
}

static void read_outbound(struct build *b)
{
    static const char *const usual[] = {"169.254.0.0/16", "fe80::/10"};
    const struct conf *deny = build_get(build_get(b->root, "outbound"), "deny");
    struct snapshot *s = b->s;

    if (deny) {
        s->noutbound_deny = read_networks(b, deny, "outbound.deny", &s->outbound_deny, NULL);
        return;
    }
    s->outbound_deny = arena_zero(b->a, sizeof(s->outbound_deny[0]) * COUNT_OF(usual));
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        REQUIRE(cidr_parse(slice_from(usual[i]), &s->outbound_deny[s->noutbound_deny++]) == 0);
}

static void read_plugin_path(struct build *b)
{
    const struct conf *list = build_get(b->root, "plugin_path");
    uint32_t n = build_count(list);

    b->s->plugin_path = arena_zero(b->a, n * sizeof(b->s->plugin_path[0]));
    for (uint32_t i = 0; i < n; i++) {
        struct slice text = build_text(list->items[i]);
        if (text.len)
            b->s->plugin_path[b->s->nplugin_path++] =
                conf_resolve(list->items[i]->file->dir, text, b->a);
    }
}

/* --- the spill -------------------------------------------------------------------------------- */

static enum spill_fsync fsync_of(struct slice word)
{
    if (slice_eq(word, SLICE("always")))
        return SPILL_ALWAYS;
    return slice_eq(word, SLICE("never")) ? SPILL_NEVER : SPILL_INTERVAL;
}

static void read_spill(struct build *b)
{
    const struct conf *spill = build_get(b->root, "spill");
    const struct conf *dir = build_get(spill, "dir");
    struct slice path = build_text(dir);

    if (!path.len)
        return;
    b->s->spill_dir = conf_resolve(dir->file->dir, path, b->a);
    b->s->spill = (struct spill_options){
        .size = (uint64_t)conf_size(spill, "spill", "size"),
        .fsync = fsync_of(conf_text(spill, "spill", "fsync")),
        .topic_patience_ms = (uint32_t)conf_duration_ms(spill, "spill", "missing_topic_timeout"),
        .dead_letters_size = (uint64_t)conf_size(spill, "spill", "dead_letters_size"),
        .drops_oldest = slice_eq(conf_text(spill, "spill", "on_full"), SLICE("drop_oldest")),
    };
}

void build_settings(struct build *b)
{
    read_workers(b);
    read_user(b);
    read_log_and_drain(b);
    read_listeners(b);
    read_admin(b);
    read_limits(b);
    read_script(b);
    read_stores(b);
    read_script_memory(b);
    read_dns(b);
    read_outbound(b);
    read_trust(b);
    read_plugin_path(b);
    read_spill(b);
}
