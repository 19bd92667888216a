/* SPDX-License-Identifier: Apache-2.0 */

/* Compiles selectors and templates. All that can be wrong is said here, at load: evaluating later
 * can only find something or nothing. */

#include "gate/selector_parts.h"

#include "base/err.h"
#include "base/text.h"
#include "base/vec.h"

struct word {
    const char *text;
    bool takes_name, is_late;
};

static const struct word words[SELECTOR_COUNT] = {
#define SELECTOR(kind, word, takes_name, late) [SELECTOR_##kind] = {word, takes_name, late},
    SELECTORS(SELECTOR)
#undef SELECTOR
};

static bool has_name(const struct slice *names, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(names[i], name))
            return true;
    return false;
}

static bool is_param(const struct selector_scope *scope, struct slice name)
{
    return has_name(scope->params, scope->nparams, name);
}

/* The word that the text begins with; the name behind its colon. SELECTOR_COUNT: none. */
static enum selector_kind kind_of(struct slice text, struct slice *name)
{
    ssize_t colon = slice_find_char(text, ':');
    struct slice word = colon < 0 ? text : slice_sub(text, 0, (size_t)colon);

    *name = SLICE_NONE;
    for (int k = 0; k < SELECTOR_COUNT; k++) {
        if (!words[k].takes_name && slice_eq(text, slice_from(words[k].text)))
            return (enum selector_kind)k;
        if (words[k].takes_name && slice_eq(word, slice_from(words[k].text))) {
            *name = colon < 0 ? SLICE("") : slice_from_index(text, (size_t)colon + 1);
            return (enum selector_kind)k;
        }
    }
    return SELECTOR_COUNT;
}

static struct slice unknown(struct slice text, const struct selector_scope *scope, struct arena *a)
{
    const char *names[SELECTOR_COUNT + 64];
    ssize_t colon = slice_find_char(text, ':');
    struct slice word = colon < 0 ? text : slice_sub(text, 0, (size_t)colon);
    struct slice rest = colon < 0 ? SLICE("") : slice_from_index(text, (size_t)colon);
    size_t n = 0;

    for (; n < SELECTOR_COUNT; n++)
        names[n] = words[n].text;
    for (size_t i = 0; colon < 0 && i < scope->nparams && n < COUNT_OF(names); i++)
        names[n++] = arena_dup(a, scope->params[i]).ptr;
    const char *near = text_nearest(word, names, n);
    if (!near)
        return arena_printf(a, "unknown selector \"%.*s\"", SLICE_ARG(text));
    return arena_printf(a, "unknown selector \"%.*s\", did you mean \"%s%.*s\"?", SLICE_ARG(text),
                        near, SLICE_ARG(rest));
}

static struct slice unknown_param(struct slice name, const struct selector_scope *scope,
                                  struct arena *a)
{
    const char *names[64];
    size_t n = 0;

    for (; n < scope->nparams && n < COUNT_OF(names); n++)
        names[n] = arena_dup(a, scope->params[n]).ptr;
    const char *near = text_nearest(name, names, n);
    return arena_printf(a, "not all paths of the route have a parameter \"%.*s\"%s%s%s",
                        SLICE_ARG(name), near ? ", did you mean \"" : "", near ? near : "",
                        near ? "\"?" : "");
}

/* Absent: all is well. */
static struct slice wrong_name(enum selector_kind kind, struct slice name,
                               const struct selector_scope *scope, struct arena *a)
{
    const char *word = words[kind].text;

    if (words[kind].is_late && !scope->in_response)
        return arena_printf(a, "\"%s\" is known only when there is a response", word);
    if (!words[kind].takes_name)
        return SLICE_NONE;
    if (name.len == 0)
        return arena_printf(a, "\"%s\" wants a name behind it: %s:NAME", word, word);
    if ((kind == SELECTOR_HEADER || kind == SELECTOR_RESPONSE || kind == SELECTOR_COOKIE) &&
        !text_is_token(name))
        return arena_printf(a, "\"%.*s\" can't be the name of a %s", SLICE_ARG(name),
                            kind == SELECTOR_COOKIE ? "cookie" : "header");
    if (kind == SELECTOR_PARAM && !scope->any_param && !is_param(scope, name))
        return unknown_param(name, scope, a);
    return SLICE_NONE;
}

static struct selector *new_selector(enum selector_kind kind, struct slice name, struct arena *a)
{
    struct selector *s = arena_zero(a, sizeof(*s));

    s->kind = kind;
    s->name = arena_dup(a, name);
    if (kind == SELECTOR_HEADER || kind == SELECTOR_RESPONSE)
        s->header_id = header_id(name);
    return s;
}

struct selector *selector_compile(struct slice text, const struct selector_scope *scope,
                                  struct arena *a, struct slice *error)
{
    struct slice name;
    enum selector_kind kind = kind_of(text, &name);

    *error = SLICE_NONE;
    if (text.len == 0)
        *error = SLICE("an empty selector");
    else if (kind == SELECTOR_COUNT)
        *error = unknown(text, scope, a);
    else
        *error = wrong_name(kind, name, scope, a);
    return error->ptr ? NULL : new_selector(kind, name, a);
}

/* What stands in braces: a parameter's name comes before a selector's. */
static struct selector *compile_braced(struct slice text, const struct selector_scope *scope,
                                       struct arena *a, struct slice *error)
{
    if (is_param(scope, text))
        return new_selector(SELECTOR_PARAM, text, a);
    if (has_name(scope->partial, scope->npartial, text)) {
        *error = unknown_param(text, scope, a);
        return NULL;
    }
    struct selector *s = selector_compile(text, scope, a, error);
    if (!s && text.len && strchr("\" \n{[", text.ptr[0]))
        *error = SLICE("a brace in a template begins a selector; write {{ for a brace");
    return s;
}

struct part_list {
    struct template_part *items;
    size_t n, cap;
};

static struct template *finish(struct part_list *parts, struct arena *a)
{
    struct template *t = arena_zero(a, sizeof(*t));

    t->n = parts->n;
    t->parts = arena_alloc(a, parts->n * sizeof(t->parts[0]));
    if (t->n)
        memcpy(t->parts, parts->items, t->n * sizeof(t->parts[0]));
    return t;
}

/* The literal text at the front, braces made single; stops before a selector. */
static struct slice take_literal(struct slice *rest, struct arena *a)
{
    char *out = arena_alloc(a, rest->len + 1);
    size_t n = 0, i = 0;

    while (i < rest->len) {
        if (rest->ptr[i] == '{') {
            if (i + 1 >= rest->len || rest->ptr[i + 1] != '{')
                break;
            i++;
        }
        out[n++] = rest->ptr[i++];
    }
    out[n] = '\0';
    *rest = slice_from_index(*rest, i);
    return slice_of(out, n);
}

struct template *template_compile(struct slice text, const struct selector_scope *scope,
                                  struct arena *a, struct slice *error)
{
    struct part_list parts = {0};
    struct template *t = NULL;

    *error = SLICE_NONE;
    while (text.len) {
        struct slice literal = take_literal(&text, a);
        if (literal.len)
            vec_push(&parts, (struct template_part){.text = literal});
        if (text.len == 0)
            break;
        ssize_t end = slice_find_char(text, '}');
        if (end < 0) {
            *error = SLICE("a brace is not closed; write {{ for a brace");
            goto done;
        }
        struct selector *s = compile_braced(slice_sub(text, 1, (size_t)end - 1), scope, a, error);
        if (!s)
            goto done;
        vec_push(&parts, (struct template_part){.selector = s});
        text = slice_from_index(text, (size_t)end + 1);
    }
    t = finish(&parts, a);
done:
    vec_free(&parts);
    return t;
}

struct slice template_constant(const struct template *t)
{
    if (t->n == 0)
        return SLICE("");
    return t->n == 1 && !t->parts[0].selector ? t->parts[0].text : SLICE_NONE;
}

const struct selector *template_selector(const struct template *t)
{
    return t->n == 1 ? t->parts[0].selector : NULL;
}
