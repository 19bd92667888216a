/* SPDX-License-Identifier: Apache-2.0 */

/* The files that a configuration was made of: its own, what it includes, secrets, certificates, plugins. Each with a
 * print of what was there when it was read, so that somebody can tell later whether it has changed. */

#ifndef DML_GATE_CONF_SEEN_H
#define DML_GATE_CONF_SEEN_H

#include "base/base.h"
#include "base/slice.h"

struct faults;

struct conf_seen {
    struct slice path; /* NUL-terminated */
    bool is_pattern;   /* of an include: its files count by their names */
    uint64_t print;
};

/* Notes it. Before it is read: a change in between is one. */
void faults_saw(struct faults *f, const char *path, bool is_pattern);

/* One that was noted elsewhere, with the print that it had then. */
void faults_saw_print(struct faults *f, struct conf_seen seen);

/* What is there now. A file is told by its inode, size and times, after symbolic links; one that is not there has a print,
 * too. */
uint64_t conf_seen_print(const char *path, bool is_pattern);

#endif
