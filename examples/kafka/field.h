/* SPDX-License-Identifier: Apache-2.0 */

/* As much of JSON as this example's services need: the fields of one flat object. */

#ifndef FIELD_H
#define FIELD_H

#include <stddef.h>

/* The text or number of a field in `out`; "" when it is not there, or longer. */
void field(const char *json, const char *name, char *out, size_t size);

/* The same as a number; 0 when it is none. */
long field_number(const char *json, const char *name);

#endif
