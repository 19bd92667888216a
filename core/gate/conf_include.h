/* SPDX-License-Identifier: Apache-2.0 */

/* `include`: the files that a configuration names, read and merged into it. */

#ifndef DML_GATE_CONF_INCLUDE_H
#define DML_GATE_CONF_INCLUDE_H

#include "gate/conf.h"

/* Reads and parses one file; NULL with faults. at: the item of `include` that names it. */
typedef struct conf *(*conf_read_fn)(void *arg, const char *path, const struct conf *at);

/* Merges all that root includes, directly or through others, into root. path: of root's own file,
 * or NULL. */
void conf_include(struct conf *root, const char *path, conf_read_fn read, void *arg,
                  struct arena *a, struct faults *faults);

#endif
