/* SPDX-License-Identifier: Apache-2.0 */

/* Bodies as far as nothing waits: setting one whole, and the chunk of a body hook. */

#include "script/api_find.h"

int dml_body_set(struct gateway *g, double handle, int side, const char *ptr, size_t len)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    int rc = exchange_body_set(x, side == DML_REQUEST ? SIDE_REQUEST : SIDE_RESPONSE,
                               slice_of(ptr, len));
    return rc == ERR_GONE ? ERR_LIMIT : rc;
}

int dml_chunk(struct gateway *g, double handle, struct dml_slice *out)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    (void)api_give(out, x->chunk_replaced ? x->chunk_out : x->chunk); /* of an earlier chain */
    return x->chunk_is_last;
}

int dml_chunk_replace(struct gateway *g, double handle, const char *ptr, size_t len)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    x->keeps_context = true;
    exchange_chunk_replace(x, slice_of(ptr, len));
    return 0;
}
