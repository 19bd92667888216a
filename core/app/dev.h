/* SPDX-License-Identifier: Apache-2.0 */

/* run --dev: a worker holds each request (gate/hold.h) and asks the control thread, which looks at the files and reloads
 * first where one has changed. */

#ifndef DML_APP_DEV_H
#define DML_APP_DEV_H

struct worker;

/* While the worker is made; it has a control. */
void dev_hold_requests(struct worker *w);

#endif
