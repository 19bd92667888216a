/* SPDX-License-Identifier: Apache-2.0 */

/* Hooks that the core runs without Lua: what a plugin has made at load (a list of edits, a limiter, a circuit) begins with
 * one, or has one. Where all plugins of a chain have such a hook in a phase, Lua is entered only when one of them says
 * so: it does what is to be done while all is well, and leaves the rest to the plugin's hook. */

#ifndef DML_SCRIPT_CORE_HOOK_H
#define DML_SCRIPT_CORE_HOOK_H

#include "base/base.h"

struct exchange;

struct dml_core_hook {
    /* True: the hook has run. False: nothing was done, and the plugin's hook is to run. Never replies. */
    bool (*run)(const struct dml_core_hook *hook, struct exchange *x);
};

#endif
