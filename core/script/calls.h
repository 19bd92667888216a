/* SPDX-License-Identifier: Apache-2.0 */

/* The functions that Lua calls as classic C functions: because they may wait (co.h), or because they need the Lua API.
 * Each file call_NAME.c ends with a table call_NAME[] of its functions, closed by {NULL, NULL}, and has a line here:
 * vm.c puts them all into one table, which Lua gets by require "demilune.core". */

#ifndef DML_SCRIPT_CALLS_H
#define DML_SCRIPT_CALLS_H

#include "script/co.h"

struct call {
    const char *name; /* in demilune.core: "task_spawn" */
    lua_CFunction fn;
};

#define CALL_FILES(X) \
    X(body) \
    X(cache) \
    X(crypto) \
    X(dns) \
    X(handshake) \
    X(hook) \
    X(http) \
    X(http_stream) \
    X(json) \
    X(kafka) \
    X(listen) \
    X(log) \
    X(net) \
    X(redis) \
    X(redis_sub) \
    X(spill) \
    X(store) \
    X(task) \
    X(test) \
    X(test_exchange) \
    X(test_kafka) \
    X(test_process) \
    X(time) \
    X(tls) \
    X(udp)

/* call_json.c: marks the table on top as a list, else as a map, so that it is one even when it is empty. */
void json_mark(lua_State *L, bool is_list);

#define CALL_DECLARE(file) extern const struct call call_##file[];
CALL_FILES(CALL_DECLARE)
#undef CALL_DECLARE

#endif
