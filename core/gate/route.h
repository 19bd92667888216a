/* SPDX-License-Identifier: Apache-2.0 */

/* What a route is: when it takes a request, and what it does with it. Immutable, in the snapshot's arena. */

#ifndef DML_GATE_ROUTE_H
#define DML_GATE_ROUTE_H

#include "base/base.h"
#include "base/slice.h"
#include "gate/phase.h"

struct conf;
struct regex;
struct route;
struct selector;
struct template;
struct upstream;

/* One place where a plugin is enabled. An instance of it exists in each worker's VM, found by index. */
struct plugin_use {
    struct slice name;
    const struct conf *config; /* checked, or NULL */
    struct slice converted;    /* the same in the plugin host's words: what instances are made of */
    const struct conf *place;  /* the list item, for messages */
    struct slice path;         /* "routes[2].plugins[0]" */
    const struct route *route; /* that it belongs to, or NULL */
    struct slice scope; /* "global", "route:NAME", "consumer:NAME": what its counters belong to */
    uint32_t index;     /* in the snapshot */
    uint32_t hooks;     /* bit per enum phase, told by the plugin host */
    struct hook_time *times;  /* of its hooks (hook_time_of) */
    struct hook_total *total; /* where they count as well */
    bool continues_on_error;  /* on_error: continue */
    bool answers_preflights;  /* CORS preflights end at it */
    bool answers;             /* a route of its own needs nothing else that answers */
};

/* Plugins in the order in which they run. */
struct chain {
    struct plugin_use **uses;
    uint32_t n;
    uint32_t hooks;          /* union of the uses' */
    uint32_t index;          /* of chains in the snapshot: what the plan's functions are found by */
    bool answers_preflights; /* one of the uses does */
    bool answers;            /* the same */
};

enum path_kind { PATH_PATTERN, PATH_REGEX };

struct route_path {
    struct slice text; /* as written */
    struct slice
        pattern; /* its literal parts normalised as request paths are; of a regex what follows "~ " */
    enum path_kind kind;
    const struct regex *regex;
    struct slice *params; /* names, in order; for a regex its named groups */
    uint32_t nparams;
};

struct route_header {
    struct slice name, value;
    bool is_secret; /* the value is never shown */
};

enum route_action {
    ROUTE_PROXY,
    ROUTE_RESPOND,
    ROUTE_REDIRECT,
    ROUTE_PLUGIN, /* one of its plugins answers */
};

struct route {
    /* What a request that is passed on reads of it: the first cache line. Among many routes each line is memory that it has to
     * wait for. */
    struct chain chain;        /* global + route */
    struct upstream *upstream; /* ROUTE_PROXY */
    uint64_t request_body;     /* bytes */
    uint64_t buffered_body;
    uint32_t timeout_ms; /* 0 = none */
    uint32_t body_timeout_ms;
    uint32_t index;
    enum route_action action : 8;
    bool changes_path; /* there is a rewrite or strip_prefix */

    struct slice name;
    struct slice key; /* what it is found by after a reload: its name, or its first host and path */
    const struct conf *place;

    struct slice *hosts; /* lower case; "*.x" = one or more labels; none = any */
    uint32_t nhosts;
    uint32_t npaths;
    struct route_path *paths; /* none = any path */
    struct slice *params;     /* names of the path parameters that all paths have */
    uint32_t nparams;
    uint32_t nheaders;
    struct route_header *headers;
    uint64_t methods; /* bit per enum method; 0 = any; GET includes HEAD already */
    bool is_http;     /* `redirect: https`: takes no request that came by https */

    int status;                     /* ROUTE_RESPOND, ROUTE_REDIRECT */
    const struct template *rewrite; /* or NULL */
    struct slice strip_prefix;      /* or absent */
    struct route_header_template *respond_headers;
    uint32_t nrespond_headers;
    uint32_t log_timeout_ms;
    const struct template *respond_body; /* or NULL */
    const struct template *redirect_to;  /* NULL = the same URL on https */
};

_Static_assert(offsetof(struct route, name) == CACHE_LINE, "what requests read is one line");

/* Index of a record that is in no snapshot (any more). */
#define ROUTE_GONE UINT32_MAX

struct route_header_template {
    struct slice name;
    const struct template *value;
};

#endif
