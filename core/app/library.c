/* SPDX-License-Identifier: Apache-2.0 */

/* Looks for the library once for each VM: that is a few system calls beside the 20 ms that a VM takes. */

#include "app/library.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "gate/snapshot.h"
#include "script/vm.h"

struct places {
    char lua[PATH_MAX], plugins[PATH_MAX], luajit[PATH_MAX];
};

/* The folder that the program was started from, "" when the system does not tell. */
static void program_folder(char *out, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);

    out[MAX(n, 0)] = '\0';
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
}

static bool is_library(const char *lua)
{
    char boot[PATH_MAX + 32];

    snprintf(boot, sizeof(boot), "%s/demilune/boot.lua", lua);
    return access(boot, R_OK) == 0;
}

static bool take(struct places *p, const char *root, const char *below, const char *luajit)
{
    char fallback[PATH_MAX];

    if (snprintf(p->lua, sizeof(p->lua), "%s%s/lua", root, below) >= (int)sizeof(p->lua) ||
        snprintf(p->plugins, sizeof(p->plugins), "%s%s/plugins", root, below) >=
            (int)sizeof(p->plugins) ||
        snprintf(fallback, sizeof(fallback), "%s%s/luajit", root, below) >= (int)sizeof(fallback))
        return false;
    snprintf(p->luajit, sizeof(p->luajit), "%s", luajit ? luajit : fallback);
    return is_library(p->lua);
}

static bool find(struct places *p)
{
    char folder[PATH_MAX];

    program_folder(folder, sizeof(folder));
    if (strcmp(folder, DML_BINARY_DIR) == 0 && take(p, DML_SOURCE_DIR, "", DML_LUAJIT_SHARE))
        return true;
    return take(p, folder, "/../share/demilune", NULL) || take(p, DML_DATA_DIR, "", NULL);
}

/* plugin_path in the form that vm_options wants. */
static char *join_path(const struct snapshot *s)
{
    struct buf out;
    size_t len;
    int rc = 0;

    buf_init(&out, MIB);
    for (uint32_t i = 0; s && i < s->nplugin_path; i++)
        rc |= buf_printf(&out, "%s%.*s", i ? ";" : "", SLICE_ARG(s->plugin_path[i]));
    REQUIRE(rc == 0);
    return buf_take(&out, &len);
}

struct vm *library_vm(const struct snapshot *snapshot, struct gateway *gateway, int number,
                      bool is_trial)
{
    struct places places;
    char *error = NULL;

    if (!find(&places)) {
        LOG_ERROR("library.missing", "the Lua library is not there",
                  LOG_C("expected", DML_DATA_DIR "/lua"));
        return NULL;
    }
    char *path = join_path(snapshot);
    struct vm_options options = {
        .lua_dir = places.lua,
        .plugin_dirs = path,
        .shipped_dir = places.plugins,
        .luajit_dir = places.luajit,
        .gateway = gateway,
        .memory_cap = snapshot ? snapshot->script_memory : 0,
        .worker = number,
        .is_trial = is_trial,
    };
    struct vm *vm = vm_new(&options, &error);
    if (!vm)
        LOG_ERROR("library.broken", "the Lua library can't be loaded", LOG_C("folder", places.lua),
                  LOG_C("error", error));
    free(error);
    free(path);
    return vm;
}
