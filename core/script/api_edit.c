/* SPDX-License-Identifier: Apache-2.0 */

/* Edits: lists of changes to a message's headers that are compiled at load and applied to an exchange in one call. What
 * can be checked and put together at load is: a constant value lies behind its name already. */

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "base/vec.h"
#include "gate/edit.h"
#include "gate/gateway.h"
#include "http/uri.h"
#include "script/api_find.h"
#include "script/core_hook.h"
#include "script/scope.h"

struct edit {
    enum dml_edit_op op;
    struct header_name name;
    struct part value;
    struct slice line; /* name and value in one, where the value is constant; else absent */
};

struct dml_edit {
    struct dml_core_hook hook; /* the first, so that its address is the list's */
    /* owned */
    struct arena *arena;
    VEC(struct edit) list;
    /* state */
    enum side side;
};

void dml_edit_free(struct dml_edit *e)
{
    vec_free(&e->list);
    arena_free(e->arena);
    free(e);
}

static bool is_host(const struct dml_edit *e, const struct header_name *name)
{
    return e->side == SIDE_REQUEST && name->id == HEADER_HOST;
}

static bool is_value(struct dml_edit *e, const struct edit *edit)
{
    struct slice value = edit->value.constant, host;
    uint16_t port;

    if (is_host(e, &edit->name))
        return uri_parse_host(slice_trim(value), e->arena, &host, &port) == 0;
    return text_is_field_value(value);
}

int dml_edit_add(struct dml_edit *e, int op, const char *name, const char *value,
                 const struct dml_scope *scope, struct dml_slice *error)
{
    struct edit edit = {.op = (enum dml_edit_op)op};
    struct slice text = arena_dup(e->arena, slice_from(name));

    if (header_name_init(&edit.name, text) < 0) {
        scope_error(error, text_is_token(text) ? SLICE("this header field is the gateway's own")
                                               : SLICE("not the name of a header field"));
        return ERR_ARG;
    }
    if (is_host(e, &edit.name) && (edit.op == DML_EDIT_REMOVE || edit.op == DML_EDIT_ADD)) {
        scope_error(error, SLICE("a request has exactly one: it can only be set"));
        return ERR_ARG;
    }
    if (edit.op != DML_EDIT_REMOVE &&
        !part_compile(&edit.value, slice_from(value), scope, e->arena, error))
        return ERR_SYNTAX;
    if (edit.value.constant.ptr && !is_value(e, &edit)) {
        scope_error(error, SLICE("not a value that a header field may have"));
        return ERR_ARG;
    }
    edit.value.constant = slice_trim(edit.value.constant);
    if (edit.value.constant.len > 0)
        edit.line = arena_printf(e->arena, "%s%.*s", name, SLICE_ARG(edit.value.constant));
    vec_push(&e->list, edit);
    return 0;
}

static bool has_field(const struct exchange *x, enum side side, const struct header_name *name)
{
    const struct message *m = side == SIDE_REQUEST ? x->request : x->response;

    return m && headers_find_name(&m->headers, name->text) != NULL;
}

static int put_line(struct exchange *x, enum side side, enum header_op op, const struct edit *e)
{
    char *line = arena_alloc(x->arena, e->line.len), *value = line + e->name.text.len;
    struct header_name name = {slice_of(line, e->name.text.len), e->name.id};

    slice_put(line, e->line);
    return exchange_header_put(x, side, op, &name, slice_of(value, e->line.len - e->name.text.len));
}

/* A value made of the request may hold what no header field can (a decoded parameter): then the field is removed rather
 * than the request refused. The host stays as it was. */
static int edit_one(struct exchange *x, const struct dml_edit *list, const struct edit *e)
{
    enum side side = list->side;
    enum header_op op = e->op == DML_EDIT_ADD ? HEADER_ADD : HEADER_SET;

    if (e->op == DML_EDIT_DEFAULT && has_field(x, side, &e->name))
        return 0;
    if (e->line.ptr)
        return put_line(x, side, op, e);
    struct slice value = e->op == DML_EDIT_REMOVE ? SLICE_NONE : part_value(&e->value, x);
    if (value.ptr) {
        int rc = exchange_header_named(x, side, op, &e->name, value);
        if (LIKELY(rc != ERR_ARG))
            return rc;
    }
    if (e->op == DML_EDIT_ADD || e->op == DML_EDIT_DEFAULT || is_host(list, &e->name))
        return 0;
    return exchange_header_named(x, side, HEADER_REMOVE, &e->name, SLICE_NONE);
}

static int edits_apply(struct exchange *x, const struct dml_edit *e)
{
    for (size_t i = 0; i < e->list.n; i++) {
        int rc = edit_one(x, e, &e->list.items[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* They can't fail: in the phases that may have them the message is still to be sent. */
static bool edits_run(const struct dml_core_hook *hook, struct exchange *x)
{
    (void)CHECK(edits_apply(x, container_of(hook, const struct dml_edit, hook)) == 0);
    return true;
}

struct dml_edit *dml_edit_new(int side)
{
    struct dml_edit *e = calloc(1, sizeof(*e));

    REQUIRE(e != NULL);
    e->hook.run = edits_run;
    e->side = side == DML_RESPONSE ? SIDE_RESPONSE : SIDE_REQUEST;
    e->arena = arena_new_heap(512);
    return e;
}

int dml_edit_apply(struct gateway *g, double handle, const struct dml_edit *e)
{
    struct exchange *x = api_find(g, handle);

    return x ? edits_apply(x, e) : ERR_GONE;
}
