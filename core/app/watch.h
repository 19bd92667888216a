/* SPDX-License-Identifier: Apache-2.0 */

/* watch: true. Looks at the files that a configuration was made of, and says when one has changed. Control thread. */

#ifndef DML_APP_WATCH_H
#define DML_APP_WATCH_H

#include "base/base.h"
#include "gate/conf_seen.h"

struct loop;
struct watch;

/* on_change: once for all that has changed together, when it changes no more. */
struct watch *watch_new(struct loop *l, void (*on_change)(void *arg), void *arg);
void watch_free(struct watch *w);

/* What to look at from now on (copied). With none it goes on with what it has. */
void watch_follow(struct watch *w, const struct conf_seen *seen, size_t n);

/* Has something changed since it was looked at, or told? Each change counts once. */
bool watch_look(struct watch *w);

void watch_switch(struct watch *w, bool is_on);

#endif
