/* SPDX-License-Identifier: Apache-2.0 */

/* Access logs for Lua: the face of gate/access_log.c. */

#include <errno.h>

#include "gate/access_log.h"
#include "script/api_find.h"
#include "script/scope.h"

struct access_log *dml_access_log_new(const char *path, struct dml_slice *error)
{
    struct access_log *l;

    if (access_log_open(path, &l) == 0)
        return l;
    scope_error(error, slice_from(strerror(errno)));
    return NULL;
}

int dml_access_log_probe(const char *path, struct dml_slice *error)
{
    int rc = access_log_probe(path);

    if (rc < 0)
        scope_error(error, slice_from(strerror(errno)));
    return rc;
}

void dml_access_log_free(struct access_log *l)
{
    access_log_close(l);
}

int dml_access_log_field(struct access_log *l, const char *name, const char *value,
                         const struct dml_scope *scope, struct dml_slice *error)
{
    struct slice params[SCOPE_PARAMS_MAX], message = SLICE("at most 64 fields");
    struct selector_scope where = scope_of(scope, params);
    int rc = access_log_field(l, slice_from(name), slice_from(value), &where, &message);

    if (rc < 0)
        scope_error(error, message);
    return rc;
}

int dml_access_log_when(struct access_log *l, int from, int to)
{
    return access_log_when(l, from, to);
}

int dml_access_log_write(struct gateway *g, double handle, struct access_log *l)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    access_log_write(l, x);
    return 0;
}

int dml_access_log_line(struct gateway *g, double handle, struct access_log *l,
                        struct dml_slice *out)
{
    struct exchange *x = api_find(g, handle);
    struct slice line;

    if (!x)
        return ERR_GONE;
    if (!access_log_line(l, x, &line))
        return ERR_NOT_FOUND;
    *out = (struct dml_slice){line.ptr, line.len};
    return 0;
}
