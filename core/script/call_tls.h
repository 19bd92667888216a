/* SPDX-License-Identifier: Apache-2.0 */

/* What the HTTP client and sockets for Lua share of TLS: who a plugin believes, and what it shows. */

#ifndef DML_SCRIPT_CALL_TLS_H
#define DML_SCRIPT_CALL_TLS_H

#include "base/slice.h"
#include "script/co.h"

struct tls_client;

struct tls_wish {
    struct tls_client *client; /* a reference */
    struct slice server_name;  /* absent: the host's; the table keeps it */
};

/* Reads the value at `index`: true, or a table { verify, ca, cert, key, server_name } of which ca, cert and key are PEM
 * texts. Raises for what is none of that. */
void tls_wish_read(lua_State *L, int index, struct tls_wish *out);

#endif
