/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration as the gateway uses it: immutable, in one arena, counted. Built from a checked conf tree on the
 * control or builder thread; the worker's view of it (functions of hooks, balancers) is struct plan in gateway.h. */

#ifndef DML_GATE_SNAPSHOT_H
#define DML_GATE_SNAPSHOT_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/map.h"
#include "gate/conf.h"
#include "gate/phase.h"
#include "gate/route.h"
#include "gate/router.h"
#include "gate/upstream.h"
#include "http/message.h"
#include "net/addr.h"
#include "net/dns.h"
#include "side/spill.h"

struct kafka_cluster;
struct redis_server;
struct tls_server;

struct listener_conf {
    struct slice text; /* as written */
    struct addr addr;
    uint32_t index;
    const struct conf *place;
    struct tls_server *tls; /* a reference; NULL = plain */
    bool proxy_protocol;
};

/* A certificate that the configuration names. */
struct certificate_conf {
    struct slice file; /* as written */
    int64_t not_after; /* seconds since 1970 */
    uint64_t print;    /* of it and its key */
};

struct store_conf {
    struct slice name;
    uint64_t bytes;
};

/* A Redis server that plugins may name. */
struct redis_conf {
    struct slice name;
    struct redis_server *server; /* a reference */
};

/* A Kafka cluster that plugins may name. */
struct kafka_conf {
    struct slice name;
    struct kafka_cluster *cluster; /* a reference */
};

struct consumer {
    struct slice name;
    struct chain chain; /* its plugins, or empty */
    uint32_t index;     /* in the file's list */
    uint32_t ngroups;
    struct slice *groups;
    const struct conf *credentials; /* map: plugin name -> list */
    const struct conf *place;
};

/* Index of a record that is in no snapshot (any more). */
#define CONSUMER_GONE UINT32_MAX

struct snapshot {
    struct arena *arena;
    atomic_int refs;
    uint64_t version; /* 1, 2, ... in this process */
    struct slice id;  /* hash of the text and the certificates, for people */
    struct conf *conf;

    int workers;       /* resolved: never 0 */
    struct slice user; /* NUL-terminated; absent = stay */
    enum log_level log_level;
    enum log_format log_format;
    uint32_t drain_delay_ms, drain_timeout_ms;
    bool watch;
    struct conf_seen *seen; /* what it was made of */
    size_t nseen;

    struct listener_conf *listeners;
    uint32_t nlisteners;
    struct certificate_conf *certificates;
    uint32_t ncertificates;
    struct slice admin_address, admin_token; /* absent = off */
    struct addr admin_addr;

    struct http_limits limits;
    uint64_t request_body, buffered_body; /* defaults; routes have theirs */
    uint32_t log_timeout_ms;
    uint32_t connections;

    uint32_t script_time_budget_ms, script_hang_timeout_ms;
    uint64_t script_memory;
    struct store_conf *stores;
    uint32_t nstores;
    struct redis_conf *redis;
    uint32_t nredis;
    struct kafka_conf *kafka;
    uint32_t nkafka;
    struct slice spill_dir; /* NUL-terminated; absent: there is no spill */
    struct spill_options spill;
    uint64_t metrics_max_series;
    struct dns_options dns;
    struct cidr *outbound_deny;
    uint32_t noutbound_deny;
    struct cidr *trusted_proxies;
    uint32_t ntrusted_proxies;
    bool trusts_unix; /* "unix:" is one of them: peers on unix sockets */
    struct slice *plugin_path;
    uint32_t nplugin_path;

    struct upstream **upstreams; /* inline ones too */
    uint32_t nupstreams;
    struct map upstreams_by_name;
    struct plugin_use **uses;
    uint32_t nuses;
    struct chain **chains; /* every chain, by its index */
    uint32_t nchains;
    struct chain global;   /* the global plugins alone: rewrite, and requests that have no route */
    struct route **routes; /* in file order */
    uint32_t nroutes;
    struct map routes_by_key;
    struct router *router;
    struct consumer **consumers;
    uint32_t nconsumers;
    struct map consumers_by_name;
};

/* What a snapshot is built from and with. */
struct snapshot_source {
    const char *path;  /* file, or */
    struct slice text; /* text, with name and dir */
    const char *name, *dir;
    int workers; /* overrides the file when > 0 */
    /* It is for a gateway that goes on where another was: a certificate's dates are then no reason to serve nothing
     * at all, and a warning. */
    bool goes_on;
    /* Called once settings, named upstreams and consumers (without chains) are read, before the first plugin is
     * checked; NULL or returning NULL = no plugins known. It lives until snapshot_load returns. */
    struct plugin_host *(*plugin_host)(void *arg, const struct snapshot *partly);
    void *arg;
};

/* Loads, checks, builds: everything that `run` would. On faults NULL, and all of them are in *faults, whose arena then
 * keeps what they point at. Warnings of a good one point into the snapshot: print them before it is given up. Takes
 * references on targets and upstream_lives. */
struct snapshot *snapshot_load(const struct snapshot_source *source, struct faults *faults);

/* Does its text name any plugin, be it for its credentials? Also of one that is being built. */
bool snapshot_names_plugins(const struct snapshot *s);

struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s);

struct upstream *snapshot_upstream(const struct snapshot *s, struct slice name);
struct route *snapshot_route(const struct snapshot *s, struct slice key);
struct redis_server *snapshot_redis(const struct snapshot *s, struct slice name);
struct kafka_cluster *snapshot_kafka(const struct snapshot *s, struct slice name);
struct consumer *snapshot_consumer(const struct snapshot *s, struct slice name);

#endif
