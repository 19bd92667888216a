/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUA_GATE_H
#define LUA_GATE_H

/* A whole gateway with Lua on one thread: a configuration, plugins in a folder that is made for them, a listener, and a
 * client that turns the loop until its answer is there. */

#include "gate/conf.h"
#include "gate/gateway.h"
#include "gate/snapshot.h"
#include "net/listener.h"
#include "script/vm.h"
#include "support/loopback.h"

struct lua_gate {
    struct gateway gateway;
    struct loop *loop;
    struct vm *vm;
    struct vm_watch watch;
    struct snapshot *snapshot;
    struct arena *arena; /* of the faults */
    struct faults faults;
    struct listener *listener;
    struct listener_quota quota;
    struct addr at;
    char folder[64]; /* of plugins */
    char **log;      /* lines */
    size_t nlog;
};

/* NAME/init.lua in the folder. `source` is the plugin's body: P is its table, with name, version and __index set. Before
 * lua_gate_start. */
void lua_gate_init(struct lua_gate *l);
void lua_gate_plugin(struct lua_gate *l, const char *name, const char *source);
void lua_gate_file(struct lua_gate *l, const char *path, const char *text);

/* The configuration, to which plugin_path is added. PORT in it is the listener's own port. False: there are faults. */
bool lua_gate_start(struct lua_gate *l, const char *yaml);
void lua_gate_deinit(struct lua_gate *l);

/* Sends text on a connection of its own and turns the loop until that is closed by the gateway. What came; valid until
 * the next call. Text without "\r\n\r\n" is made a GET of that path. */
const char *lua_gate_ask(struct lua_gate *l, const char *text);

/* The faults as they would be printed. */
const char *lua_gate_faults(struct lua_gate *l);

/* The first log line that has this text, or NULL. */
const char *lua_gate_logged(struct lua_gate *l, const char *text);

/* Forgets the lines so far, and moves the clock on, so that nothing of the next second is held back. */
void lua_gate_forget_log(struct lua_gate *l);

#endif
