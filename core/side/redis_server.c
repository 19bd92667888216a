/* SPDX-License-Identifier: Apache-2.0 */

/* URLs of Redis servers, and servers made of them. */

#include "side/redis_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "net/addr.h"
#include "net/tls_client.h"

#define PORT 6379
#define DATABASE_MAX 1000000

/* --- URLs ------------------------------------------------------------------------------------- */

/* user:password@ */
static const char *parse_login(struct slice *rest, struct redis_url *out)
{
    ssize_t at = slice_find_last_char(*rest, '@');

    if (at < 0)
        return NULL;
    struct slice login = slice_sub(*rest, 0, (size_t)at);
    ssize_t colon = slice_find_char(login, ':');
    *rest = slice_from_index(*rest, (size_t)at + 1);
    if (colon < 0)
        return "a user has a password: redis://user:password@host, or redis://:password@host";
    if (colon > 0)
        out->user = slice_sub(login, 0, (size_t)colon);
    out->password = slice_from_index(login, (size_t)colon + 1);

    char *scratch = malloc(login.len + 1);
    REQUIRE(scratch != NULL);
    bool fine = text_percent_decode(out->user, false, scratch) >= 0 &&
                text_percent_decode(out->password, false, scratch) >= 0;
    free(scratch);
    return fine ? NULL : "a % begins an escape, such as %40 for @";
}

static const char *parse_database(struct slice text, struct redis_url *out)
{
    uint64_t n;

    if (text.len == 0)
        return NULL;
    if (text_to_u64(text, DATABASE_MAX, &n) < 0)
        return "a database is a number, as in redis://host/0";
    out->database = (uint32_t)n;
    return NULL;
}

static const char *parse_place(struct slice rest, struct redis_url *out)
{
    ssize_t slash = slice_find_char(rest, '/');
    struct slice place = slash < 0 ? rest : slice_sub(rest, 0, (size_t)slash);

    if (slice_find_char(rest, '?') >= 0 || slice_find_char(rest, '#') >= 0)
        return "options are keys of their own, not part of the URL";
    if (addr_split(place, &out->host, &out->port) < 0 || out->host.len == 0)
        return "no host, such as redis://127.0.0.1:6379";
    if (out->port == 0)
        out->port = PORT;
    return slash < 0 ? NULL : parse_database(slice_from_index(rest, (size_t)slash + 1), out);
}

/* unix:///run/redis.sock?db=1 */
static const char *parse_socket(struct slice rest, struct redis_url *out)
{
    ssize_t query = slice_find_char(rest, '?');
    struct slice path = query < 0 ? rest : slice_sub(rest, 0, (size_t)query);
    struct addr a;

    if (!slice_starts(path, SLICE("/")))
        return "a unix socket has an absolute path, such as unix:///run/redis.sock";
    out->host = path;
    char *text = NULL;
    REQUIRE(asprintf(&text, "unix:%.*s", SLICE_ARG(path)) >= 0);
    int rc = addr_parse(slice_from(text), &a);
    free(text);
    if (rc < 0)
        return "the path of a unix socket has at most 107 bytes";
    if (query < 0)
        return NULL;
    struct slice option = slice_from_index(rest, (size_t)query + 1);
    if (!slice_starts(option, SLICE("db=")))
        return "the one option here is ?db=0";
    return parse_database(slice_from_index(option, 3), out);
}

const char *redis_url_parse(struct slice text, struct redis_url *out)
{
    ssize_t scheme = slice_find(text, SLICE("://"));
    struct slice word = scheme < 0 ? SLICE("") : slice_sub(text, 0, (size_t)scheme);
    struct slice rest = slice_from_index(text, scheme < 0 ? 0 : (size_t)scheme + 3);
    bool is_unix = slice_eq(word, SLICE("unix"));

    *out = (struct redis_url){.is_tls = slice_eq(word, SLICE("rediss"))};
    if (!is_unix && !out->is_tls && !slice_eq(word, SLICE("redis")))
        return "no URL of a Redis server: redis://host, rediss://host or unix:///path";
    if (memchr(text.ptr, '\0', text.len))
        return "has a NUL byte";
    const char *wrong = parse_login(&rest, out);
    if (wrong)
        return wrong;
    return is_unix ? parse_socket(rest, out) : parse_place(rest, out);
}

/* --- servers ---------------------------------------------------------------------------------- */

static struct slice copy(struct slice s)
{
    return s.ptr ? slice_of(slice_dup(s), s.len) : SLICE_NONE;
}

static struct slice decoded(struct slice s)
{
    if (!s.ptr)
        return SLICE_NONE;
    char *out = malloc(s.len + 1);
    REQUIRE(out != NULL);
    ssize_t n = text_percent_decode(s, false, out);
    return slice_of(out, n < 0 ? 0 : (size_t)n);
}

static struct slice host_of(const struct redis_url *url)
{
    char *text = NULL;

    if (!slice_starts(url->host, SLICE("/")))
        return copy(url->host);
    REQUIRE(asprintf(&text, "unix:%.*s", SLICE_ARG(url->host)) >= 0);
    return slice_from(text);
}

static struct slice identity_of(const struct redis_server *s)
{
    const struct redis_options *o = &s->options;
    struct slice tls = s->tls ? tls_client_identity(s->tls) : SLICE("");
    char *text = NULL;

    int n =
        asprintf(&text, "%.*s %.*s:%u/%u %zu:%.*s %zu:%.*s %u %u %u %u %llu %d %.*s %.*s",
                 SLICE_ARG(o->name), SLICE_ARG(s->host), s->port, s->database, s->user.len,
                 SLICE_ARG(s->user), s->password.len, SLICE_ARG(s->password), o->connect_timeout_ms,
                 o->timeout_ms, o->pool_size, o->max_pending, (unsigned long long)o->max_reply,
                 o->is_guarded, SLICE_ARG(tls), SLICE_ARG(s->server_name));
    REQUIRE(n >= 0);
    return slice_of(text, (size_t)n);
}

struct redis_server *redis_server_new(const struct redis_url *url, const struct redis_options *o,
                                      struct tls_client *tls, struct slice server_name)
{
    struct redis_server *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    atomic_init(&s->refs, 1);
    s->options = *o;
    s->options.name = copy(o->name);
    s->host = host_of(url);
    s->port = url->port;
    s->database = url->database;
    s->user = decoded(url->user);
    s->password = decoded(url->password);
    s->tls = url->is_tls ? tls_client_ref(tls) : NULL;
    s->session = s->tls ? tls_session_new() : NULL;
    s->server_name = copy(server_name.ptr ? server_name : s->host);
    s->identity = identity_of(s);
    return s;
}

struct redis_server *redis_server_ref(struct redis_server *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static void wipe(struct slice s)
{
    if (s.ptr)
        explicit_bzero((char *)(uintptr_t)s.ptr, s.len);
    free((char *)(uintptr_t)s.ptr);
}

void redis_server_unref(struct redis_server *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    tls_client_unref(s->tls);
    tls_session_unref(s->session);
    wipe(s->options.name);
    wipe(s->host);
    wipe(s->user);
    wipe(s->password);
    wipe(s->server_name);
    wipe(s->identity);
    free(s);
}
