/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of a connection that nobody here needs at the moment. In this order: it goes to a
 * waiting claim of any worker, on the lane's own list, on the target's shelf, away. For the
 * pool's own files.
 *
 * Only the lane's own list is dealt with at once. The news may come from the depth of the
 * connection's own reading, so giving it to another worker, or closing it, is left to the end of
 * the turn. */

#ifndef DML_GATE_POOL_REST_H
#define DML_GATE_POOL_REST_H

#include "gate/pool_lane.h"

/* o is in any place of the lane, or in none. */
void pool_rest(struct pool_lane *lane, struct outbound *o);

/* The end of that turn. */
void pool_settle(struct later *settle);

/* Gives idle connections to claims that wait: first those that fit, then the slots of others,
 * which it closes. Not from within an event of a connection. */
void pool_serve(struct pool_group *g);

/* A live connection from the shelf of the lane's target, in no place; or NULL. */
struct outbound *pool_unshelve(struct pool_lane *lane);

#endif
