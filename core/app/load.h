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
    struct vm
        *vm; /* in which plugins are loaded and their instances made; NULL when there are none */
    struct plugin_host *host;
    struct build_guard guard;
    struct gateway nowhere; /* where the VM lives that is no worker's; nothing runs in it */
    /* borrowed */
    struct gateway *home; /* of the worker that the VM is made for, or NULL */
    /* state */
    bool vm_failed;
    bool needs_vm;   /* even without plugins */
    bool is_workers; /* the VM is made for `home` */
};

/* The file of -c, or the first of the default files that exists. NULL: none does. */
const char *load_file(const char *given);

/* Says so on standard error; returns CLI_SYSTEM. */
int load_no_file(void);

/* Prints what is wrong with the file on standard error, and returns 0 or the exit status that it calls for. workers:
 * in place of the file's, or 0. home: the gateway of worker 1, of which only the address is used, when load_take_vm is to
 * follow; or NULL. After a fault load_close is to be called all the same. */
int load_open(struct load *l, const char *file, int workers, struct gateway *home);

/* The same for a gateway that goes on where another was (snapshot_source.goes_on). */
int load_again(struct load *l, const char *file, int workers, struct gateway *home);

/* The same without a word: what is wrong is in l->faults. */
int load_read(struct load *l, const char *file, int workers, struct gateway *home);

/* The VM, with the instance of each place where a plugin is enabled; the caller's now. NULL: worker 1 needs one of its own,
 * or none: there are no plugins, or this one has run with rights that `user` is to give up. */
struct vm *load_take_vm(struct load *l);

/* Only the VM, for what is asked about plugins: the file (if there is one) may have faults as long as its plugin_path
 * can be read. */
int load_library(struct load *l, const char *file);
void load_close(struct load *l);

/* Prints faults (warnings too) on standard error; the exit status for them: 0 when there are but warnings. */
int load_report(const struct faults *faults);

#endif
