/* SPDX-License-Identifier: Apache-2.0 */

/* `user`: what the process becomes once its ports are bound. */

#ifndef DML_APP_PRIVILEGES_H
#define DML_APP_PRIVILEGES_H

#include "base/base.h"

struct faults;
struct snapshot;

/* Becomes the snapshot's user with that user's groups, in all threads, for good. Nothing happens when it is that user
 * already, or none is named. A fault when it can't be; the process must not go on then. Control thread, before there are
 * workers. */
void privileges_drop(const struct snapshot *s, struct faults *faults);

/* Has this process given up what it was started with? */
bool privileges_are_dropped(void);

#endif
