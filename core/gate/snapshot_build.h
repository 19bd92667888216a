/* SPDX-License-Identifier: Apache-2.0 */

/* The making of a snapshot, seen by the files that share the work: settings, upstreams, plugins,
 * routes. Each reads its part of the checked tree and adds faults for what the table of keys can't
 * know; all go on after a fault, and take what the check has refused as absent. */

#ifndef DML_GATE_SNAPSHOT_BUILD_H
#define DML_GATE_SNAPSHOT_BUILD_H

#include "base/vec.h"
#include "gate/selector.h"
#include "gate/snapshot.h"

struct plugin_order;
struct tls_client;

struct build {
    /* owned */
    VEC(struct plugin_use *) uses;
    VEC(struct chain *) chains;
    VEC(struct upstream *) upstreams;
    struct plugin_order *order;
    /* borrowed */
    struct snapshot *s;
    struct arena *a; /* the snapshot's */
    struct faults *faults;
    const struct snapshot_source *source;
    const struct conf *root;
    struct plugin_host *host; /* or NULL */
};

/* A path for a fault: made only where one is told. */
#define PATH(b, ...) arena_printf((b)->faults->arena, __VA_ARGS__)

/* The text of a scalar that is a good text, else absent. */
struct slice build_text(const struct conf *node);

/* A key's value that is there: NULL for none and for one that says nothing. */
const struct conf *build_get(const struct conf *map, const char *key);

/* A list's length; 0 for what is none. */
uint32_t build_count(const struct conf *list);

/* Names of one kind, each once. False, with a fault, when it was there. */
bool build_name(struct build *b, struct map *names, const struct conf *place, struct slice name,
                struct slice path);

/* "did you mean": the nearest name in the map, as ` did you mean "x"?`, or "". */
const char *build_nearest(struct build *b, const struct map *names, struct slice word);

void build_settings(struct build *b);

/* Why addr_parse has refused the address of a unix socket. */
const char *build_unix_fault(struct slice text, int err);

/* What a listener shows of itself; NULL when it is plain, or with a fault. A reference. */
struct tls_server *build_listener_tls(struct build *b, const struct listener_conf *l,
                                      uint32_t index);

/* tls: the map (whose keys are those of upstream_tls), or NULL for what holds when nothing is said. A reference; NULL with
 * a fault. */
struct tls_client *build_upstream_tls(struct build *b, const struct conf *tls, struct slice path);

void build_redis(struct build *b);

void build_kafka(struct build *b);

void build_upstreams(struct build *b);

/* A route's: a name or a URL. NULL with a fault. */
struct upstream *build_upstream_of(struct build *b, const struct conf *node, uint32_t route);

void build_consumers(struct build *b);

/* Global plugins; then routes' and consumers' may follow. */
void build_global_chain(struct build *b);

void build_route_chain(struct build *b, struct route *route);
void build_consumer_chains(struct build *b);
void build_plugins_end(struct build *b);

void build_routes(struct build *b);

#endif
