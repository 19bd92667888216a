/* SPDX-License-Identifier: Apache-2.0 */

/* How calls of demilune.http are read from their table, and heads given to Lua: for call_http.c and call_http_stream.c. */

#ifndef DML_SCRIPT_CALL_HTTP_H
#define DML_SCRIPT_CALL_HTTP_H

#include "script/call_tls.h"
#include "script/co.h"
#include "script/http_call.h"

/* Fields of the table that is the first argument. Texts live as long as the table has them. */
struct slice http_field_text(lua_State *L, const char *name);
double http_field_number(lua_State *L, const char *name, double otherwise);

/* Reads method, path, query, authority, headers = { name, value ... }, connect_timeout, and host and port or upstream.
 * The texts are the table's. ERR_ARG; ERR_NOT_FOUND: no such upstream. */
MUST_CHECK int http_read(lua_State *L, struct http_call *c);

/* What raises when the table is wrong, so it comes first: the timeout in milliseconds, and TLS. */
uint64_t http_check(lua_State *L, struct tls_wish *tls);

/* The plan that a call of this coroutine goes by; raises when there is none yet. */
struct plan *http_plan(lua_State *L, const struct co *co);

/* Hands the reference over. */
void http_use_tls(struct http_call *c, const struct tls_wish *tls);

/* Pushes the status and { name, value, name, value ... }; returns 2. */
int http_push_head(lua_State *L, const struct message *m);

#endif
