/* SPDX-License-Identifier: Apache-2.0 */

/* The paths of all routes as one tree by segments, with a root per host. The literal children of
 * nodes lie in one hash table that all nodes share, (parent, segment) -> child; an only child and
 * the {name} child hang at the node. Built once, then immutable. */

#ifndef DML_GATE_PATH_TREE_H
#define DML_GATE_PATH_TREE_H

#include "base/arena.h"
#include "base/slice.h"
#include "gate/route.h"

struct path_tree;

/* A route as the leaf of a pattern, with all that a match asks of either: one cache line. */
struct candidate {
    const struct route *route;
    const struct route_path *path; /* NULL: a route without paths */
    uint64_t methods;              /* the route's */
    uint64_t param_bits;           /* which segments are {name}, the first is bit 0 */
    uint32_t nheaders;             /* the route's */
    uint16_t depth;                /* segments before {name...} or the star */
    bool is_http;                  /* the route's: it takes no request that came by https */
    bool is_regex;                 /* the path's kind */
    bool is_rest;                  /* {name...} */
    bool is_last;                  /* of its group */
    char unused[22];
};

_Static_assert(sizeof(struct candidate) == CACHE_LINE, "a match asks for one line of it");

/* Candidates that one place of the tree has, in the order in which they are asked. */
struct candidates {
    struct candidate *items;
    uint32_t n;
};

/* What the candidates of a route have in common. */
struct candidate candidate_of(const struct route *route);

/* Methods before none, then more headers, then one for http alone; then, where no request can have both, OPTIONS before
 * other methods (whose preflights a route may take), and the order of the file. */
int candidate_compare(const void *a, const void *b);

struct path_tree *path_tree_new(struct arena *a);
void path_tree_deinit(struct path_tree *t); /* what is not in the arena */

uint32_t path_tree_root(struct path_tree *t);

/* A pattern, not a regular expression. */
void path_tree_add(struct path_tree *t, uint32_t root, const struct route *route,
                   const struct route_path *path);

/* After the last add: orders the candidates, and shows each group to `look` (which must not change
 * them), e.g. to find ties. */
void path_tree_finish(struct path_tree *t, void (*look)(void *arg, const struct candidates *group),
                      void *arg);

/* Offers the candidates whose pattern takes the path, the first in precedence first, until `take`
 * says true; then returns that one, else NULL. path begins with a slash. No allocation. */
typedef bool (*candidate_fn)(void *arg, const struct candidate *c);
const struct candidate *path_tree_match(const struct path_tree *t, uint32_t root, struct slice path,
                                        candidate_fn take, void *arg);

/* The parameters of c as they stand in the path that it took; returns how many. */
uint32_t candidate_params(const struct candidate *c, struct slice path, struct slice *out);

#endif
