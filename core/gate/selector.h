/* SPDX-License-Identifier: Apache-2.0 */

/* Selectors name a part of a request (client_ip, header:NAME, claim:a.b ...); templates are text
 * with selectors in braces. Compiled once at load, evaluated per exchange with no allocation. The
 * list of selectors is contract.md's, section 2. The one implementation: Lua's demilune.selector
 * asks this one too. */

#ifndef DML_GATE_SELECTOR_H
#define DML_GATE_SELECTOR_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

struct exchange;
struct selector;
struct template;

/* What the text may mention. */
struct selector_scope {
    const struct slice *params; /* path parameters that may be named; {id} is one in a template */
    size_t nparams;
    const struct slice *partial; /* those that only some of the route's paths have: naming one is a
                                    fault, also where a selector has the same name */
    size_t npartial;
    bool any_param;   /* global and consumer plugins: {param:ANY} is allowed, {id} is not */
    bool in_response; /* response and log hooks: status, upstream, response:NAME, duration */
};

/* NULL and a message in *error (in the arena): unknown selector with "did you mean", a missing
 * parameter, an empty name. */
struct selector *selector_compile(struct slice text, const struct selector_scope *scope,
                                  struct arena *a, struct slice *error);
struct template *template_compile(struct slice text, const struct selector_scope *scope,
                                  struct arena *a, struct slice *error);

/* A template without selectors: its text, else absent. */
struct slice template_constant(const struct template *t);

/* A template that is one selector: that, else NULL. */
const struct selector *template_selector(const struct template *t);

/* Absent when the request has no such part. Points into the exchange, or is made in its arena. */
struct slice selector_value(const struct selector *s, struct exchange *x);

/* Appends to out. ERR_FULL at out's cap. Parts that are absent add nothing: nothing at all added
 * means "nothing in it" (a header set to it is removed). */
MUST_CHECK int template_eval(const struct template *t, struct exchange *x, struct buf *out);

/* How values stand in what a template makes. */
enum template_form {
    TEMPLATE_TEXT, /* as they are, parameters decoded */
    TEMPLATE_PATH, /* of a URL: parameters and the path as they came, encoded; of others what a segment may not have is */
    TEMPLATE_URL, /* the same up to the first ? or # of the template's own; behind it each value is encoded as one */
};

/* The same, into the exchange's arena. */
struct slice template_text(const struct template *t, struct exchange *x, enum template_form form);

#endif
