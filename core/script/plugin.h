/* SPDX-License-Identifier: Apache-2.0 */

/* Plugins and the configuration: finding and loading them, checking their configs against their schemas, and the way of
 * configuration values into Lua. lua/demilune/plugin.lua does the Lua half. */

#ifndef DML_SCRIPT_PLUGIN_H
#define DML_SCRIPT_PLUGIN_H

#include "gate/phase.h"
#include "script/vm.h"

struct conf;
struct snapshot;

/* What a snapshot is checked with (snapshot_source.plugin_host). Borrows the VM. */
struct plugin_host *plugin_host_new(struct vm *vm);
void plugin_host_free(struct plugin_host *host);

/* Pushes a configuration value: maps and lists become tables, scalars what YAML made of them, null an absent one.
 * When open >= 0 it is the stack index of a table: the paths ("a.b[1]") of values that came from ${} are set in it, since
 * their type is the schema's to decide; they are pushed as texts. May raise a Lua error. */
void plugin_push_conf(lua_State *L, const struct conf *conf, int open);

/* Appends { consumer = { name, groups }, credential = table } for each credential of that kind to the table on top. */
void plugin_push_credentials(lua_State *L, const struct snapshot *s, struct slice kind);

#endif
