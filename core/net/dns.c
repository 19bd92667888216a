/* SPDX-License-Identifier: Apache-2.0 */

/* Names to addresses. c-ares speaks DNS; the cache, the hosts file and the deadlines are ours.
 * Each name is an entry: its addresses, and those who wait for them. From c-ares's callback we
 * only note the result in the entry; whoever waits is told at the end of the turn, so that nobody
 * ever runs inside of c-ares. c-ares must neither read files nor open sockets per lookup: hence
 * only "b" for lookups, no service names, no aliases, and sockets that stay open. */

#include "net/dns.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "net/dns_channel.h"
#include "net/hosts.h"
#include "net/loop.h"

#define MAX_NAME 253
#define MAX_ADDRS 64   /* of one name */
#define HOSTS_TTL 1000 /* how often the hosts file is looked at */

struct dns {
    /* owned */
    struct dns_channel *channel; /* NULL while the end is near */
    struct later tell;           /* entries whose lookup has ended */
    struct hosts *hosts;
    struct map entries;
    char *servers; /* as given, one behind the other; "" = the system's */
    /* borrowed */
    struct loop *loop;
    /* state */
    struct list recent; /* all entries, the one used last first */
    struct list ended;  /* entries by `ended` */
    uint64_t min_ttl_ms, max_ttl_ms, negative_ttl_ms, timeout_ms;
    size_t max_entries;
};

struct entry {
    struct list recent;
    struct list ended;
    /* owned */
    char *name;
    struct addr *addrs;
    size_t naddrs;
    struct list waiting; /* queries */
    /* borrowed */
    struct dns *dns;
    /* state */
    uint64_t fresh_until_ms; /* addrs or err need no new lookup */
    uint64_t stale_until_ms; /* addrs are better than nothing */
    int err;                 /* of the last lookup, when there are no addrs */
    int busy;                /* callbacks with our addrs are running */
    bool pending;            /* c-ares has it */
};

struct dns_query {
    struct list link;
    struct timer deadline;
    struct entry *entry;
    dns_fn fn;
    void *arg;
};

static void entry_free(struct entry *e)
{
    map_remove(&e->dns->entries, slice_from(e->name));
    list_remove(&e->recent);
    list_remove(&e->ended);
    free(e->addrs);
    free(e->name);
    free(e);
}

static bool entry_is_idle(const struct entry *e)
{
    return !e->pending && !e->busy && list_is_empty(&e->waiting) && list_is_empty(&e->ended);
}

static void make_room(struct dns *d)
{
    struct list *link = d->recent.prev, *before;

    for (; d->entries.n >= d->max_entries && link != &d->recent; link = before) {
        struct entry *e = container_of(link, struct entry, recent);
        before = link->prev;
        if (entry_is_idle(e))
            entry_free(e);
    }
}

static struct entry *entry_new(struct dns *d, struct slice name)
{
    struct entry *e = calloc(1, sizeof(*e));

    REQUIRE(e != NULL);
    make_room(d);
    e->dns = d;
    e->name = slice_dup(name);
    list_init(&e->waiting);
    list_init(&e->ended);
    list_push(&d->recent, &e->recent);
    map_set(&d->entries, slice_from(e->name), e);
    return e;
}

static struct entry *entry_get(struct dns *d, struct slice name)
{
    struct entry *e = map_find(&d->entries, name);

    if (!e)
        return entry_new(d, name);
    list_remove(&e->recent);
    list_push(&d->recent, &e->recent);
    return e;
}

/* Calls fn with what the entry has. */
static void tell(struct entry *e, dns_fn fn, void *arg)
{
    uint64_t now = clock_ms();
    struct dns_answer answer = {.addrs = e->addrs, .naddrs = e->naddrs};

    answer.ttl_ms = e->fresh_until_ms > now ? e->fresh_until_ms - now : 0;
    e->busy++;
    fn(arg, e->naddrs ? 0 : e->err, e->naddrs ? &answer : NULL);
    e->busy--;
}

static void query_free(struct dns_query *q)
{
    list_remove(&q->link);
    timer_deinit(&q->deadline);
    free(q);
}

/* Tells all that waited when this began; those who come while it runs wait for another lookup. */
static void tell_waiting(struct entry *e)
{
    struct list waiting, *link;

    list_init(&waiting);
    list_splice(&waiting, &e->waiting);
    e->busy++;
    while ((link = list_pop(&waiting))) {
        struct dns_query *q = container_of(link, struct dns_query, link);
        dns_fn fn = q->fn;
        void *arg = q->arg;
        query_free(q);
        tell(e, fn, arg);
    }
    e->busy--;
}

static void drop_if_useless(struct entry *e)
{
    if (entry_is_idle(e) && e->fresh_until_ms <= clock_ms() && e->naddrs == 0)
        entry_free(e);
}

static void tell_ended(struct later *later)
{
    struct dns *d = container_of(later, struct dns, tell);
    struct list *link;

    while ((link = list_pop(&d->ended))) {
        struct entry *e = container_of(link, struct entry, ended);
        tell_waiting(e);
        drop_if_useless(e);
    }
}

/* The servers did not answer in time or not properly: what is known stays in use for a while. */
static void settle_failure(struct entry *e, int err)
{
    struct dns *d = e->dns;
    uint64_t now = clock_ms();

    if (e->naddrs && now < e->stale_until_ms) {
        LOG_WARN("dns.stale", "name servers fail, using an expired answer", LOG_C("name", e->name),
                 LOG_C("error", err_word(err)));
        e->fresh_until_ms = MIN(now + d->min_ttl_ms, e->stale_until_ms);
        return;
    }
    e->naddrs = 0;
    e->err = err;
    e->fresh_until_ms = 0;
}

static void settle_absence(struct entry *e)
{
    e->naddrs = 0;
    e->err = ERR_DNS;
    e->fresh_until_ms = clock_ms() + e->dns->negative_ttl_ms;
}

/* Appends the addresses of one family. */
static void take_addrs(struct entry *e, const struct ares_addrinfo *found, int family,
                       uint64_t *ttl_ms)
{
    for (const struct ares_addrinfo_node *n = found->nodes; n; n = n->ai_next) {
        struct addr *a = &e->addrs[e->naddrs];
        if (n->ai_family != family || e->naddrs == MAX_ADDRS)
            continue;
        *a = (struct addr){.len = n->ai_addrlen};
        memcpy(&a->storage, n->ai_addr, n->ai_addrlen);
        *ttl_ms = MIN(*ttl_ms, (uint64_t)MAX(n->ai_ttl, 0) * 1000);
        e->naddrs++;
    }
}

static void settle_success(struct entry *e, const struct ares_addrinfo *found)
{
    const struct dns *d = e->dns;
    uint64_t ttl_ms = UINT64_MAX;
    size_t n = 0;

    for (const struct ares_addrinfo_node *node = found->nodes; node; node = node->ai_next)
        n++;
    free(e->addrs);
    e->addrs = calloc(MIN(n, MAX_ADDRS) + 1, sizeof(e->addrs[0]));
    REQUIRE(e->addrs != NULL);
    e->naddrs = 0;
    take_addrs(e, found, AF_INET, &ttl_ms);
    take_addrs(e, found, AF_INET6, &ttl_ms);
    if (e->naddrs == 0) {
        settle_absence(e);
        return;
    }
    e->fresh_until_ms = clock_ms() + MIN(MAX(ttl_ms, d->min_ttl_ms), d->max_ttl_ms);
    e->stale_until_ms = e->fresh_until_ms + d->max_ttl_ms;
}

/* c-ares calls every lack a refusal. That there are no descriptors left, say, is no fault of the
 * name, nor of who has it: it is asked what would have stood in the way. */
static int refusal_now(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_from_errno(errno);
    close(fd);
    return ERR_DNS;
}

static int failure_of(int status)
{
    switch (status) {
    case ARES_ETIMEOUT: return ERR_TIMEOUT;
    case ARES_ECONNREFUSED: return refusal_now();
    default: return ERR_DNS;
    }
}

static void on_result(void *arg, int status, int timeouts UNUSED, struct ares_addrinfo *found)
{
    struct entry *e = arg;

    e->pending = false;
    if (status == ARES_EDESTRUCTION)
        return;
    if (status == ARES_SUCCESS)
        settle_success(e, found);
    else if (status == ARES_ENOTFOUND || status == ARES_ENODATA)
        settle_absence(e);
    else
        settle_failure(e, failure_of(status));
    if (found)
        ares_freeaddrinfo(found);
    list_append(&e->dns->ended, &e->ended);
    loop_later(e->dns->loop, &e->dns->tell);
}

static char *join_servers(const struct dns_options *o)
{
    struct buf text;
    size_t len;
    int rc = 0;

    buf_init(&text, MIB);
    for (size_t i = 0; i < o->nservers; i++)
        rc |= buf_printf(&text, "%s ", o->servers[i]);
    (void)rc;
    return buf_take(&text, &len);
}

struct dns *dns_new(struct loop *l, const struct dns_options *o)
{
    struct dns *d = calloc(1, sizeof(*d));

    REQUIRE(d != NULL);
    d->loop = l;
    d->min_ttl_ms = o->min_ttl_ms;
    d->max_ttl_ms = o->max_ttl_ms;
    d->negative_ttl_ms = o->negative_ttl_ms;
    d->timeout_ms = o->timeout_ms;
    d->max_entries = MAX(o->max_entries, 1);
    d->hosts = hosts_new(o->hosts_path ? o->hosts_path : "/etc/hosts");
    map_init(&d->entries);
    list_init(&d->recent);
    list_init(&d->ended);
    later_init(&d->tell, tell_ended);
    d->servers = join_servers(o);
    d->channel = dns_channel_new(l, d->timeout_ms, o->servers, o->nservers);
    if (!d->channel) {
        dns_free(d);
        return NULL;
    }
    return d;
}

static void cancel_waiting(struct entry *e)
{
    e->naddrs = 0;
    e->err = ERR_CANCELLED;
    tell_waiting(e);
}

void dns_free(struct dns *d)
{
    if (d->channel)
        dns_channel_free(d->channel);
    d->channel = NULL;
    LIST_EACH (link, &d->recent)
        cancel_waiting(container_of(link, struct entry, recent));
    LIST_EACH (link, &d->recent)
        entry_free(container_of(link, struct entry, recent));
    later_cancel(&d->tell);
    map_deinit(&d->entries);
    hosts_free(d->hosts);
    free(d->servers);
    free(d);
}

static void on_deadline(struct timer *t)
{
    struct dns_query *q = container_of(t, struct dns_query, deadline);
    struct entry *e = q->entry;
    dns_fn fn = q->fn;
    void *arg = q->arg;

    query_free(q);
    /* Else the answer has just come. */
    if (list_is_empty(&e->ended) && e->fresh_until_ms <= clock_ms())
        settle_failure(e, ERR_TIMEOUT);
    tell(e, fn, arg);
    drop_if_useless(e);
}

/* Lower case, without the dot at the end; false when it can't be a name. */
static bool normalise(struct slice name, char out[MAX_NAME + 1], struct slice *normal)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > MAX_NAME)
        return false;
    for (size_t i = 0, label = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        label = c == '.' ? 0 : label + 1;
        if (label > 63 || (c == '.' && (i == 0 || out[i - 1] == '.')))
            return false;
        if (!isalnum(c) && c != '-' && c != '_' && c != '.')
            return false;
        out[i] = (char)tolower(c);
    }
    *normal = slice_of(out, name.len);
    return out[name.len - 1] != '.';
}

static bool answer_literal(struct dns *d, struct slice text, dns_fn fn, void *arg)
{
    struct addr addr;
    struct dns_answer answer = {.addrs = &addr, .naddrs = 1, .ttl_ms = d->max_ttl_ms};

    if (addr_parse_ip(text, 0, &addr) != 0)
        return false;
    fn(arg, 0, &answer);
    return true;
}

static bool answer_localhost(struct dns *d, struct slice name, dns_fn fn, void *arg)
{
    struct addr own[2];
    struct dns_answer answer = {.addrs = own, .naddrs = 2, .ttl_ms = d->max_ttl_ms};

    if (!slice_eq(name, SLICE("localhost")) && !slice_ends(name, SLICE(".localhost")))
        return false;
    REQUIRE(addr_parse_ip(SLICE("127.0.0.1"), 0, &own[0]) == 0);
    REQUIRE(addr_parse_ip(SLICE("::1"), 0, &own[1]) == 0);
    fn(arg, 0, &answer);
    return true;
}

static bool answer_from_hosts(struct dns *d, struct slice name, dns_fn fn, void *arg)
{
    struct dns_answer answer = {.ttl_ms = HOSTS_TTL};

    answer.naddrs = hosts_find(d->hosts, name, &answer.addrs);
    if (answer.naddrs)
        fn(arg, 0, &answer);
    return answer.naddrs > 0;
}

static void start_lookup(struct entry *e)
{
    e->pending = true;
    dns_channel_ask(e->dns->channel, e->name, on_result, e);
}

static struct dns_query *ask(struct entry *e, dns_fn fn, void *arg)
{
    struct dns_query *q = malloc(sizeof(*q));

    REQUIRE(q != NULL);
    *q = (struct dns_query){.entry = e, .fn = fn, .arg = arg};
    list_append(&e->waiting, &q->link);
    timer_init(&q->deadline, e->dns->loop, on_deadline);
    timer_set(&q->deadline, e->dns->timeout_ms);
    if (!e->pending)
        start_lookup(e);
    return q;
}

struct dns_query *dns_resolve(struct dns *d, struct slice name, dns_fn fn, void *arg)
{
    char mem[MAX_NAME + 1];
    struct slice normal;
    struct entry *e;

    if (answer_literal(d, name, fn, arg))
        return NULL;
    if (!d->channel || !normalise(name, mem, &normal)) {
        fn(arg, d->channel ? ERR_DNS : ERR_CANCELLED, NULL);
        return NULL;
    }
    if (answer_localhost(d, normal, fn, arg) || answer_from_hosts(d, normal, fn, arg))
        return NULL;
    e = entry_get(d, normal);
    if (clock_ms() >= e->fresh_until_ms)
        return ask(e, fn, arg);
    tell(e, fn, arg);
    return NULL;
}

/* What was asked of the old servers and not answered is asked of the new ones. */
static void change_servers(struct dns *d, const struct dns_options *o)
{
    struct list pending;

    list_init(&pending);
    LIST_EACH (link, &d->recent) {
        struct entry *e = container_of(link, struct entry, recent);
        e->fresh_until_ms = 0;
        if (!e->pending)
            continue;
        list_remove(&e->recent);
        list_append(&pending, &e->recent);
    }
    dns_channel_free(d->channel);
    d->channel = dns_channel_new(d->loop, d->timeout_ms, o->servers, o->nservers);
    REQUIRE(d->channel != NULL);
    LIST_EACH (link, &pending)
        start_lookup(container_of(link, struct entry, recent));
    list_splice(&d->recent, &pending);
}

void dns_configure(struct dns *d, const struct dns_options *o)
{
    char *servers = join_servers(o);

    d->min_ttl_ms = o->min_ttl_ms;
    d->max_ttl_ms = o->max_ttl_ms;
    d->negative_ttl_ms = o->negative_ttl_ms;
    if (strcmp(servers, d->servers) != 0)
        change_servers(d, o);
    free(d->servers);
    d->servers = servers;
}

void dns_cancel(struct dns_query *q)
{
    query_free(q);
}
