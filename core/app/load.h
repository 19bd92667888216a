/* SPDX-License-Identifier: Apache-2.0 */

/* From a file to a snapshot, with all its faults printed on the way: what run, check, routes and match have in
 * common. */

#ifndef DML_APP_LOAD_H
#define DML_APP_LOAD_H

#include "app/build_guard.h"
#include "base/base.h"
#include "gate/conf.h"
#include "gate/gateway.h"
#include "gate/snapshot.h"

struct plugin_host;
struct vm;

struct load {
    /* owned */
    struct arena *arena; /* of the faults */
    struct faults faults;
    struct snapshot *snapshot;
    struct vm *vm; /* in which plugins are loaded to be asked; NULL when none are */
    struct plugin_host *host;
    struct build_guard guard;
    struct gateway gateway; /* where the VM thinks that it lives; nothing runs in it */
    /* state */
    bool vm_failed;
};

/* The file of -c, or the first of the default files that exists. NULL: none does. */
const char *load_file(const char *given);

/* Says so on standard error; returns CLI_SYSTEM. */
int load_no_file(void);

/* Prints what is wrong with the file on standard error, and returns 0 or the exit status that it calls for. workers:
 * in place of the file's, or 0. After a fault load_close is to be called all the same. */
int load_open(struct load *l, const char *file, int workers);

/* The same for a gateway that goes on where another was (snapshot_source.goes_on). */
int load_again(struct load *l, const char *file, int workers);

/* The same without a word: what is wrong is in l->faults. The VM of the check has gone when it returns. */
int load_read(struct load *l, const char *file, int workers);

/* Only the VM, for what is asked about plugins: the file (if there is one) may have faults as long as its plugin_path
 * can be read. */
int load_library(struct load *l, const char *file);

/* The same without any file. */
int load_bare(struct load *l);

void load_close(struct load *l);

/* Prints faults (warnings too) on standard error; the exit status for them: 0 when there are but warnings. */
int load_report(const struct faults *faults);

#endif
