/* SPDX-License-Identifier: Apache-2.0 */

/* A subscription: a connection of its own to which a Redis server pushes messages. What comes waits in a queue; while
 * that is full nothing is read, and the server's own limit decides how long that may last. A PING now and then finds out
 * whether the server is still there. Does not come back by itself when it has ended. On the loop's thread. */

#ifndef DML_SIDE_REDIS_SUB_H
#define DML_SIDE_REDIS_SUB_H

#include "base/base.h"
#include "base/slice.h"

struct redis_env;
struct redis_server;
struct redis_sub;

struct redis_news {
    bool is_ready; /* the server has confirmed all channels; no message */
    struct slice channel, text;
    struct slice pattern; /* absent: it was asked for by the channel's name */
};

/* on_news is called from the loop when redis_sub_next has something after it had nothing. ERR_LIMIT: the names of the
 * channels are too long. */
MUST_CHECK int redis_sub_open(struct redis_env *env, struct redis_server *server,
                              const struct slice *channels, uint32_t n, bool is_pattern,
                              void (*on_news)(void *arg), void *arg, struct redis_sub **out);

/* 0: *out is the next, and lives until the following call. ERR_AGAIN: there is none yet. Another code: it has ended, see
 * redis_sub_why. */
MUST_CHECK int redis_sub_next(struct redis_sub *s, struct redis_news *out);
const char *redis_sub_why(const struct redis_sub *s);

/* Frees it. */
void redis_sub_close(struct redis_sub *s);

#endif
