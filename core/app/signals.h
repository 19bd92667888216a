/* SPDX-License-Identifier: Apache-2.0 */

/* Signals of the process: blocked in every thread, taken by a thread of their own, which turns each into mail for the
 * control thread. So no handler interrupts anything. */

#ifndef DML_APP_SIGNALS_H
#define DML_APP_SIGNALS_H

struct control;
struct signals;

/* In the first thread, before any other is started. */
void signals_block(void);

/* From now on control_on_signal is called for each (SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2). */
struct signals *signals_start(struct control *c);

/* Afterwards no more mail is sent. */
void signals_stop(struct signals *s);

#endif
