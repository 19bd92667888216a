/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUA_VM_H
#define LUA_VM_H

/* A VM with the library of the source tree, on a loop of the test's own. */

#include "gate/gateway.h"
#include "script/vm.h"

/* ThreadSanitizer holds a signal back until the thread calls something that it knows: a loop in compiled Lua never
 * does, so nothing can stop it there. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LUA_VM_SKIP_STOPS() skip()
#endif
#endif
#ifndef LUA_VM_SKIP_STOPS
#define LUA_VM_SKIP_STOPS() ((void)0)
#endif

struct lua_vm {
    struct gateway gateway; /* only its loop and writer are set */
    struct vm_watch watch;
    struct vm *vm;
};

/* memory_cap 0 = none. The VM belongs to the calling thread, under watch. */
void lua_vm_init(struct lua_vm *l, size_t memory_cap);
void lua_vm_deinit(struct lua_vm *l);

/* Runs a chunk by vm_call; 0 or its code. What it returns, or the message, is on the stack as one value. */
int lua_vm_do(struct lua_vm *l, const char *chunk);

/* Runs a chunk in a coroutine and turns the loop until it has ended. Its first result as text, or the message; valid
 * until the next call. *failed may be NULL. */
const char *lua_vm_run(struct lua_vm *l, const char *chunk, bool *failed);

#endif
