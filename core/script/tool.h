/* SPDX-License-Identifier: Apache-2.0 */

/* Commands that are written in Lua: how the command line and the admin endpoint call the library without knowing Lua.
 * A tool is a function of a module of the library; it gets texts and gives back one value. */

#ifndef DML_SCRIPT_TOOL_H
#define DML_SCRIPT_TOOL_H

#include "base/base.h"
#include "base/buf.h"
#include "script/vm.h"

struct loop;

/* Calls require(module)[function](args...), which may not wait, and appends the text that it returns to out. 0;
 * ERR_NOT_FOUND when it returned nil and a message, ERR_HOOK when it raised: then the message is appended. */
MUST_CHECK int tool_ask(struct vm *vm, const char *module, const char *function,
                        const char *const *args, size_t nargs, struct buf *out);

/* Runs require(module)[function](args), where args is a list, in a coroutine until it ends; so it may wait. Runs the
 * loop, which is that of the vm's gateway, meanwhile. What it returns must be a number: *result. ERR_HOOK when it
 * raised: the message is appended to out. */
MUST_CHECK int tool_run(struct vm *vm, struct loop *loop, const char *module, const char *function,
                        const char *const *args, size_t nargs, int *result, struct buf *out);

#endif
