/* SPDX-License-Identifier: Apache-2.0 */

/* Widths are counted in characters, so that a name with an umlaut does not shift its row. */

#include "app/cli_table.h"

static size_t width_of(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((uint8_t)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

void table_row(struct table *t, const struct slice *cells, size_t n)
{
    REQUIRE(n <= TABLE_MAX_COLUMNS && (t->ncolumns == 0 || t->ncolumns == n));
    t->ncolumns = n;
    for (size_t i = 0; i < n; i++) {
        struct slice cell = cells[i].len ? cells[i] : SLICE("-");
        t->widths[i] = MAX(t->widths[i], width_of(cell));
        vec_push(&t->cells, slice_dup(cell));
    }
}

void table_print(const struct table *t, FILE *out, int indent)
{
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t column = i % t->ncolumns;
        const char *cell = t->cells.items[i];
        bool is_last = column + 1 == t->ncolumns;
        int pad = is_last ? 0 : (int)(t->widths[column] - width_of(slice_from(cell)) + 2);
        fprintf(out, "%*s%s%*s%s", column == 0 ? indent : 0, "", cell, pad, "",
                is_last ? "\n" : "");
    }
}

void table_deinit(struct table *t)
{
    for (size_t i = 0; i < t->cells.n; i++)
        free(t->cells.items[i]);
    vec_free(&t->cells);
}
