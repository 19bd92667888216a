/* SPDX-License-Identifier: Apache-2.0 */

/* Parts of a snapshot in words, for the command line and the admin endpoint. All texts are made in the arena. */

#ifndef DML_APP_DESCRIBE_H
#define DML_APP_DESCRIBE_H

#include "base/arena.h"
#include "gate/route.h"

/* "a, b, c"; "" for none. */
struct slice describe_hosts(const struct route *r, struct arena *a);
struct slice describe_paths(const struct route *r, struct arena *a);
struct slice describe_methods(uint64_t methods, struct arena *a);
struct slice describe_headers(const struct route *r, struct arena *a);

/* The value that a route wants, "(hidden)" for a secret. */
struct slice describe_value(const struct route_header *h);

/* "upstream orders", "responds 200", "redirects to https". */
struct slice describe_action(const struct route *r, struct arena *a);

/* Names of a chain's plugins that have a hook among `hooks`, in order (or the reverse one). */
struct slice describe_chain(const struct chain *c, uint32_t hooks, bool reverse, struct arena *a);

/* "access, log": the names of a set of hooks. */
struct slice describe_hooks(uint32_t hooks, struct arena *a);

#endif
