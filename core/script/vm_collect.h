/* SPDX-License-Identifier: Apache-2.0 */

/* Parts of vm.c: the collector of a VM. Each on the thread that the VM is used on. */

#ifndef DML_SCRIPT_VM_COLLECT_H
#define DML_SCRIPT_VM_COLLECT_H

#include "script/vm.h"

#define SMALL_ALLOC (64 * KIB) /* what the reserve beyond the cap is for */

/* Of what is made while a VM is built most stays. So all garbage is collected at once when there is much ... */
void vm_collect_while_building(struct vm *vm);

/* ... and no collection begins within the call into Lua that follows, if it makes little of it. */
void vm_put_off_collection(struct vm *vm);

/* An idle_fn; arg: the gateway. The loop has nothing to do: a piece of the collector's work that no request has to wait
 * for. */
bool vm_collect_in_quiet(void *arg);

#endif
