/* SPDX-License-Identifier: Apache-2.0 */

/* Precedence (contract, "Which route wins") by the order of the walk. First come patterns that say
 * the whole path: a walk that tries the literal child before the {name} child meets exact text
 * first and then {name}s by segment from the left. Then prefixes: the walk has noted them on its
 * way, and the longest, of equal ones the first met, is asked first. A walk goes back and tries the
 * other branch when nobody at the end of the first one takes the request, for instance because of
 * its method. */

#include "gate/path_tree.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/vec.h"
#include "gate/path_pattern.h"
#include "http/message.h"

#define INLINE_TEXT 18 /* of a segment, kept in the table itself: most are that short */
#define ONLY_TEXT 15
#define IN_TABLE UINT32_MAX
#define PREFIXES_MAX 16 /* noted on one walk; when there are more, the walk is done again */

/* Half a cache line, as a node. */
struct edge {
    uint32_t parent, child; /* child 0 = free: no edge leads to a root */
    uint32_t hash;
    uint16_t len;
    char text[INLINE_TEXT]; /* a longer one: its pointer */
};

/* Half a cache line: what a lookup costs among many routes is memory that it has to wait for, so all tables begin at a line,
 * and large ones lie in large pages where the system has them. Nodes
 * of one pattern lie side by side, so an only literal child, which is the rule below the first
 * segments, is kept here and costs no look into the table. */
struct node {
    uint32_t param;        /* child of {name}, 0 = none */
    uint32_t only;         /* the literal child, when there is one only and its text fits here;
                              0 = there is none; else IN_TABLE */
    uint32_t full, prefix; /* candidates whose pattern or prefix ends here: index + 1, 0 = none */
    uint8_t only_len;
    char only_text[ONLY_TEXT];
};

/* While the tree is built: candidates of a node as a list. */
struct entry {
    struct candidate candidate;
    uint32_t node;
    bool is_prefix;
};

struct path_tree {
    /* owned */
    VEC(struct node) nodes;
    VEC(struct entry) entries;
    struct edge *edges;
    struct candidate *candidates; /* finished: each node's together */
    /* borrowed */
    struct arena *arena;
    /* state */
    uint32_t nedges, mask;
};

_Static_assert(sizeof(struct edge) == CACHE_LINE / 2, "no edge lies in two lines");
_Static_assert(sizeof(struct node) == CACHE_LINE / 2, "no node lies in two lines");

/* --- building --------------------------------------------------------------------------------- */

/* All zero. */
static void *new_table(size_t n, size_t size)
{
    size_t bytes = (n * size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    size_t page = 2 * MIB;
    void *table = NULL;

    REQUIRE(posix_memalign(&table, bytes < page ? CACHE_LINE : page, bytes) == 0);
    if (bytes >= page)
        (void)!madvise(table, bytes / page * page, MADV_HUGEPAGE);
    return memset(table, 0, bytes);
}

static uint32_t new_node(struct path_tree *t)
{
    vec_push(&t->nodes, (struct node){0});
    return (uint32_t)t->nodes.n - 1;
}

struct path_tree *path_tree_new(struct arena *a)
{
    struct path_tree *t = arena_zero(a, sizeof(*t));

    t->arena = a;
    t->mask = 63;
    t->edges = new_table(t->mask + 1, sizeof(t->edges[0]));
    new_node(t); /* number 0 is nobody */
    return t;
}

void path_tree_deinit(struct path_tree *t)
{
    vec_free(&t->nodes);
    vec_free(&t->entries);
    free(t->edges);
    free(t->candidates);
    t->edges = NULL;
    t->candidates = NULL;
}

uint32_t path_tree_root(struct path_tree *t)
{
    return new_node(t);
}

static inline const char *edge_text(const struct edge *e)
{
    const char *text;

    if (e->len <= INLINE_TEXT)
        return e->text;
    memcpy(&text, e->text, sizeof(text));
    return text;
}

static inline struct edge *find_edge(const struct path_tree *t, uint32_t parent, struct slice text,
                                     uint32_t hash)
{
    for (uint32_t i = hash & t->mask;; i = (i + 1) & t->mask) {
        struct edge *e = &t->edges[i];
        if (e->child == 0 || (e->hash == hash && e->parent == parent && e->len == text.len &&
                              memcmp(edge_text(e), text.ptr, text.len) == 0))
            return e;
    }
}

/* The table never changes under traffic and holds what the file says, so no client can make its
 * runs longer: a hash with a key is not needed. */
static inline uint32_t edge_hash(uint32_t parent, struct slice text)
{
    return (uint32_t)hash_stable(text, parent);
}

static void grow_edges(struct path_tree *t)
{
    struct edge *old = t->edges;
    uint32_t size = t->mask + 1;

    t->mask = size * 2 - 1;
    t->edges = new_table(size * 2ul, sizeof(t->edges[0]));
    for (uint32_t i = 0; i < size; i++) {
        struct edge *e = &old[i];
        if (e->child)
            *find_edge(t, e->parent, slice_of(edge_text(e), e->len), e->hash) = *e;
    }
    free(old);
}

static void add_edge(struct path_tree *t, uint32_t parent, struct slice text, uint32_t child)
{
    uint32_t hash = edge_hash(parent, text);

    if ((t->nedges + 1) * 2 > t->mask)
        grow_edges(t);
    struct edge *e = find_edge(t, parent, text, hash);
    *e = (struct edge){.parent = parent, .child = child, .hash = hash, .len = (uint16_t)text.len};
    if (text.len > INLINE_TEXT)
        memcpy(e->text, &text.ptr, sizeof(text.ptr));
    else if (text.len)
        memcpy(e->text, text.ptr, text.len);
    t->nedges++;
}

static inline uint32_t find_child(const struct path_tree *t, uint32_t id, const struct node *node,
                                  struct slice text)
{
    if (node->only == IN_TABLE)
        return find_edge(t, id, text, edge_hash(id, text))->child;
    bool is_it = node->only_len == text.len && memcmp(node->only_text, text.ptr, text.len) == 0;
    return is_it ? node->only : 0;
}

static uint32_t add_literal(struct path_tree *t, uint32_t parent, struct slice text)
{
    uint32_t child = find_child(t, parent, &t->nodes.items[parent], text);

    if (child)
        return child;
    child = new_node(t);
    struct node *node = &t->nodes.items[parent];
    if (node->only == 0 && text.len <= ONLY_TEXT) {
        node->only = child;
        node->only_len = (uint8_t)text.len;
        memcpy(node->only_text, text.ptr, text.len);
        return child;
    }
    if (node->only && node->only != IN_TABLE)
        add_edge(t, parent, slice_of(node->only_text, node->only_len), node->only);
    node->only = IN_TABLE;
    add_edge(t, parent, text, child);
    return child;
}

static uint32_t add_param(struct path_tree *t, uint32_t parent)
{
    if (!t->nodes.items[parent].param) {
        uint32_t child = new_node(t); /* may move the nodes */
        t->nodes.items[parent].param = child;
    }
    return t->nodes.items[parent].param;
}

struct candidate candidate_of(const struct route *route)
{
    return (struct candidate){.route = route,
                              .methods = route->methods,
                              .nheaders = route->nheaders,
                              .is_http = route->is_http};
}

void path_tree_add(struct path_tree *t, uint32_t root, const struct route *route,
                   const struct route_path *path)
{
    struct entry e = {.node = root, .candidate = candidate_of(route)};
    struct slice rest = path->pattern;
    struct segment s;

    e.candidate.path = path;
    while (!e.is_prefix && path_pattern_next(&rest, &s)) {
        if (s.kind == SEGMENT_TEXT) {
            e.node = add_literal(t, e.node, s.text);
        } else if (s.kind == SEGMENT_PARAM) {
            e.candidate.param_bits |= 1ull << e.candidate.depth;
            e.node = add_param(t, e.node);
        } else {
            e.is_prefix = true;
            e.candidate.is_rest = s.kind == SEGMENT_REST;
        }
        e.candidate.depth += !e.is_prefix;
    }
    vec_push(&t->entries, e);
}

int candidate_compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    uint64_t options = UINT64_C(1) << METHOD_OPTIONS;

    if (!x->methods != !y->methods)
        return x->methods ? -1 : 1;
    if (x->nheaders != y->nheaders)
        return x->nheaders > y->nheaders ? -1 : 1;
    if (x->is_http != y->is_http)
        return x->is_http ? -1 : 1;
    if ((x->methods & options) != (y->methods & options))
        return x->methods & options ? -1 : 1;
    return x->route->index < y->route->index ? -1 : x->route->index > y->route->index;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    if (x->is_prefix != y->is_prefix)
        return x->is_prefix ? 1 : -1;
    return candidate_compare(&x->candidate, &y->candidate);
}

/* No more will come: from where they have grown to a table of their size. */
static void settle_nodes(struct path_tree *t)
{
    struct node *settled = new_table(t->nodes.n, sizeof(settled[0]));

    memcpy(settled, t->nodes.items, t->nodes.n * sizeof(settled[0]));
    free(t->nodes.items);
    t->nodes.items = settled;
    t->nodes.cap = t->nodes.n;
}

void path_tree_finish(struct path_tree *t, void (*look)(void *arg, const struct candidates *group),
                      void *arg)
{
    const struct entry *items = t->entries.items;
    size_t n = t->entries.n;

    if (n)
        qsort(t->entries.items, n, sizeof(items[0]), compare_entries);
    settle_nodes(t);
    t->candidates = new_table(n + 1, sizeof(t->candidates[0]));
    for (size_t i = 0; i < n; i++)
        t->candidates[i] = items[i].candidate;
    for (size_t from = 0, end; from < n; from = end) {
        struct node *node = &t->nodes.items[items[from].node];
        for (end = from + 1; end < n && items[end].node == items[from].node &&
                             items[end].is_prefix == items[from].is_prefix;)
            end++;
        *(items[from].is_prefix ? &node->prefix : &node->full) = (uint32_t)from + 1;
        t->candidates[end - 1].is_last = true;
        look(arg, &(struct candidates){t->candidates + from, (uint32_t)(end - from)});
    }
    vec_free(&t->entries);
}

/* --- matching --------------------------------------------------------------------------------- */

/* A prefix that the path begins with. */
struct noted {
    uint32_t first; /* candidate */
    uint16_t depth;
    bool has_more; /* a slash follows: what {name...} wants */
};

struct walk {
    const struct path_tree *tree;
    const char *end; /* of the path */
    candidate_fn take;
    void *arg;
    uint32_t nnoted;
    struct noted noted[PREFIXES_MAX];
};

static const struct candidate *ask_full(const struct walk *w, uint32_t first)
{
    for (const struct candidate *c = w->tree->candidates + first - 1;; c++) {
        if (w->take(w->arg, c))
            return c;
        if (c->is_last)
            return NULL;
    }
}

static const struct candidate *ask_prefix(const struct walk *w, uint32_t first, bool has_more)
{
    for (const struct candidate *c = w->tree->candidates + first - 1; first; c++) {
        if ((has_more || !c->is_rest) && w->take(w->arg, c))
            return c;
        if (c->is_last)
            break;
    }
    return NULL;
}

static inline const char *segment_end(const struct walk *w, const char *p)
{
    while (p < w->end && *p != '/')
        p++;
    return p;
}

/* p: the next segment, NULL when the path has ended. */
static const struct candidate *walk_full(struct walk *w, uint32_t id, const char *p, uint16_t depth)
{
    const struct node *node = &w->tree->nodes.items[id];
    const struct candidate *found = NULL;

    if (node->prefix) {
        if (w->nnoted < PREFIXES_MAX)
            w->noted[w->nnoted] = (struct noted){node->prefix, depth, p != NULL};
        w->nnoted++;
    }
    if (!p)
        return node->full ? ask_full(w, node->full) : NULL;
    if (!node->only && !node->param)
        return NULL;

    const char *end = segment_end(w, p), *next = end < w->end ? end + 1 : NULL;
    if (node->only) {
        uint32_t child = find_child(w->tree, id, node, slice_of(p, (size_t)(end - p)));
        if (child)
            found = walk_full(w, child, next, (uint16_t)(depth + 1));
    }
    if (!found && node->param && end > p)
        found = walk_full(w, node->param, next, (uint16_t)(depth + 1));
    return found;
}

/* Asks the prefixes at `depth` alone. */
static const struct candidate *walk_depth(const struct walk *w, uint32_t id, const char *p,
                                          uint16_t depth)
{
    const struct node *node = &w->tree->nodes.items[id];
    const struct candidate *found = NULL;

    if (depth == 0)
        return ask_prefix(w, node->prefix, p != NULL);
    if (!p)
        return NULL;
    const char *end = segment_end(w, p), *next = end < w->end ? end + 1 : NULL;
    struct slice text = slice_of(p, (size_t)(end - p));
    uint32_t child = node->only ? find_child(w->tree, id, node, text) : 0;

    if (child)
        found = walk_depth(w, child, next, (uint16_t)(depth - 1));
    if (!found && node->param && end > p)
        found = walk_depth(w, node->param, next, (uint16_t)(depth - 1));
    return found;
}

/* The longest first; among equals the order of the walk, which is that of the list. */
static const struct candidate *ask_noted(struct walk *w)
{
    for (uint32_t left = w->nnoted; left > 0; left--) {
        struct noted *best = &w->noted[0];
        for (uint32_t i = 1; i < w->nnoted; i++)
            if (best->first == 0 || (w->noted[i].first && w->noted[i].depth > best->depth))
                best = &w->noted[i];
        const struct candidate *c = ask_prefix(w, best->first, best->has_more);
        if (c)
            return c;
        best->first = 0;
    }
    return NULL;
}

const struct candidate *path_tree_match(const struct path_tree *t, uint32_t root, struct slice path,
                                        candidate_fn take, void *arg)
{
    struct walk w;

    w.tree = t;
    w.end = path.ptr + path.len;
    w.take = take;
    w.arg = arg;
    w.nnoted = 0;
    const struct candidate *c = walk_full(&w, root, path.ptr + 1, 0);
    if (c || w.nnoted == 0)
        return c;
    if (w.nnoted <= PREFIXES_MAX)
        return ask_noted(&w);
    for (int depth = PATTERN_SEGMENTS_MAX; !c && depth >= 0; depth--)
        c = walk_depth(&w, root, path.ptr + 1, (uint16_t)depth);
    return c;
}

uint32_t candidate_params(const struct candidate *c, struct slice path, struct slice *out)
{
    const char *p = path.ptr + 1, *end = path.ptr + path.len;
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->depth && (c->is_rest || c->param_bits >> i); i++) {
        const char *next = memchr(p, '/', (size_t)(end - p));
        if (!next)
            next = end;
        if (c->param_bits >> i & 1)
            out[n++] = slice_of(p, (size_t)(next - p));
        p = next < end ? next + 1 : end;
    }
    if (c->is_rest)
        out[n++] = slice_of(p, (size_t)(end - p));
    return n;
}
