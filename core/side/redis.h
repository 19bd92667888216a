/* SPDX-License-Identifier: Apache-2.0 */

/* The Redis clients of one worker: a pool of connections for each server, shared by all who use it. Commands of several
 * hooks travel together; each waits for its own replies.
 *
 *   redis_use -> redis_send ... -> redis_unuse
 *
 * A pool dials when the first command comes, and once more when its connections are busy. One that can't be made or
 * does not answer makes the pool *down*: commands then fail at once with the reason, while it is tried again and again,
 * at growing distances (0.1 to 2 s, scattered, so that workers and gateways do not come all at one time). What is under
 * way when a connection is lost fails; nothing is sent twice.
 *
 * All on the thread of the loop. */

#ifndef DML_SIDE_REDIS_H
#define DML_SIDE_REDIS_H

#include "base/base.h"
#include "side/redis_conn.h"

struct redis;
struct redis_pool;
struct redis_server;

struct redis *redis_new(const struct redis_env *env);

/* Nobody uses a pool any more. */
void redis_free(struct redis *r);

/* For connections of one's own, such as a subscription's. */
struct redis_env *redis_env(struct redis *r);

/* The server's pool, found by its identity or made; each use is given back. One that nobody uses is kept for 10 s, so
 * that a reload finds it. */
struct redis_pool *redis_use(struct redis *r, struct redis_server *server);
void redis_unuse(struct redis_pool *p);

/* fn is called once, from the loop, unless the request (out) is given up. Or a code, and nothing follows: ERR_FULL (so
 * many are pending), ERR_LIMIT (too long), or why the pool is down. */
MUST_CHECK int redis_send(struct redis_pool *p, const struct redis_batch *batch,
                          uint32_t timeout_ms, redis_reply_fn fn, void *arg,
                          struct redis_request **out);

/* Why it is, or was last, down: for people. "" when it never was. */
const char *redis_why(const struct redis_pool *p);

/* Why a command may not be sent on a connection that others share (it would block them, or change it): a static text,
 * or NULL. */
const char *redis_command_fault(const struct slice *words, size_t n);

#endif
