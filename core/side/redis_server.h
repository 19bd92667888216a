/* SPDX-License-Identifier: Apache-2.0 */

/* Which Redis server, as whom, and how patiently: what the configuration's `redis` list, or a plugin, says. Immutable,
 * counted, made on any thread. */

#ifndef DML_SIDE_REDIS_SERVER_H
#define DML_SIDE_REDIS_SERVER_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/slice.h"

struct tls_client;
struct tls_session;

/* The parts of redis://user:password@host:port/0, rediss://..., unix://user:password@/path?db=0. */
struct redis_url {
    struct slice host; /* of a unix socket its path, which begins with "/" */
    uint16_t port;
    uint32_t database;
    struct slice user, password; /* still percent-coded; absent = none */
    bool is_tls;
};

/* NULL, or what is wrong with it. Points into text. */
const char *redis_url_parse(struct slice text, struct redis_url *out);

struct redis_options {
    struct slice name; /* in logs and metrics */
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms; /* of a command, unless its caller says otherwise */
    uint32_t pool_size, max_pending;
    uint64_t max_reply;
    bool is_guarded; /* it may not lie where plugins may not go (redis_env.is_denied) */
};

/* What stands where nothing is said; conf_keys.def says the same. */
#define REDIS_OPTIONS_USUAL \
    ((struct redis_options){.connect_timeout_ms = 1000, \
                            .timeout_ms = 1000, \
                            .pool_size = 2, \
                            .max_pending = 10000, \
                            .max_reply = 16 * MIB})

struct redis_server {
    atomic_int refs;
    struct redis_options options; /* name: NUL-terminated */
    struct slice host;            /* "unix:/path" for a socket */
    uint16_t port;
    uint32_t database;
    struct slice user, password; /* password absent: nothing is asked for */
    struct tls_client *tls;      /* or NULL */
    struct tls_session *session;
    struct slice server_name;
    struct slice identity; /* the same for servers whose connections may be shared */
};

/* tls: a reference is taken; wanted where the URL says so. server_name absent: the host's. */
struct redis_server *redis_server_new(const struct redis_url *url, const struct redis_options *o,
                                      struct tls_client *tls, struct slice server_name);

/* Any thread. */
struct redis_server *redis_server_ref(struct redis_server *s);
void redis_server_unref(struct redis_server *s); /* NULL is fine */

#endif
