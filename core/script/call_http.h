/* SPDX-License-Identifier: Apache-2.0 */

/* How calls of demilune.http are read from their table, and heads given to Lua: for call_http.c and call_http_stream.c. */

#ifndef DML_SCRIPT_CALL_HTTP_H
#define DML_SCRIPT_CALL_HTTP_H

#include "script/co.h"
#include "script/http_call.h"

/* Fields of the table that is the first argument. Texts live as long as the table has them. */
struct slice http_field_text(lua_State *L, const char *name);
double http_field_number(lua_State *L, const char *name, double otherwise);

/* Reads method, path, query, authority, headers = { name, value ... }, connect_timeout, and host and port or upstream.
 * The texts are the table's. ERR_ARG; ERR_NOT_FOUND: no such upstream. */
MUST_CHECK int http_read(lua_State *L, struct http_call *c);

/* The field `timeout`; raises when it is none. */
uint64_t http_timeout_ms(lua_State *L);

/* The plan that a call of this coroutine goes by; raises when there is none yet. */
struct plan *http_plan(lua_State *L, const struct co *co);

/* Pushes the status and { name, value, name, value ... }; returns 2. */
int http_push_head(lua_State *L, const struct message *m);

#endif
