/* SPDX-License-Identifier: Apache-2.0 */

/* What the api_*.c files share: handle -> exchange, and slices on their way out. */

#ifndef DML_SCRIPT_API_FIND_H
#define DML_SCRIPT_API_FIND_H

#include "base/err.h"
#include "base/slice.h"
#include "gate/exchange.h"
#include "gate/gateway.h"
#include "script/api.h"

/* NULL: gone. Without a gateway (a tool that only loads plugins) there are no exchanges. */
static inline struct exchange *api_find(struct gateway *g, double handle)
{
    return LIKELY(g != NULL) ? exchange_table_find(&g->table, handle) : NULL;
}

/* ERR_NOT_FOUND for an absent slice. */
static inline int api_give(struct dml_slice *out, struct slice s)
{
    out->ptr = s.ptr;
    out->len = (int32_t)s.len;
    return s.ptr ? 0 : ERR_NOT_FOUND;
}

#endif
