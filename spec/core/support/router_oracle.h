/* SPDX-License-Identifier: Apache-2.0 */

/* The routing rules once more, as plainly as they can be said: look at every host and path of every
 * route, keep the best that fits. Routes and requests are made of numbers, from a small alphabet, so
 * that they meet often. */

#ifndef TEST_ROUTER_ORACLE_H
#define TEST_ROUTER_ORACLE_H

#include <stdlib.h>

#include "base/regex.h"
#include "gate/path_pattern.h"
#include "gate/router.h"

/* Where numbers come from: a seed, or the bytes of a fuzzer. */
struct numbers {
    const uint8_t *bytes; /* NULL: by the seed */
    size_t left;
    uint64_t seed;
};

static inline uint32_t number_below(struct numbers *n, uint32_t limit)
{
    if (n->bytes) {
        if (n->left == 0)
            return 0;
        n->left--;
        return *n->bytes++ % limit;
    }
    n->seed = n->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(n->seed >> 33) % limit;
}

#define ORACLE_PATH 64

static inline struct slice random_pattern(struct numbers *n, struct arena *a)
{
    static const char *const parts[] = {"/a", "/b", "/ab", "/", "/{x}", "/{y}"};
    static const char *const ends[] = {"", "", "", "", "", "/*", "/{r...}", "/"};
    static const char *const regexes[] = {"~ ^/a", "~ ^/(?<x>[ab]+)/b$", "~ b$"};
    static const char *const names[] = {"{x}", "{y}", "{z}", "{v}"};
    char text[ORACLE_PATH] = "";
    uint32_t depth = number_below(n, 5);

    if (depth == 4 && number_below(n, 2))
        return slice_from(regexes[number_below(n, COUNT_OF(regexes))]);
    for (uint32_t i = 0; i < depth; i++) {
        const char *part = parts[number_below(n, COUNT_OF(parts))];
        if (part[1] == '{') { /* a name once */
            strcat(text, "/");
            strcat(text, names[i]);
        } else {
            strcat(text, part);
        }
    }
    strcat(text, ends[number_below(n, COUNT_OF(ends))]);
    return arena_dup(a, slice_from(*text ? text : "/"));
}

static inline struct slice random_host(struct numbers *n)
{
    static const char *const hosts[] = {"a.x", "b.a.x", "*.x", "*.a.x", "x"};

    return slice_from(hosts[number_below(n, COUNT_OF(hosts))]);
}

static inline const struct route *random_route(struct numbers *n, struct arena *a, uint32_t index)
{
    static struct route_header both[][2] = {
        {{{"h", 1}, {"1", 1}, false}, {{"i", 1}, {"1", 1}, false}},
        {{{"h", 1}, {"2", 1}, false}, {{"i", 1}, {"2", 1}, false}}};
    struct route *r = arena_zero(a, sizeof(*r));
    struct slice error;

    r->index = index;
    r->name = arena_printf(a, "r%u", index);
    r->hosts = arena_alloc(a, 2 * sizeof(r->hosts[0]));
    r->paths = arena_alloc(a, 2 * sizeof(r->paths[0]));
    r->nhosts = number_below(n, 3);
    for (uint32_t i = 0; i < r->nhosts; i++)
        r->hosts[i] = random_host(n);
    uint32_t npaths = number_below(n, 8) ? 1 + number_below(n, 2) : 0;
    for (uint32_t i = 0; i < npaths; i++)
        if (path_pattern_parse(random_pattern(n, a), a, &r->paths[r->npaths], &error))
            r->npaths++;
    if (number_below(n, 2))
        r->methods = 1ull << METHOD_GET | (number_below(n, 2) ? 1ull << METHOD_POST : 0);
    r->headers = both[number_below(n, 2)];
    r->nheaders = number_below(n, 6) / 3 + (number_below(n, 6) == 0);
    return r;
}

/* --- the rules -------------------------------------------------------------------------------- */

/* Smaller is better; compared from the left. */
struct rank {
    int host, host_len, kind, depth, regex, methods, headers, index;
    char shape[ORACLE_PATH]; /* a byte per segment: 0 literal, 1 {name} */
};

static inline bool oracle_host_fits(struct slice pattern, struct slice host)
{
    if (pattern.len > 1 && pattern.ptr[0] == '*')
        return host.len > pattern.len - 1 && memcmp(host.ptr + host.len - (pattern.len - 1),
                                                    pattern.ptr + 1, pattern.len - 1) == 0;
    return slice_eq(pattern, host);
}

static inline void rank_path(const struct route *r, uint32_t i, struct rank *rank)
{
    const struct route_path *p = &r->paths[i];
    size_t depth = 0;

    if (p->kind == PATH_REGEX) {
        rank->kind = 3;
        rank->regex = (int)(r->index * 2 + i);
        return;
    }
    rank->kind = 0;
    for (size_t at = 0; at < p->pattern.len; at++) {
        if (p->pattern.ptr[at] != '/')
            continue;
        struct slice rest = slice_from_index(p->pattern, at + 1);
        bool is_rest = rest.len && rest.ptr[0] == '{' && slice_find(rest, SLICE("...")) > 0 &&
                       slice_find_char(rest, '/') < 0;
        if (is_rest || slice_eq(rest, SLICE("*"))) {
            rank->kind = 2;
            rank->depth = -(int)depth;
            return;
        }
        rank->shape[depth++] = rest.len && rest.ptr[0] == '{';
        if (rank->shape[depth - 1])
            rank->kind = 1;
    }
}

static inline int rank_compare(const struct rank *a, const struct rank *b)
{
    const int *x = &a->host, *y = &b->host;

    for (int i = 0; i < 4; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    int order = memcmp(a->shape, b->shape, sizeof(a->shape));
    for (int i = 4; order == 0 && i < 8; i++)
        order = x[i] < y[i] ? -1 : x[i] > y[i];
    return order;
}

static inline bool oracle_header_fits(const struct message *m, const struct route_header *h)
{
    int n = 0;
    bool is_equal = false;

    HEADERS_EACH(f, &m->headers)
    {
        if (!slice_eq_nocase(f->name, h->name))
            continue;
        n++;
        is_equal = slice_eq(f->value, h->value);
    }
    return n == 1 && is_equal;
}

/* The route, or NULL; and what router_match says in `allowed`. */
static inline const struct route *oracle_match(const struct route *const *routes, size_t n,
                                               struct slice host, struct slice path,
                                               const struct message *m, uint64_t *allowed)
{
    const struct route *best = NULL;
    struct rank best_rank = {0};
    bool wrong_method = false;

    *allowed = 0;
    for (size_t i = 0; i < n; i++) {
        const struct route *r = routes[i];
        for (uint32_t h = 0; h < MAX(r->nhosts, 1u); h++) {
            if (r->nhosts && !oracle_host_fits(r->hosts[h], host))
                continue;
            for (uint32_t p = 0; p < MAX(r->npaths, 1u); p++) {
                struct rank rank = {.kind = 4,
                                    .methods = !r->methods,
                                    .headers = -(int)r->nheaders,
                                    .index = (int)r->index};
                if (r->npaths && !path_pattern_fits(&r->paths[p], path))
                    continue;
                rank.host = !r->nhosts ? 2 : r->hosts[h].ptr[0] == '*';
                rank.host_len = rank.host == 1 ? -(int)r->hosts[h].len : 0;
                if (r->npaths)
                    rank_path(r, p, &rank);
                bool method = !r->methods || r->methods >> m->method & 1, headers = true;
                for (uint32_t k = 0; k < r->nheaders; k++)
                    headers &= oracle_header_fits(m, &r->headers[k]);
                if (!method || !headers) {
                    *allowed |= r->methods;
                    wrong_method |= headers;
                } else if (!best || rank_compare(&rank, &best_rank) < 0) {
                    best = r;
                    best_rank = rank;
                }
            }
        }
    }
    if (best || !wrong_method)
        *allowed = 0;
    return best;
}

struct oracle_request {
    struct slice host, path;
    struct message message;
};

static inline void random_request(struct numbers *n, struct arena *a, struct oracle_request *out)
{
    static const char *const hosts[] = {"a.x", "b.a.x", "x", "c.b.a.x", "q", ".x", "a.a.x"};
    static const char *const parts[] = {"/a", "/b", "/ab", "/", "/c"};
    static const enum method methods[] = {METHOD_GET, METHOD_POST, METHOD_PUT};
    char text[ORACLE_PATH] = "";
    uint32_t depth = 1 + number_below(n, 5);

    *out = (struct oracle_request){.host = slice_from(hosts[number_below(n, COUNT_OF(hosts))])};
    for (uint32_t i = 0; i < depth; i++)
        strcat(text, parts[number_below(n, COUNT_OF(parts))]);
    out->path = number_below(n, 50) ? arena_dup(a, slice_from(text)) : SLICE("*");
    out->message.method = methods[number_below(n, COUNT_OF(methods))];
    headers_init(&out->message.headers, a, 4);
    for (uint32_t i = number_below(n, 3); i > 0; i--)
        headers_add(&out->message.headers, number_below(n, 2) ? SLICE("H") : SLICE("i"),
                    number_below(n, 2) ? SLICE("1") : SLICE("2"));
}

/* Builds routes, asks both; aborts where they differ. */
static inline void oracle_run(struct numbers *n, uint32_t nroutes, uint32_t nrequests)
{
    struct arena *a = arena_new_heap(4096);
    struct faults faults;
    const struct route **routes = arena_alloc(a, nroutes * sizeof(routes[0]));

    faults_init(&faults, a);
    for (uint32_t i = 0; i < nroutes; i++)
        routes[i] = random_route(n, a, i);
    struct router *router = router_new(a, routes, nroutes, &faults);
    for (uint32_t i = 0; i < nrequests; i++) {
        struct oracle_request q;
        struct route_match m;
        uint64_t allowed;
        random_request(n, a, &q);
        router_match(router, q.host, q.path, &q.message, &m);
        const struct route *expected =
            oracle_match(routes, nroutes, q.host, q.path, &q.message, &allowed);
        if (m.route != expected || m.allowed != allowed || (m.path && m.nparams != m.path->nparams))
            abort();
        for (uint32_t k = 0; k < m.nparams; k++)
            if (m.params[k].ptr && (m.params[k].ptr < q.path.ptr ||
                                    m.params[k].ptr + m.params[k].len > q.path.ptr + q.path.len))
                abort();
    }
    faults_deinit(&faults);
    arena_free(a);
}

#endif
