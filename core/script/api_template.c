/* SPDX-License-Identifier: Apache-2.0 */

/* Selectors and templates for Lua, and what other objects hold of them: parts. */

#include "base/err.h"
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
                                        : template_text(p->template, x, TEMPLATE_TEXT);

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

struct slice template_value(const struct dml_template *t, struct exchange *x)
{
    return part_value(&t->part, x);
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
