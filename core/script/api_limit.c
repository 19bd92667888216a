/* SPDX-License-Identifier: Apache-2.0 */

/* Limiters: which part of a request is counted, by which rules, made once at load. A decision about a request is one call
 * from Lua: the key is put together on the stack, each rule asks its window once, and the fields that tell the client
 * are written into the response.
 *
 * A key in the store is "limit/", eight bytes that stand for the place's scope, what it is counted by and the rule, then
 * the values; a long value stands there as its beginning and a keyed hash. So keys stay short: they are hashed and
 * compared for every request. A key for other processes has the same parts in print where that is no loss, and hashes
 * that do not depend on this process. */

#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/vec.h"
#include "gate/edit.h"
#include "gate/gateway.h"
#include "net/addr.h"
#include "script/api_find.h"
#include "script/api_traffic.h"
#include "script/core_hook.h"
#include "script/scope.h"
#include "side/window.h"

#define VALUE_MAX 96 /* bytes of one part's value that stand in a key as they are */
#define KEY_MAX 1024 /* the head, 8 parts of at most 98 */
#define PARTS_MAX 8
#define NAME_MAX_LEN 64  /* of a policy */
#define DESCRIBE_MAX 128 /* bytes of RateLimit: the name, two numbers, 8 bytes between */
#define POLICIES_MAX 4
#define LEASE_DEFAULT_US (3600 * 1000000ull)

struct policy {
    struct dml_limit_options options;
    struct slice name;
    struct slice text;  /* of RateLimit-Policy */
    struct slice begin; /* of RateLimit: what stands before the first number */
    char head[14];      /* of its keys */
    uint64_t window_us;
    int64_t limit, burst;
};

struct dml_limiter {
    struct dml_core_hook hook;
    /* owned */
    struct arena *arena;
    struct slice scope; /* what the counts belong to, and what they are by */
    struct slice policies_text;
    struct part parts[PARTS_MAX];
    bool is_address[PARTS_MAX]; /* that part is client_ip */
    struct part cost;
    struct policy policies[POLICIES_MAX];
    /* borrowed */
    struct store *store;
    /* state */
    int nparts, npolicies;
    int headers;
    int ipv6_prefix;
    bool has_cost;
    double hook_cost;
};

/* --- making one ---------------------------------------------------------------------------------------------------- */

struct dml_limiter *dml_limiter_new(struct store *s, const char *scope, size_t len, int headers,
                                    int ipv6_prefix)
{
    struct arena *a = arena_new_heap(1024);
    struct dml_limiter *l = arena_zero(a, sizeof(*l));

    l->arena = a;
    l->store = s;
    l->headers = headers;
    l->ipv6_prefix = ipv6_prefix;
    l->scope = arena_dup(a, slice_of(scope, len));
    return l;
}

/* How many policies before this one have its algorithm and window. */
static uint64_t like_before(const struct dml_limiter *l, int policy)
{
    const struct policy *p = &l->policies[policy];
    uint64_t n = 0;

    for (int i = 0; i < policy; i++)
        n += l->policies[i].window_us == p->window_us &&
             l->policies[i].options.algorithm == p->options.algorithm;
    return n;
}

/* A changed limit goes on with the old counts; another algorithm or window begins anew. */
static void make_heads(struct dml_limiter *l)
{
    for (int i = 0; i < l->npolicies; i++) {
        struct policy *p = &l->policies[i];
        uint64_t kind = p->window_us * 4 + (uint64_t)p->options.algorithm;
        uint64_t id = hash_stable(l->scope, kind | like_before(l, i) << 62);
        memcpy(p->head, "limit/", 6);
        memcpy(p->head + 6, &id, sizeof(id));
    }
}

void dml_limiter_free(struct dml_limiter *l)
{
    arena_free(l->arena);
}

/* q and w as in draft-ietf-httpapi-ratelimit-headers: a Structured Field list of policies. */
static struct slice policy_text(struct arena *a, const struct policy *p)
{
    long long quota = (long long)p->limit;
    long long seconds = (long long)ceil(p->options.window);

    if (p->options.algorithm == DML_CONCURRENT)
        return arena_printf(a, "\"%.*s\";q=%lld;qu=\"concurrent-requests\"", SLICE_ARG(p->name),
                            quota);
    return arena_printf(a, "\"%.*s\";q=%lld;w=%lld", SLICE_ARG(p->name), quota, seconds);
}

static int read_policy(struct policy *p, const struct dml_limit_options *o)
{
    bool is_rate = o->algorithm != DML_CONCURRENT;

    if (!(o->limit >= 1 && o->limit <= 1e15) || !(o->burst <= 1e15) ||
        (is_rate && !(o->window >= 0.001 && o->window <= 1e9)))
        return ERR_ARG;
    *p = (struct policy){.options = *o, .limit = (int64_t)o->limit};
    p->burst = o->burst >= 1 ? (int64_t)o->burst : p->limit;
    p->window_us = o->window > 0 ? (uint64_t)(o->window * 1e6) : LEASE_DEFAULT_US;
    return 0;
}

/* It goes into header fields as it is. */
static bool is_name(struct slice name)
{
    return name.len <= NAME_MAX_LEN && text_is_field_value(name);
}

int dml_limiter_policy(struct dml_limiter *l, const struct dml_limit_options *o)
{
    if (l->npolicies == POLICIES_MAX)
        return ERR_LIMIT;
    struct policy *p = &l->policies[l->npolicies];
    if (read_policy(p, o) < 0 || !is_name(slice_from(o->name)))
        return ERR_ARG;

    l->npolicies++;
    p->name = arena_dup(l->arena, slice_from(o->name));
    p->text = policy_text(l->arena, p);
    p->begin = arena_printf(l->arena, "\"%.*s\";r=", SLICE_ARG(p->name));
    p->options.name = NULL;
    l->policies_text =
        l->npolicies == 1
            ? p->text
            : arena_printf(l->arena, "%.*s, %.*s", SLICE_ARG(l->policies_text), SLICE_ARG(p->text));
    make_heads(l);
    return 0;
}

int dml_limiter_by(struct dml_limiter *l, const char *ptr, size_t len,
                   const struct dml_scope *scope, struct dml_slice *error)
{
    struct slice text = slice_of(ptr, len);

    if (l->nparts == PARTS_MAX) {
        scope_error(error, SLICE("at most 8 parts make a key"));
        return ERR_LIMIT;
    }
    if (!part_compile(&l->parts[l->nparts], text, scope, l->arena, error))
        return ERR_SYNTAX;
    l->is_address[l->nparts++] =
        slice_eq(text, SLICE("client_ip")) || slice_eq(text, SLICE("{client_ip}"));
    l->scope = arena_printf(l->arena, "%.*s\n%.*s", SLICE_ARG(l->scope), SLICE_ARG(text));
    make_heads(l);
    return 0;
}

int dml_limiter_cost(struct dml_limiter *l, const char *ptr, size_t len,
                     const struct dml_scope *scope, struct dml_slice *error)
{
    if (!part_compile(&l->cost, slice_of(ptr, len), scope, l->arena, error))
        return ERR_SYNTAX;
    l->has_cost = true;
    return 0;
}

/* --- keys ---------------------------------------------------------------------------------------------------------- */

struct key {
    char text[KEY_MAX];
    size_t len;
    bool is_shared; /* other processes make the same one */
};

static void key_add(struct key *k, struct slice s)
{
    size_t n = MIN(s.len, sizeof(k->text) - k->len);

    slice_put(k->text + k->len, slice_of(s.ptr, n));
    k->len += n;
}

/* What stands before a value: '@' for the client's address, '=' for a part of the request; and a byte with its length,
 * which keeps ("ab", "c") and ("a", "bc") apart. 255: the beginning and a hash stand for the whole. */
static void key_add_value(struct key *k, char kind, struct slice value)
{
    bool is_long = value.len > VALUE_MAX;
    char note[2] = {kind, (char)(is_long ? 255 : value.len)};

    key_add(k, slice_of(note, sizeof(note)));
    if (is_long) {
        uint64_t hash[2] = {k->is_shared ? hash_stable(value, 1) : hash_keyed(value),
                            k->is_shared ? hash_stable(value, 2) : 0};
        key_add(k, slice_of((const char *)hash, sizeof(hash[0]) * (k->is_shared ? 2 : 1)));
        value = slice_sub(value, 0, VALUE_MAX / 2);
    }
    key_add(k, value);
}

/* The network of an IPv6 client: one customer has 2^64 addresses and more. */
static struct slice network_of(struct slice ip, int prefix, char out[16 + 1])
{
    struct addr a;

    if (prefix >= 128 || slice_find_char(ip, ':') < 0 || addr_parse_ip(ip, 0, &a) < 0 ||
        a.sa.sa_family != AF_INET6)
        return ip;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a.storage;
    memcpy(out, v6->sin6_addr.s6_addr, 16);
    for (int bit = prefix; bit < 128; bit++)
        out[bit / 8] = (char)(out[bit / 8] & ~(0x80 >> (bit % 8)));
    return slice_of(out, 16);
}

/* The head is put in for each policy. */
static void key_begin(struct key *k)
{
    k->len = sizeof(((struct policy *)NULL)->head);
}

static void key_add_values(struct key *k, const struct dml_limiter *l, struct exchange *x)
{
    char network[16 + 1];

    for (int i = 0; i < l->nparts; i++) {
        struct slice value = l->is_address[i] ? SLICE_NONE : part_value(&l->parts[i], x);
        bool is_address = value.len == 0; /* what is empty counts by the address */
        if (is_address)
            value = network_of(x->client_ip, l->ipv6_prefix, network);
        key_add_value(k, is_address ? '@' : '=', value);
    }
}

static void key_of_exchange(struct key *k, const struct dml_limiter *l, struct exchange *x)
{
    k->is_shared = false;
    key_begin(k);
    key_add_values(k, l, x);
}

static struct slice key_for(struct key *k, const struct policy *p)
{
    memcpy(k->text, p->head, sizeof(p->head));
    return slice_of(k->text, k->len);
}

/* --- deciding ------------------------------------------------------------------------------------------------------ */

static int decide(struct store *s, const struct policy *p, struct slice key, int64_t cost,
                  struct window_verdict *v)
{
    switch ((enum dml_algorithm)p->options.algorithm) {
    case DML_GCRA: return window_gcra(s, key, p->limit, p->window_us, p->burst, cost, v);
    case DML_SLIDING_WINDOW: return window_sliding(s, key, p->limit, p->window_us, cost, v);
    case DML_FIXED_WINDOW: return window_fixed(s, key, p->limit, p->window_us, cost, v);
    case DML_CONCURRENT: return window_enter(s, key, p->limit, p->window_us, v);
    }
    return ERR_ARG;
}

static void leave(struct store *s, struct slice key, uint64_t since_us)
{
    int rc = window_leave(s, key, since_us);

    (void)rc; /* not found: its lease has ended already */
}

static int undo(struct store *s, const struct policy *p, struct slice key, int64_t cost)
{
    switch ((enum dml_algorithm)p->options.algorithm) {
    case DML_GCRA: return window_gcra_undo(s, key, p->limit, p->window_us, cost);
    case DML_SLIDING_WINDOW: return window_sliding_undo(s, key, p->window_us, cost);
    case DML_FIXED_WINDOW: return window_fixed_undo(s, key, p->window_us, cost);
    case DML_CONCURRENT: return window_leave(s, key, clock_us());
    }
    return ERR_ARG;
}

static void undo_first(const struct dml_limiter *l, struct key *k, int n, int64_t cost)
{
    for (int i = 0; i < n; i++) {
        int rc = undo(l->store, &l->policies[i], key_for(k, &l->policies[i]), cost);
        (void)rc; /* the store had no room for it any more: nothing is to be undone */
    }
}

static void verdict_out(struct dml_verdict *out, const struct window_verdict *v, int policy)
{
    out->refused = !v->allowed;
    out->policy = policy;
    out->limit = (double)v->limit;
    out->remaining = (double)v->remaining;
    out->retry_after = (double)v->retry_after_us / 1e6;
    out->reset = (double)v->reset_us / 1e6;
}

/* All policies in turn; the first that refuses ends it, and what earlier ones have counted is taken back. Of several that
 * allow, the one with the least left is told. */
static int decide_all(const struct dml_limiter *l, struct key *k, int64_t cost,
                      struct dml_verdict *out)
{
    for (int i = 0; i < l->npolicies; i++) {
        struct window_verdict v;
        int rc = decide(l->store, &l->policies[i], key_for(k, &l->policies[i]), cost, &v);
        if (rc < 0 || !v.allowed)
            undo_first(l, k, i, cost);
        if (rc < 0)
            return rc;
        if (!v.allowed || i == 0 || (double)v.remaining < out->remaining)
            verdict_out(out, &v, i);
        if (!v.allowed)
            break;
    }
    return 0;
}

/* --- telling the client -------------------------------------------------------------------------------------------- */

enum told { FIELD_POLICY, FIELD_NOW, FIELD_LIMIT, FIELD_REMAINING, FIELD_RESET };

/* text: in the exchange's arena. */
static int set_field(struct exchange *x, enum told field, struct slice text)
{
    static const struct header_name names[] = {
        [FIELD_POLICY] = {{"RateLimit-Policy", 16}, HEADER_OTHER},
        [FIELD_NOW] = {{"RateLimit", 9}, HEADER_OTHER},
        [FIELD_LIMIT] = {{"X-RateLimit-Limit", 17}, HEADER_OTHER},
        [FIELD_REMAINING] = {{"X-RateLimit-Remaining", 21}, HEADER_OTHER},
        [FIELD_RESET] = {{"X-RateLimit-Reset", 17}, HEADER_OTHER},
    };

    return exchange_header_put(x, SIDE_RESPONSE, HEADER_SET, &names[field], text);
}

static int set_number(struct exchange *x, enum told field, double n)
{
    char *digits = arena_alloc(x->arena, 20);

    return set_field(x, field, slice_of(digits, text_from_u64((uint64_t)n, digits)));
}

/* An Integer of a Structured Field has at most 15 digits (RFC 9651, 3.3.1). */
static double whole_seconds(double seconds)
{
    return MIN(ceil(seconds), 1e15 - 1);
}

static struct slice describe(const struct policy *p, const struct dml_verdict *v,
                             char out[DESCRIBE_MAX])
{
    char *end = slice_put(out, p->begin);

    end += text_from_u64((uint64_t)v->remaining, end);
    if (p->options.algorithm != DML_CONCURRENT) {
        end = slice_put(end, SLICE(";t="));
        end += text_from_u64((uint64_t)whole_seconds(v->reset), end);
    }
    return slice_of(out, (size_t)(end - out));
}

/* RateLimit-Policy and RateLimit. The limiter may be gone before the exchange. */
static int tell_ietf(const struct dml_limiter *l, struct exchange *x, const struct dml_verdict *v)
{
    struct slice policies = l->policies_text;
    char *mem = arena_alloc(x->arena, policies.len + DESCRIBE_MAX), *end = slice_put(mem, policies);
    int rc = set_field(x, FIELD_POLICY, slice_of(mem, policies.len));

    return rc < 0 ? rc : set_field(x, FIELD_NOW, describe(&l->policies[v->policy], v, end));
}

static int tell_x(struct exchange *x, const struct dml_verdict *v)
{
    int rc = set_number(x, FIELD_LIMIT, v->limit);

    if (rc == 0)
        rc = set_number(x, FIELD_REMAINING, v->remaining);
    return rc < 0 ? rc : set_number(x, FIELD_RESET, whole_seconds(v->reset));
}

static int tell(const struct dml_limiter *l, struct exchange *x, const struct dml_verdict *v)
{
    int rc = 0;

    if (x->head_is_down)
        return 0;
    if (l->headers & DML_LIMIT_IETF)
        rc = tell_ietf(l, x, v);
    return rc == 0 && (l->headers & DML_LIMIT_X) ? tell_x(x, v) : rc;
}

/* --- for Lua ------------------------------------------------------------------------------------------------------- */

/* A place inside is given back when the exchange ends, however it ends. */
struct stay {
    struct store *store;
    struct slice key;
    uint64_t since_us;
};

static void end_stay(void *arg)
{
    struct stay *stay = arg;

    leave(stay->store, stay->key, stay->since_us);
}

static void note_stays(const struct dml_limiter *l, struct key *k, struct exchange *x)
{
    for (int i = 0; i < l->npolicies; i++) {
        if (l->policies[i].options.algorithm != DML_CONCURRENT)
            continue;
        struct stay *stay = arena_alloc(x->arena, sizeof(*stay));
        stay->store = l->store;
        stay->key = arena_dup(x->arena, key_for(k, &l->policies[i]));
        stay->since_us = clock_us();
        arena_on_free(x->arena, end_stay, stay);
    }
}

/* Lua's costs are numbers of any kind. */
static int64_t whole(double cost)
{
    return cost >= 0 ? (int64_t)MIN(ceil(cost), 1e15) : 0;
}

/* By the request's own word; what is no number counts as 1. */
static int64_t cost_of(const struct dml_limiter *l, struct exchange *x)
{
    double cost;

    if (!l->has_cost)
        return 1;
    struct slice text = part_value(&l->cost, x);
    if (!text.ptr || text_to_double(slice_trim(text), &cost) < 0 || !(cost >= 0))
        return 1;
    return whole(cost);
}

static int take(const struct dml_limiter *l, struct exchange *x, double cost,
                struct dml_verdict *out)
{
    struct key key;

    key_of_exchange(&key, l, x);
    int rc = decide_all(l, &key, cost < 0 ? cost_of(l, x) : whole(cost), out);
    if (rc == 0 && !out->refused)
        note_stays(l, &key, x);
    return rc;
}

int dml_limiter_take(struct gateway *g, double handle, const struct dml_limiter *l, double cost,
                     struct dml_verdict *out)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    int rc = take(l, x, cost, out);
    return rc == 0 ? tell(l, x, out) : rc;
}

/* Who is refused, or can't be counted, has taken nothing: Lua asks once more, and answers. */
static bool run_take(const struct dml_core_hook *hook, struct exchange *x)
{
    const struct dml_limiter *l = container_of(hook, const struct dml_limiter, hook);
    struct dml_verdict verdict;

    if (take(l, x, l->hook_cost, &verdict) < 0 || verdict.refused)
        return false;
    (void)CHECK(tell(l, x, &verdict) == 0);
    return true;
}

const struct dml_core_hook *dml_limiter_hook(struct dml_limiter *l, double cost)
{
    l->hook.run = run_take;
    l->hook_cost = cost;
    return &l->hook;
}

int dml_limiter_take_key(const struct dml_limiter *l, const char *text, size_t len, double cost,
                         struct dml_verdict *out)
{
    struct key key = {.is_shared = false};

    key_begin(&key);
    key_add_value(&key, '=', slice_of(text, len));
    return decide_all(l, &key, whole(cost), out);
}

int dml_store_take(struct store *s, const char *key, size_t len, const struct dml_limit_options *o,
                   double cost, struct dml_verdict *out)
{
    struct policy p;
    struct window_verdict v;

    if (o->algorithm == DML_CONCURRENT || read_policy(&p, o) < 0)
        return ERR_ARG;
    int rc = decide(s, &p, slice_of(key, len), whole(cost), &v);
    if (rc == 0)
        verdict_out(out, &v, 0);
    return rc;
}

int dml_limiter_leave(const struct dml_limiter *l, const char *text, size_t len)
{
    struct key key = {.is_shared = false};

    key_begin(&key);
    key_add_value(&key, '=', slice_of(text, len));
    for (int i = 0; i < l->npolicies; i++)
        if (l->policies[i].options.algorithm == DML_CONCURRENT)
            leave(l->store, key_for(&key, &l->policies[i]), 0);
    return 0;
}

/* In braces stands what all policies of a request have in common: what a cluster chooses a node by. */
int dml_limiter_shared_key(struct gateway *g, double handle, const struct dml_limiter *l,
                           int policy, struct dml_slice *out)
{
    static _Thread_local struct key key;
    struct exchange *x = api_find(g, handle);
    char id[2 * sizeof(uint64_t)];

    if (!x)
        return ERR_GONE;
    if (policy < 0 || policy >= l->npolicies)
        return ERR_ARG;
    key.len = 0;
    key.is_shared = true;
    key_add(&key, SLICE("demilune:limit:{"));
    key_add_values(&key, l, x);
    key_add(&key, SLICE("}:"));
    text_hex(l->policies[policy].head + 6, sizeof(uint64_t), id);
    key_add(&key, slice_of(id, sizeof(id)));
    return api_give(out, slice_of(key.text, key.len));
}

double dml_limiter_cost_of(struct gateway *g, double handle, const struct dml_limiter *l)
{
    struct exchange *x = api_find(g, handle);

    return x ? (double)cost_of(l, x) : ERR_GONE;
}

int dml_limiter_tell(struct gateway *g, double handle, const struct dml_limiter *l,
                     const struct dml_verdict *v)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    return v->policy < 0 || v->policy >= l->npolicies ? ERR_ARG : tell(l, x, v);
}

int dml_limiter_describe(const struct dml_limiter *l, const struct dml_verdict *v, int policy,
                         struct dml_slice *out)
{
    static _Thread_local char text[DESCRIBE_MAX];

    if (policy) {
        *out = (struct dml_slice){l->policies_text.ptr, (int32_t)l->policies_text.len};
        return 0;
    }
    if (v->policy < 0 || v->policy >= l->npolicies)
        return ERR_ARG;
    return api_give(out, describe(&l->policies[v->policy], v, text));
}
