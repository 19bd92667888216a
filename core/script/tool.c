/* SPDX-License-Identifier: Apache-2.0 */

/* A tool's module is loaded when it is asked for: the workers of a gateway do without. */

#include "script/tool.h"

#include "base/check.h"
#include "base/err.h"
#include "net/loop.h"
#include "script/co.h"

struct tool {
    const char *module, *function;
    const char *const *args;
    size_t nargs;
    struct loop *loop;
    struct buf *out;
    int *result;
    int err;
    bool has_ended;
};

static void add_message(struct buf *out, lua_State *L)
{
    const char *message = lua_tostring(L, -1);
    int rc = buf_add(out, slice_from(message ? message : "(an error that is no text)"));

    (void)rc; /* what is longer than the cap is not shown */
}

/* Pushes the function. 0, or ERR_HOOK with the message on the stack. */
static int push_tool(struct vm *vm, const char *module, const char *function)
{
    lua_getglobal(vm->L, "require");
    lua_pushstring(vm->L, module);
    int err = vm_call(vm, 1, 1);
    if (err < 0)
        return err;
    lua_pop(vm->L, 1);
    vm_push_function(vm, module, function);
    return 0;
}

int tool_ask(struct vm *vm, const char *module, const char *function, const char *const *args,
             size_t nargs, struct buf *out)
{
    lua_State *L = vm->L;
    int top = lua_gettop(L);
    int err = push_tool(vm, module, function);

    if (err == 0) {
        for (size_t i = 0; i < nargs; i++)
            lua_pushstring(L, args[i]);
        err = vm_call(vm, (int)nargs, 2);
    }
    if (err == 0 && lua_isnil(L, -2))
        err = ERR_NOT_FOUND;
    else if (err == 0)
        lua_pop(L, 1);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    if (err == 0 && text)
        err = buf_add(out, slice_of(text, len));
    else
        add_message(out, L);
    lua_settop(L, top);
    return err;
}

static void on_end(struct co *co, lua_State *L, enum co_end end, int nresults)
{
    struct tool *t = co->owner;

    t->has_ended = true;
    loop_stop(t->loop);
    if (end == CO_RETURNED) {
        *t->result = nresults > 0 ? (int)lua_tointeger(L, -nresults) : 0;
        return;
    }
    t->err = ERR_HOOK;
    add_message(t->out, L);
}

int tool_run(struct vm *vm, struct loop *loop, const char *module, const char *function,
             const char *const *args, size_t nargs, int *result, struct buf *out)
{
    struct tool tool = {.loop = loop, .out = out, .result = result};
    int err = push_tool(vm, module, function);

    if (err < 0) {
        add_message(out, vm->L);
        lua_pop(vm->L, 1);
        return err;
    }
    struct co *co = co_new(vm, NULL, on_end, &tool);
    lua_xmove(vm->L, co->thread, 1);
    lua_createtable(co->thread, (int)nargs, 0);
    for (size_t i = 0; i < nargs; i++) {
        lua_pushstring(co->thread, args[i]);
        lua_rawseti(co->thread, -2, (int)i + 1);
    }
    (void)co_run(co, 1);
    if (!tool.has_ended)
        loop_run(loop);
    return tool.err;
}
