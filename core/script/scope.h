/* SPDX-License-Identifier: Apache-2.0 */

/* For the api_*.c files whose objects hold templates: what Lua says a text may mention, and templates that keep the
 * memory they were compiled into. */

#ifndef DML_SCRIPT_SCOPE_H
#define DML_SCRIPT_SCOPE_H

#include "base/arena.h"
#include "gate/selector.h"
#include "script/api_lib.h"

struct exchange;

#define SCOPE_PARAMS_MAX 64

/* As the gate wants it; params has SCOPE_PARAMS_MAX slices and lives as long as the result. */
struct selector_scope scope_of(const struct dml_scope *scope, struct slice *params);

/* One text of either kind, in somebody's arena. */
struct part {
    const struct selector *selector; /* also of a template that is one selector; or */
    const struct template *template;
    struct slice constant; /* a template with no selectors: its text; else absent */
};

/* False: *error says why, valid until the next call of this thread. */
bool part_compile(struct part *p, struct slice text, const struct dml_scope *scope, struct arena *a,
                  struct dml_slice *error);

/* Absent when there is nothing to put in. Points into the exchange, its arena, or the part. */
struct slice part_value(const struct part *p, struct exchange *x);

/* The same of a template of Lua's. */
struct slice template_value(const struct dml_template *t, struct exchange *x);

/* Says *error; for messages of the api_*.c files themselves. */
void scope_error(struct dml_slice *error, struct slice message);

#endif
