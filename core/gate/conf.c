/* SPDX-License-Identifier: Apache-2.0 */

/* The tree's few questions, and the collecting of faults; how they are printed is conf_fault.c's.
 * A fault copies all that it says into its own arena, but for the file, whose text the snippet is
 * cut from. */

#include "gate/conf.h"

#include <stdarg.h>
#include <stdio.h>

struct conf *conf_get(const struct conf *map, struct slice key)
{
    if (!map || map->type != CONF_MAP)
        return NULL;
    for (size_t i = 0; i < map->n; i++)
        if (slice_eq(map->pairs[i].key, key))
            return map->pairs[i].value;
    return NULL;
}

void conf_hide(const struct conf *node)
{
    const struct conf_file *file = node->file;

    for (uint32_t line = node->line; file && line <= node->end_line && line <= file->nlines; line++)
        file->hidden[line / 8] |= (uint8_t)(1u << line % 8);
}

void conf_mark_secret(struct conf *node)
{
    node->is_secret = true;
    conf_hide(node);
    for (size_t i = 0; node->type == CONF_MAP && i < node->n; i++)
        conf_mark_secret(node->pairs[i].value);
    for (size_t i = 0; node->type == CONF_LIST && i < node->n; i++)
        conf_mark_secret(node->items[i]);
}

const char *conf_type_name(enum conf_type type)
{
    static const char *const names[] = {
        [CONF_NULL] = "nothing",    [CONF_BOOL] = "true or false", [CONF_INT] = "a number",
        [CONF_NUMBER] = "a number", [CONF_STRING] = "a text",      [CONF_LIST] = "a list",
        [CONF_MAP] = "a map",
    };

    return names[type];
}

struct slice conf_shown(const struct conf *node, struct arena *a)
{
    size_t len = MIN(node->text.len, (size_t)60);

    if (node->is_secret || node->is_from_env)
        return SLICE("a hidden value");
    if (node->type == CONF_NULL || node->type == CONF_LIST || node->type == CONF_MAP)
        return slice_from(conf_type_name(node->type));
    while (len < node->text.len && ((uint8_t)node->text.ptr[len] & 0xc0) == 0x80)
        len--;
    return arena_printf(a, node->type == CONF_STRING ? "\"%.*s%s\"" : "%.*s%s", (int)len,
                        node->text.ptr, len < node->text.len ? "..." : "");
}

static void path_add(const struct conf_path *p, struct buf *out)
{
    int rc;

    if (!p)
        return;
    path_add(p->up, out);
    if (!p->key.ptr)
        rc = buf_printf(out, "[%zu]", p->index);
    else
        rc = buf_printf(out, "%s%.*s", buf_len(out) ? "." : "", SLICE_ARG(p->key));
    (void)rc; /* a path beyond the cap is cut */
}

struct slice conf_path_text(const struct conf_path *p, struct arena *a)
{
    struct buf text;

    buf_init(&text, 4096);
    path_add(p, &text);
    struct slice copy = buf_len(&text) ? arena_dup(a, buf_slice(&text)) : SLICE("");
    buf_deinit(&text);
    return copy;
}

void faults_init(struct faults *f, struct arena *a)
{
    *f = (struct faults){.arena = a};
}

void faults_deinit(struct faults *f)
{
    vec_free(&f->list);
    vec_free(&f->seen);
    map_deinit(&f->seen_paths);
    *f = (struct faults){0};
}

/* A fault is one line, and no key of a file may steer the terminal. */
static struct slice one_line(struct arena *a, struct slice s)
{
    struct slice copy = arena_dup(a, s);
    char *text = (char *)(uintptr_t)copy.ptr;

    for (size_t i = 0; i < copy.len; i++)
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f)
            text[i] = ' ';
    return copy;
}

static void add(struct faults *f, struct fault fault, const char *fmt, va_list args)
{
    fault.message = one_line(f->arena, arena_vprintf(f->arena, fmt, args));
    fault.path = one_line(f->arena, fault.path);
    f->nerrors += !fault.is_warning;
    f->nsystem += fault.is_system;
    vec_push(&f->list, fault);
}

/* at NULL: no place. */
static struct fault fault_of(const struct conf *at, struct slice path)
{
    struct fault fault = {.path = path};

    if (at) {
        fault.file = at->file;
        fault.line = at->line;
        fault.column = at->column;
        fault.hides_snippet = at->is_secret || at->is_from_env;
    }
    return fault;
}

void fault_at(struct faults *f, const struct conf *at, struct slice path, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    add(f, fault_of(at, path), fmt, args);
    va_end(args);
}

void fault_at_key(struct faults *f, const struct conf *map, struct slice key, struct slice path,
                  const char *fmt, ...)
{
    struct fault fault = fault_of(map, path);
    va_list args;

    for (size_t i = 0; map->type == CONF_MAP && i < map->n; i++) {
        const struct conf_pair *pair = &map->pairs[i];
        if (!slice_eq(pair->key, key))
            continue;
        fault.file = pair->file;
        fault.line = pair->line;
        fault.column = pair->column;
        break;
    }
    va_start(args, fmt);
    add(f, fault, fmt, args);
    va_end(args);
}

void warn_at(struct faults *f, const struct conf *at, struct slice path, const char *fmt, ...)
{
    struct fault fault = fault_of(at, path);
    va_list args;

    fault.is_warning = true;
    va_start(args, fmt);
    add(f, fault, fmt, args);
    va_end(args);
}

void fault_system(struct faults *f, const struct conf *at, struct slice path, const char *fmt, ...)
{
    struct fault fault = fault_of(at, path);
    va_list args;

    fault.is_system = true;
    va_start(args, fmt);
    add(f, fault, fmt, args);
    va_end(args);
}

void fault_plain(struct faults *f, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    add(f, (struct fault){0}, fmt, args);
    va_end(args);
}

void fault_at_place(struct faults *f, const struct conf_file *file, uint32_t line, uint32_t column,
                    const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    add(f, (struct fault){.file = file, .line = line, .column = column}, fmt, args);
    va_end(args);
}
