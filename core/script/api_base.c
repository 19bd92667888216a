/* SPDX-License-Identifier: Apache-2.0 */

/* Leaf functions that need no exchange. */

#include "base/slice.h"
#include "base/text.h"
#include "gate/gateway.h"
#include "gate/hook_time.h"
#include "script/api.h"

int dml_abi(void)
{
    return DML_ABI;
}

void dml_hook_ran(struct gateway *g, int use)
{
    if (g->lap)
        hook_lap_end(g->lap, use);
}

int dml_distance(const char *a, size_t alen, const char *b, size_t blen)
{
    return text_distance(slice_of(a, alen), slice_of(b, blen));
}
