/* SPDX-License-Identifier: Apache-2.0 */

/* Selectors and templates for Lua, and edits: lists of changes to a message's headers that are compiled at load and
 * applied to an exchange in one call. */

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "base/vec.h"
#include "gate/edit.h"
#include "gate/gateway.h"
#include "gate/selector.h"
#include "script/api_find.h"
#include "script/scope.h"

#define ERROR_MAX 512

/* --- parts --------------------------------------------------------------------------------------------------------- */

void scope_error(struct dml_slice *error, struct slice message)
{
    static _Thread_local char text[ERROR_MAX];
    size_t n = MIN(message.len, sizeof(text));

    memcpy(text, message.ptr, n);
    *error = (struct dml_slice){text, (int32_t)n};
}

static size_t split_params(const struct dml_scope *scope, struct slice *out, size_t max)
{
    struct slice rest = slice_of(scope->params, (size_t)scope->params_len), name;
    size_t n = 0;

    while (rest.len > 0 && n < max && slice_split(&rest, '\0', &name)) {
        if (name.len > 0)
            out[n++] = name;
    }
    return n;
}

struct selector_scope scope_of(const struct dml_scope *scope, struct slice *params)
{
    return (struct selector_scope){
        .params = params,
        .nparams = split_params(scope, params, SCOPE_PARAMS_MAX),
        .any_param = (scope->flags & DML_SCOPE_ANY_PARAM) != 0,
        .in_response = (scope->flags & DML_SCOPE_RESPONSE) != 0,
    };
}

bool part_compile(struct part *p, struct slice text, const struct dml_scope *scope, struct arena *a,
                  struct dml_slice *error)
{
    struct slice params[SCOPE_PARAMS_MAX];
    struct slice message = SLICE_NONE;
    struct selector_scope where = scope_of(scope, params);

    *p = (struct part){0};
    text = arena_dup(a, text);
    if (scope->flags & DML_SCOPE_SELECTOR) {
        p->selector = selector_compile(text, &where, a, &message);
    } else {
        p->template = template_compile(text, &where, a, &message);
        if (p->template) {
            p->constant = template_constant(p->template);
            p->selector = template_selector(p->template);
        }
    }
    if (p->selector || p->template)
        return true;
    scope_error(error, message);
    return false;
}

/* What is empty is nothing to a template, but a selector's value may be empty. */
struct slice part_value(const struct part *p, struct exchange *x)
{
    struct slice text = p->constant.ptr ? p->constant
                        : p->selector   ? selector_value(p->selector, x)
                                        : template_text(p->template, x, false);

    return text.len > 0 || !p->template ? text : SLICE_NONE;
}

/* --- templates ----------------------------------------------------------------------------------------------------- */

struct dml_template {
    struct arena *arena;
    struct part part;
};

struct dml_template *dml_template_new(const char *ptr, size_t len, const struct dml_scope *scope,
                                      struct dml_slice *error)
{
    struct arena *a = arena_new_heap(256);
    struct dml_template *t = arena_zero(a, sizeof(*t));

    t->arena = a;
    if (part_compile(&t->part, slice_of(ptr, len), scope, a, error))
        return t;
    arena_free(a);
    return NULL;
}

void dml_template_free(struct dml_template *t)
{
    arena_free(t->arena);
}

int dml_template_eval(struct gateway *g, double handle, const struct dml_template *t,
                      struct dml_slice *out)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    struct slice text = part_value(&t->part, x);
    if (!text.ptr)
        return ERR_NOT_FOUND;
    *out = (struct dml_slice){text.ptr, (int32_t)text.len};
    return 0;
}

/* --- edits --------------------------------------------------------------------------------------------------------- */

struct edit {
    enum dml_edit_op op;
    struct header_name name;
    struct part value;
    struct slice line; /* name and value in one, where the value is constant; else absent */
};

struct dml_edit {
    struct arena *arena;
    VEC(struct edit) list;
};

struct dml_edit *dml_edit_new(void)
{
    struct dml_edit *e = calloc(1, sizeof(*e));

    REQUIRE(e != NULL);
    e->arena = arena_new_heap(512);
    return e;
}

void dml_edit_free(struct dml_edit *e)
{
    vec_free(&e->list);
    arena_free(e->arena);
    free(e);
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
    if (edit.op != DML_EDIT_REMOVE &&
        !part_compile(&edit.value, slice_from(value), scope, e->arena, error))
        return ERR_SYNTAX;
    if (edit.value.constant.ptr && !text_is_field_value(edit.value.constant)) {
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
 * than the request refused. */
static int edit_one(struct exchange *x, enum side side, const struct edit *e)
{
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
    if (e->op == DML_EDIT_ADD || e->op == DML_EDIT_DEFAULT)
        return 0;
    return exchange_header_named(x, side, HEADER_REMOVE, &e->name, SLICE_NONE);
}

int dml_edit_apply(struct gateway *g, double handle, int side, const struct dml_edit *e)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    for (size_t i = 0; i < e->list.n; i++) {
        int rc = edit_one(x, (enum side)side, &e->list.items[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}
