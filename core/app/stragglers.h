/* SPDX-License-Identifier: Apache-2.0 */

/* Listening sockets that no worker has: an earlier gateway had more workers, and the sockets that its group shares can't
 * be closed without turning those away who are in their backlogs. The group is steered past them (app/sockets.h); who is
 * there all the same is accepted here and given to the workers by turns. Control thread. */

#ifndef DML_APP_STRAGGLERS_H
#define DML_APP_STRAGGLERS_H

struct control;
struct stragglers;

/* Of all listeners; accepts on the control thread's loop. NULL: there are none. */
struct stragglers *stragglers_start(struct control *c);

/* Accepts what is in the backlogs, then no more. Again, or NULL: does nothing. */
void stragglers_end(struct stragglers *s);

void stragglers_free(struct stragglers *s);

#endif
