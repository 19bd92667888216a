/* SPDX-License-Identifier: Apache-2.0 */

/* The gateway's end of what ties it to its supervisor (app/note.h): at its start the sockets that a gateway before it
 * had come through it, later orders. Its own thread waits for them and turns each into mail for the control thread. When
 * the supervisor has gone the gateway drains: nobody would restart it, and whoever starts another needs the ports. */

#ifndef DML_APP_LIFELINE_H
#define DML_APP_LIFELINE_H

#include "app/held.h"
#include "base/base.h"
#include "base/log.h"
#include "base/slice.h"

struct control;
struct lifeline;

/* The environment variable by which a gateway finds its end of the pair. */
#define LIFELINE_VARIABLE "DEMILUNE_GATEWAY"

/* The descriptor that a supervisor has left in this process, or -1: this is no gateway's process. Once: the variable is
 * removed. */
int lifeline_inherited(void);

/* Says hello and waits for what the supervisor has (a few seconds at most). Takes the descriptor over. NULL: it did not
 * come, which is logged. */
struct lifeline *lifeline_open(int fd);
void lifeline_close(struct lifeline *l);

/* The sockets that came, to be taken out. (TLS ticket keys that came are in use already.) */
struct held *lifeline_held(struct lifeline *l);
const struct note_welcome *lifeline_welcome(const struct lifeline *l);

/* From now on control_on_signal, control_on_retire and control_on_orphaned are called by mail. */
void lifeline_start(struct lifeline *l, struct control *c);
void lifeline_stop(struct lifeline *l);

/* The rest is for the control thread. A supervisor that does not answer is logged and gone on without. */

/* To be held from now on; descriptors are copied. */
void lifeline_keep(struct lifeline *l, struct slice name, const int *fds, size_t n);

/* Not to be held any more; an empty name: none at all. Waits (a second at most) until the supervisor has closed its own,
 * so that the caller may be the last who has them. */
void lifeline_drop(struct lifeline *l, struct slice name);

/* Another gateway serves the sockets now: they are no longer this one's to drop. */
void lifeline_retire(struct lifeline *l);

/* TLS ticket keys are held, too, for the next gateway: to be called now and then, since they change. */
void lifeline_keep_tickets(struct lifeline *l);
void lifeline_ready(struct lifeline *l, enum log_level level, enum log_format format);

/* It will have ended by then, or hangs and may be killed. */
void lifeline_ending(struct lifeline *l, uint64_t ms);

#endif
