/* SPDX-License-Identifier: Apache-2.0 */

/* YAML 1.2 core schema (libyaml events) -> conf tree: duplicate keys are faults, aliases are bounded, ${NAME},
 * ${NAME:-default}, ${file:PATH} replaced in scalars, `include` merged (lists appended, a scalar set twice a fault).
 * Relative paths (include, ${file:}) are relative to the file that names them. */

#ifndef DML_GATE_CONF_YAML_H
#define DML_GATE_CONF_YAML_H

#include "gate/conf.h"

/* The tree, or NULL with faults. Partial trees are returned where a fault allows going on (to show all at once). */
struct conf *conf_yaml_load(const char *path, struct arena *a, struct faults *faults);

/* From memory (tests, the test kit); name is used in faults, relative paths are relative to `dir`. */
struct conf *conf_yaml_parse(struct slice text, const char *name, const char *dir, struct arena *a,
                             struct faults *faults);

#endif
