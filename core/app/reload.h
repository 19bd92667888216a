/* SPDX-License-Identifier: Apache-2.0 */

/* Reloading, on the control thread: whoever asks for it (SIGHUP, POST /reload, a file that has changed) asks here.
 *
 *   asked -> a builder thread makes snapshot, VMs and plans -> new listeners are opened -> each worker swaps -> answered
 *
 * What is asked for while one is under way is one more after it, for all together. A reload that fails changes nothing. */

#ifndef DML_APP_RELOAD_H
#define DML_APP_RELOAD_H

#include "base/arena.h"
#include "base/base.h"
#include "base/list.h"
#include "base/slice.h"

struct control;
struct reload;
struct snapshot;

/* What came of one. */
struct reload_line {
    struct slice file; /* absent: no place */
    uint32_t line, column;
    struct slice path, message;
    bool is_warning;
};

struct reload_report {
    struct arena *arena;
    bool is_done;        /* the new configuration is in use */
    uint64_t version;    /* of the configuration that is in use now */
    struct slice id;     /* the same */
    uint64_t at_wall_ms; /* its end */
    struct reload_line *lines;
    size_t nlines;
};

/* One who waits for the next reload's end. */
struct reload_ask {
    struct list link;
    /* Called once, on the control thread. NULL: there will be none, the gateway leaves. */
    void (*on_end)(struct reload_ask *ask, const struct reload_report *report);
};

/* file, workers: of the command line (borrowed). */
struct reload *reload_new(struct control *c, const char *file, int workers);

/* None is under way any more; its last mail may still be. False: a build hangs in a plugin, and the process can't be
 * taken apart. */
bool reload_stop(struct reload *r);

/* After that, and after the mailbox. */
void reload_free(struct reload *r);

/* cause: for the log. ask: or NULL. */
void reload_ask(struct reload *r, const char *cause, struct reload_ask *ask);

/* Reloads if a file of the configuration has changed, and answers at the end of that, or of the one that is under way
 * already. Else, and when the gateway leaves, it answers with NULL at once. */
void reload_look(struct reload *r, struct reload_ask *ask);

/* It has lost interest. */
static inline void reload_unask(struct reload_ask *ask)
{
    list_remove(&ask->link);
}

/* The gateway is ready: what was asked for before begins. */
void reload_on_ready(struct reload *r);

/* A worker uses the new plan. */
void reload_on_swapped(struct reload *r);

/* The gateway leaves: none begins any more. */
void reload_refuse(struct reload *r);

/* The last one, or NULL. Until the next has ended. */
const struct reload_report *reload_last(const struct reload *r);

#endif
