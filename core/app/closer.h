/* SPDX-License-Identifier: Apache-2.0 */

/* A thread that frees what is large (VMs, snapshots of many routes): no worker and no page of the admin endpoint waits
 * for it. */

#ifndef DML_APP_CLOSER_H
#define DML_APP_CLOSER_H

struct closer;

/* Starts the thread. */
struct closer *closer_new(void);

/* Ends it when all is freed. No giver may be left. */
void closer_free(struct closer *c);

/* fn(arg) runs on the closer's thread, soon. Any thread. */
void closer_give(struct closer *c, void (*fn)(void *arg), void *arg);

#endif
