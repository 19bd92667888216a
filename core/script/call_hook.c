/* SPDX-License-Identifier: Apache-2.0 */

/* What boot.lua, plugin.lua and chain.lua need from the core besides the FFI. Nothing here waits. */

#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gate/conf_seen.h"
#include "gate/snapshot.h"
#include "script/calls.h"
#include "script/hooks.h"
#include "script/plugin.h"

/* wait_mark(): the value that is yielded for a wait. */
static int hook_wait_mark(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)co_wait_mark);
    return 1;
}

/* in_request(): does a hook run, or a task that a hook has made? */
static int hook_in_request(lua_State *L)
{
    const struct co *co = vm_of(L)->current;

    lua_pushboolean(L, co && co->phase >= 0 && co->phase < PHASE_START);
    return 1;
}

/* hook_failed(use, message): a hook has raised whose place says on_error: continue. */
static int hook_failed(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct slice message;

    message.ptr = luaL_checklstring(L, 2, &message.len);
    hooks_report_use(vm, luaL_checkint(L, 1), message);
    return 0;
}

/* consumers(kind): list of { consumer = { name, groups }, number, credential = table, place = text } */
static int hook_consumers(lua_State *L)
{
    struct vm *vm = vm_of(L);
    const char *kind = luaL_checkstring(L, 1);

    lua_settop(L, 1);
    lua_newtable(L);
    if (vm->snapshot)
        plugin_push_credentials(L, vm->snapshot, slice_from(kind));
    return 1;
}

/* consumer(name): { name, groups }, or nil when there is none of that name. */
static int hook_consumer(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct slice name;

    name.ptr = luaL_checklstring(L, 1, &name.len);
    const struct consumer *c = vm->snapshot ? snapshot_consumer(vm->snapshot, name) : NULL;
    if (c)
        plugin_push_consumer(L, c);
    else
        lua_pushnil(L);
    return 1;
}

/* has_group(name): is any consumer of the configuration in this group? */
static int hook_has_group(lua_State *L)
{
    const struct snapshot *s = vm_of(L)->snapshot;
    struct slice name;
    bool has = false;

    name.ptr = luaL_checklstring(L, 1, &name.len);
    for (uint32_t i = 0; s && !has && i < s->nconsumers; i++)
        for (uint32_t j = 0; !has && j < s->consumers[i]->ngroups; j++)
            has = slice_eq(s->consumers[i]->groups[j], name);
    lua_pushboolean(L, has);
    return 1;
}

/* Pushes the names in a folder that are no hidden ones: those that may be folders, or that may be files. */
static int push_names(lua_State *L, unsigned char kind)
{
    DIR *dir = opendir(luaL_checkstring(L, 1));
    int n = 0;

    lua_newtable(L);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' ||
            (entry->d_type != kind && entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN))
            continue;
        lua_pushstring(L, entry->d_name);
        lua_rawseti(L, -2, ++n);
    }
    if (dir)
        closedir(dir);
    return 1;
}

/* subfolders(folder): their names. */
static int hook_subfolders(lua_State *L)
{
    return push_names(L, DT_DIR);
}

/* files(folder): their names. */
static int hook_files(lua_State *L)
{
    return push_names(L, DT_REG);
}

/* make_folder(path): true; or nil and why not. */
static int hook_make_folder(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);

    if (mkdir(path, 0777) == 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, errno == EEXIST ? "it is there already" : strerror(errno));
    return 2;
}

/* open_metatable(table): of what stands for a value from ${}: { text = "..." }. */
static int hook_open_metatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, PLUGIN_OPEN);
    return 0;
}

/* file_print(path): of what is there now (conf_seen.h), for strict.seen. */
static int hook_file_print(lua_State *L)
{
    uint64_t print = conf_seen_print(luaL_checkstring(L, 1), false);

    lua_pushlstring(L, (const char *)&print, sizeof(print));
    return 1;
}

/* upstream(name): does the configuration have it? */
static int hook_upstream(lua_State *L)
{
    const struct vm *vm = vm_of(L);
    struct slice name;

    name.ptr = luaL_checklstring(L, 1, &name.len);
    lua_pushboolean(L, vm->snapshot && snapshot_upstream(vm->snapshot, name));
    return 1;
}

const struct call call_hook[] = {
    {"wait_mark", hook_wait_mark},
    {"in_request", hook_in_request},
    {"hook_failed", hook_failed},
    {"subfolders", hook_subfolders},
    {"files", hook_files},
    {"make_folder", hook_make_folder},
    {"open_metatable", hook_open_metatable},
    {"consumers", hook_consumers},
    {"consumer", hook_consumer},
    {"has_group", hook_has_group},
    {"upstream", hook_upstream},
    {"file_print", hook_file_print},
    {NULL, NULL},
};
