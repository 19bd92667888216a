/* SPDX-License-Identifier: Apache-2.0 */

/* Where the program's Lua lies (lua/, plugins/), and VMs that know it. A program in its build tree takes that of its
 * source tree; an installed one that of its share/demilune. */

#ifndef DML_APP_LIBRARY_H
#define DML_APP_LIBRARY_H

#include "base/base.h"

struct gateway;
struct snapshot;
struct vm;

/* snapshot: for plugin_path and script.memory; NULL = none of both. number, is_trial: as in vm_options. NULL: the
 * library is missing or broken, which has been logged. */
struct vm *library_vm(const struct snapshot *snapshot, struct gateway *gateway, int number,
                      bool is_trial);

#endif
