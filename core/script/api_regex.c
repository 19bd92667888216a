/* SPDX-License-Identifier: Apache-2.0 */

/* Regular expressions for Lua. */

#include "base/err.h"
#include "base/regex.h"
#include "script/api_lib.h"

#define GROUPS_MAX 32

static struct regex *inner(const struct dml_regex *re)
{
    return (struct regex *)(void *)re;
}

struct dml_regex *dml_regex_new(const char *ptr, size_t len, int flags, char *message, size_t size,
                                int *offset)
{
    size_t at = 0;
    unsigned f = (flags & DML_REGEX_CASELESS ? REGEX_CASELESS : 0u) |
                 (flags & DML_REGEX_UTF ? REGEX_UTF : 0u);
    struct regex *re = regex_new(slice_of(ptr, len), f, message, size, &at);

    *offset = (int)at;
    return (struct dml_regex *)(void *)re;
}

void dml_regex_free(struct dml_regex *re)
{
    regex_free(inner(re));
}

int dml_regex_match(const struct dml_regex *re, const char *ptr, size_t len, size_t from,
                    int32_t *spans, int nspans)
{
    struct slice groups[GROUPS_MAX];
    int n = MIN(nspans, GROUPS_MAX);

    if (from > len || len > INT32_MAX)
        return from > len ? 0 : ERR_LIMIT;
    for (int i = 0; i < n; i++)
        groups[i] = SLICE_NONE;
    int rc = regex_match(inner(re), slice_of(ptr, len), from, groups, n);
    for (int i = 0; rc > 0 && i < n; i++) {
        bool is_set = i < rc && groups[i].ptr != NULL;
        spans[2 * i] = is_set ? (int32_t)(groups[i].ptr - ptr) : -1;
        spans[2 * i + 1] = is_set ? spans[2 * i] + (int32_t)groups[i].len : -1;
    }
    return rc;
}

int dml_regex_group(const struct dml_regex *re, const char *name)
{
    return regex_group(inner(re), name);
}

int dml_regex_groups(const struct dml_regex *re)
{
    return regex_group_count(inner(re));
}
