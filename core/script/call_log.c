/* SPDX-License-Identifier: Apache-2.0 */

/* Lines of plugins in the operator's log. Which plugin, which place and which request is known here and need not be
 * said. Never waits. */

#include <lauxlib.h>
#include <stdio.h>

#include "base/log.h"
#include "gate/exchange.h"
#include "gate/snapshot.h"
#include "script/calls.h"

#define FIELDS_MAX 24
#define NAME_MAX_LEN 64

struct line {
    struct log_field fields[FIELDS_MAX + 3];
    char names[FIELDS_MAX][NAME_MAX_LEN];
    size_t n, nnames;
};

static void add_place(struct line *line, const struct vm *vm)
{
    int use = vm->cell.use;

    if (vm->snapshot && use >= 0 && (uint32_t)use < vm->snapshot->nuses) {
        line->fields[line->n++] = LOG_S("plugin", vm->snapshot->uses[use]->name);
        line->fields[line->n++] = LOG_S("place", vm->snapshot->uses[use]->scope);
    }
    if (vm->current && vm->current->exchange)
        line->fields[line->n++] = LOG_S("request_id", exchange_id(vm->current->exchange));
}

/* The value at the top, the name below it. Calls no metamethod. */
static void add_field(lua_State *L, struct line *line)
{
    if (lua_type(L, -2) != LUA_TSTRING || line->nnames == FIELDS_MAX)
        return;
    char *name = line->names[line->nnames++];
    snprintf(name, NAME_MAX_LEN, "%s", lua_tostring(L, -2));
    struct slice text;
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER: line->fields[line->n++] = LOG_D(name, lua_tonumber(L, -1)); break;
    case LUA_TBOOLEAN: line->fields[line->n++] = LOG_B(name, lua_toboolean(L, -1)); break;
    case LUA_TSTRING:
        text.ptr = lua_tolstring(L, -1, &text.len);
        line->fields[line->n++] = LOG_S(name, text);
        break;
    default: line->fields[line->n++] = LOG_C(name, luaL_typename(L, -1)); break;
    }
}

/* log_write(level, text, fields or nil) */
static int log_write_call(lua_State *L)
{
    struct line line;
    struct slice text;
    int level = luaL_checkint(L, 1);

    if (level < (int)log_level())
        return 0;
    text.ptr = luaL_checklstring(L, 2, &text.len);
    line.n = line.nnames = 0;
    add_place(&line, vm_of(L));
    if (lua_istable(L, 3)) {
        for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1))
            add_field(L, &line);
    }
    log_write(NULL, (enum log_level)level, "plugin", text, line.fields, line.n);
    return 0;
}

const struct call call_log[] = {
    {"log_write", log_write_call},
    {NULL, NULL},
};
