/* SPDX-License-Identifier: Apache-2.0 */

/* A limit of file descriptors that is too low to start with is a fault that says so, and no crash at the first worker
 * that finds none left. */

#ifndef DML_APP_DESCRIPTORS_H
#define DML_APP_DESCRIPTORS_H

#include "gate/conf.h"

/* Once the listeners are bound: are there enough left for so many workers? Else a fault. */
void descriptors_check(int nworkers, struct faults *faults);

#endif
