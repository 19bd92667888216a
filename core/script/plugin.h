/* SPDX-License-Identifier: Apache-2.0 */

/* Plugins and the configuration: finding and loading them, checking their configs against their schemas, and the way of
 * configuration values into Lua. lua/demilune/plugin.lua does the Lua half. */

#ifndef DML_SCRIPT_PLUGIN_H
#define DML_SCRIPT_PLUGIN_H

#include "gate/phase.h"
#include "script/vm.h"

struct chain;
struct conf;
struct consumer;
struct snapshot;

/* What a snapshot is checked with (snapshot_source.plugin_host). Borrows the VM, which it loads the plugins into and in
 * which it makes the instance of each place, so that what a plugin's `new` refuses is a fault: hooks_new finds them there
 * when it is given that VM. partly: the snapshot that is being built, whose settings and consumers are known already; or
 * NULL, when nothing is to be checked. */
struct plugin_host *plugin_host_new(struct vm *vm, const struct snapshot *partly);
void plugin_host_free(struct plugin_host *host);

/* --- inside the script floor --------------------------------------------------------------------------------------- */

/* Where the registry keeps the metatable of values that came from ${}. */
#define PLUGIN_OPEN "demilune.open"

/* Pushes { name, groups }. */
void plugin_push_consumer(lua_State *L, const struct consumer *c);

/* Appends { consumer = { name, groups }, number, credential = table, place } for each credential of that kind to the table
 * on top. number: the consumer's in this snapshot; place: as "consumers[0].credentials.key-auth[1]". kind is
 * NUL-terminated. */
void plugin_push_credentials(lua_State *L, const struct snapshot *s, struct slice kind);

/* Makes the instance of a place that another VM has made already (use->converted). Faults are added. False: it had to be
 * stopped, and so may be others of the same plugin. */
bool plugin_make_again(struct vm *vm, const struct snapshot *s, const struct plugin_use *use,
                       struct faults *faults);

/* Pushes the function of a chain's hooks of p, or of those behind the place `behind` (-1: all), which plugin.lua makes.
 * 1; 0 when there are none and nothing is pushed; -1 with a message in its place. is_timed: it calls dml_hook_ran. */
int plugin_push_chain(struct vm *vm, const struct chain *chain, enum phase p, int32_t behind,
                      bool is_timed);

/* Where all the hooks that a chain has of p can run in the core (core_hook.h): these, to be freed; they live as long as the
 * VM. Else NULL. */
struct hook_step *plugin_take_steps(struct vm *vm, const struct snapshot *s,
                                    const struct chain *chain, enum phase p);

#endif
