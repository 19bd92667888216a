/* SPDX-License-Identifier: Apache-2.0 */

/* Plugins are checked in a VM, each place with an instance. It can be that of the first worker, so that nothing is made
 * twice; the other workers' VMs make instances of what it has found out (plugin_use.converted). */

#include "app/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/library.h"
#include "base/metric.h"
#include "script/plugin.h"
#include "script/vm.h"

static const char *const default_files[] = {"demilune.yaml", "/etc/demilune/demilune.yaml"};

const char *load_file(const char *given)
{
    if (given)
        return given;
    /* One behind a folder that is closed is named all the same: who reads it will say what is wrong. */
    for (size_t i = 0; i < COUNT_OF(default_files); i++)
        if (access(default_files[i], F_OK) == 0 || errno == EACCES)
            return default_files[i];
    return NULL;
}

int load_no_file(void)
{
    fprintf(stderr,
            "demilune: no configuration: there is neither %s here nor %s (name one with -c FILE)\n",
            default_files[0], default_files[1]);
    return CLI_SYSTEM;
}

/* snapshot_source.plugin_host: asked when plugin_path is known. */
static struct plugin_host *make_host(void *arg, const struct snapshot *partly)
{
    struct load *l = arg;

    if (!metric_is_ready()) /* plugins make metrics when they are loaded */
        metric_init(partly ? partly->workers + 1 : 2, partly ? partly->metrics_max_series : 0);
    if (!l->needs_vm && !snapshot_names_plugins(partly))
        return NULL;
    l->is_workers = l->home && (!partly->user.ptr || geteuid() != 0);
    l->vm = library_vm(partly, l->is_workers ? l->home : &l->nowhere, 1, !l->is_workers);
    l->vm_failed = l->vm == NULL;
    if (!l->vm)
        return NULL;
    build_guard_start(&l->guard, partly);
    vm_guard(l->vm, l->guard.watch);
    l->host = plugin_host_new(l->vm, partly);
    return l->host;
}

int load_report(const struct faults *faults)
{
    struct buf out;

    buf_init(&out, 16 * MIB);
    faults_print(faults, &out, isatty(STDERR_FILENO) && !getenv("NO_COLOR"));
    fwrite(buf_slice(&out).ptr, 1, buf_len(&out), stderr);
    buf_deinit(&out);
    if (faults->nerrors == 0)
        return CLI_FINE;
    return faults->nsystem == faults->nerrors ? CLI_SYSTEM : CLI_FAULT;
}

static void begin(struct load *l, struct gateway *home)
{
    *l = (struct load){.arena = arena_new_heap(16 * KIB), .home = home};
    faults_init(&l->faults, l->arena);
}

static void load(struct load *l, const char *file, int workers, bool goes_on)
{
    struct snapshot_source source = {
        .path = file, .workers = workers, .goes_on = goes_on, .plugin_host = make_host, .arg = l};

    l->snapshot = snapshot_load(&source, &l->faults);
}

static int load_aloud(struct load *l, const char *file, int workers, struct gateway *home,
                      bool goes_on)
{
    begin(l, home);
    file = load_file(file);
    if (!file)
        return load_no_file();
    load(l, file, workers, goes_on);
    if (l->vm_failed)
        return CLI_SYSTEM;
    int status = load_report(&l->faults);
    return status == CLI_FINE && !l->snapshot ? CLI_FAULT : status;
}

int load_open(struct load *l, const char *file, int workers, struct gateway *home)
{
    return load_aloud(l, file, workers, home, false);
}

int load_again(struct load *l, const char *file, int workers, struct gateway *home)
{
    return load_aloud(l, file, workers, home, true);
}

static void close_vm(struct load *l)
{
    if (l->host)
        plugin_host_free(l->host);
    if (l->vm) {
        vm_guard(l->vm, NULL);
        vm_free(l->vm);
    }
    build_guard_stop(&l->guard);
    l->host = NULL;
    l->vm = NULL;
}

struct vm *load_take_vm(struct load *l)
{
    struct vm *vm = l->is_workers ? l->vm : NULL;

    if (vm) {
        vm_guard(vm, NULL);
        l->vm = NULL;
    }
    close_vm(l);
    return vm;
}

int load_read(struct load *l, const char *file, int workers, struct gateway *home)
{
    begin(l, home);
    load(l, file, workers, false);
    if (!l->snapshot)
        close_vm(l);
    if (l->vm_failed)
        fault_system(&l->faults, NULL, SLICE_NONE,
                     "the Lua library can't be loaded (the log says why)");
    if (l->faults.nerrors == 0 && l->snapshot)
        return CLI_FINE;
    return l->faults.nsystem == l->faults.nerrors ? CLI_SYSTEM : CLI_FAULT;
}

int load_bare(struct load *l)
{
    begin(l, NULL);
    l->needs_vm = true;
    make_host(l, NULL);
    return l->vm ? CLI_FINE : CLI_SYSTEM;
}

int load_library(struct load *l, const char *file)
{
    file = load_file(file);
    if (!file)
        return load_bare(l);
    begin(l, NULL);
    l->needs_vm = true;
    load(l, file, 0, false);
    if (l->vm)
        return CLI_FINE;
    return l->vm_failed ? CLI_SYSTEM : load_report(&l->faults);
}

void load_close(struct load *l)
{
    close_vm(l);
    if (l->snapshot)
        snapshot_unref(l->snapshot);
    faults_deinit(&l->faults);
    arena_free(l->arena);
}
