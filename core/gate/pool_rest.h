/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of a connection that nobody here needs at the moment. In this order: it goes to a waiting claim of any
 * worker, on the lane's own list, on the target's shelf, away. For the pool's own files. */

#ifndef DML_GATE_POOL_REST_H
#define DML_GATE_POOL_REST_H

#include "gate/pool_lane.h"

/* o is in any place of the lane, or in none; it may be gone afterwards. */
void pool_rest(struct pool_lane *lane, struct outbound *o);

/* Gives idle connections to claims that wait, first those that fit, then the slots of others that it closes. */
void pool_serve(struct pool_group *g);

/* A live connection from the shelf of the lane's target, in no place; or NULL. */
struct outbound *pool_unshelve(struct pool_lane *lane);

/* Serves waiting claims with what lies on that shelf: somebody may have begun to wait after having looked there. */
void pool_serve_from_shelf(struct pool_lane *lane);

#endif
