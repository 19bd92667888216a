/* SPDX-License-Identifier: Apache-2.0 */

/* Scalars of a configuration: their type by the YAML 1.2 core schema, and ${} in them. Used by the
 * parser, and by the check, which types again what came from ${}. */

#ifndef DML_GATE_CONF_SCALAR_H
#define DML_GATE_CONF_SCALAR_H

#include "gate/conf.h"

/* Sets type, boolean and number from the text of a plain scalar. */
void conf_scalar_type(struct conf *node);

/* Replaces ${NAME}, ${NAME:-default}, ${file:PATH} and $${ in the text, and sets the node's flags;
 * is_open when is_plain, or when the text is nothing but one ${}. False, with a fault, when it can't
 * be replaced: the text then stays as it was. */
bool conf_scalar_expand(struct conf *node, bool is_plain, struct arena *a, struct faults *faults);

/* Its text is a URL with a password. */
bool conf_scalar_has_password(struct slice text);

/* Reads a file of at most `max` bytes into the arena. A negative code; ERR_SYSTEM with errno,
 * ERR_LIMIT when it is longer. */
MUST_CHECK int conf_read_file(const char *path, size_t max, struct arena *a, struct slice *out);

/* path, when it is relative behind dir. NUL-terminated. */
struct slice conf_resolve(struct slice dir, struct slice path, struct arena *a);

#endif
