/* SPDX-License-Identifier: Apache-2.0 */

/* Policies: lists of what a token may say, made once. */

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "script/jwt.h"

#define SIZE_DEFAULT (16 * KIB)

struct dml_policy *jwt_policy_new(void)
{
    struct dml_policy *p = calloc(1, sizeof(*p));

    REQUIRE(p != NULL);
    p->arena = arena_new_heap(1 * KIB);
    p->max_size = SIZE_DEFAULT;
    return p;
}

void jwt_policy_free(struct dml_policy *p)
{
    arena_free(p->arena);
    free(p);
}

static struct jwt_list *list_of(struct dml_policy *p, int which)
{
    switch (which) {
    case DML_POLICY_ISSUER: return &p->issuers;
    case DML_POLICY_AUDIENCE: return &p->audiences;
    case DML_POLICY_TYPE: return &p->types;
    case DML_POLICY_REQUIRED: return &p->required;
    case DML_POLICY_CRITICAL: return &p->critical;
    case DML_POLICY_NOTED: return &p->noted;
    default: return NULL;
    }
}

struct slice jwt_short_type(struct slice type)
{
    struct slice prefix = SLICE("application/");

    if (type.len > prefix.len && slice_eq_nocase(slice_sub(type, 0, prefix.len), prefix))
        return slice_from_index(type, prefix.len);
    return type;
}

int jwt_policy_text(struct dml_policy *p, int which, struct slice text)
{
    struct jwt_list *list = list_of(p, which);

    if (!list || list->n == JWT_LIST_MAX)
        return list ? ERR_FULL : ERR_ARG;
    list->items[list->n++] =
        arena_dup(p->arena, which == DML_POLICY_TYPE ? jwt_short_type(text) : text);
    return 0;
}

int jwt_policy_number(struct dml_policy *p, int which, double n)
{
    if (!(n >= 0))
        return ERR_ARG;
    switch (which) {
    case DML_POLICY_SIGNING:
        if (n >= DML_SIGNINGS)
            return ERR_ARG;
        p->signings |= 1u << (unsigned)n;
        return 0;
    case DML_POLICY_SKEW: p->skew = n; return 0;
    case DML_POLICY_MAX_AGE: p->max_age = n; return 0;
    case DML_POLICY_MAX_SIZE:
        if (n < 1 || n > DML_JWT_SIZE_MAX)
            return ERR_ARG;
        p->max_size = (size_t)n;
        return 0;
    case DML_POLICY_ANY_AUD: p->any_audience = n != 0; return 0;
    case DML_POLICY_RAW: p->is_raw = n != 0; return 0;
    case DML_POLICY_UNTYPED: p->may_be_untyped = n != 0; return 0;
    default: return ERR_ARG;
    }
}

bool jwt_list_has(const struct jwt_list *list, struct slice text)
{
    for (int i = 0; i < list->n; i++)
        if (slice_eq(list->items[i], text))
            return true;
    return false;
}
