/* SPDX-License-Identifier: Apache-2.0 */

/* A table for people: columns as wide as their widest cell. */

#ifndef DML_APP_CLI_TABLE_H
#define DML_APP_CLI_TABLE_H

#include <stdio.h>

#include "base/slice.h"
#include "base/vec.h"

enum { TABLE_MAX_COLUMNS = 8 };

struct table {
    /* owned */
    VEC(char *) cells; /* row by row */
    /* state */
    size_t ncolumns;
    size_t widths[TABLE_MAX_COLUMNS];
};

/* A row; the first one is the heading. All have as many cells. Texts are copied; an absent or empty one is shown as
 * "-". */
void table_row(struct table *t, const struct slice *cells, size_t n);

/* Prints each row with `indent` blanks before it. */
void table_print(const struct table *t, FILE *out, int indent);
void table_deinit(struct table *t);

#endif
