/* SPDX-License-Identifier: Apache-2.0 */

/* Files are taken in the order of the patterns, and of one pattern by name. Merging is plain: lists
 * are appended, maps merged key by key, and a scalar that stands in two files is a fault, as no
 * order of files should decide what is meant. */

#include "gate/conf_include.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>

#include "gate/conf_scalar.h"

#define MAX_FILES 10000

struct including {
    /* borrowed */
    struct arena *arena;
    struct faults *faults;
    conf_read_fn read;
    void *arg;
    struct conf *root;
    /* owned */
    VEC(char *) seen; /* real paths, heap */
};

/* --- merging ---------------------------------------------------------------------------------- */

static void *room_for(struct arena *a, void *items, size_t n, size_t more, size_t size,
                      size_t *room)
{
    if (n + more <= *room)
        return items;
    *room = MAX(n + more, 2 * n);
    void *grown = arena_alloc(a, *room * size);
    if (n)
        memcpy(grown, items, n * size);
    return grown;
}

static void merge(struct including *in, struct conf *into, const struct conf_pair *pair,
                  const struct conf_path *path);

static void merge_list(struct including *in, struct conf *into, const struct conf *from)
{
    into->items =
        room_for(in->arena, into->items, into->n, from->n, sizeof(into->items[0]), &into->room);
    if (from->n)
        memcpy(into->items + into->n, from->items, from->n * sizeof(into->items[0]));
    into->n += from->n;
}

static void merge_map(struct including *in, struct conf *into, const struct conf *from,
                      const struct conf_path *path)
{
    into->pairs =
        room_for(in->arena, into->pairs, into->n, from->n, sizeof(into->pairs[0]), &into->room);
    for (size_t i = 0; i < from->n; i++) {
        const struct conf_pair *pair = &from->pairs[i];
        const struct conf_path here = {.up = path, .key = pair->key};
        struct conf *there = conf_get(into, pair->key);
        if (!path && slice_eq(pair->key, SLICE("include")))
            continue;
        if (!there)
            into->pairs[into->n++] = *pair;
        else
            merge(in, there, pair, &here);
    }
}

static void merge(struct including *in, struct conf *into, const struct conf_pair *pair,
                  const struct conf_path *path)
{
    const struct conf *from = pair->value;

    if (from->type == CONF_NULL)
        return;
    if (into->type == CONF_NULL)
        *into = *from;
    else if (into->type == CONF_LIST && from->type == CONF_LIST)
        merge_list(in, into, from);
    else if (into->type == CONF_MAP && from->type == CONF_MAP)
        merge_map(in, into, from, path);
    else
        fault_at_place(in->faults, pair->file, pair->line, pair->column,
                       "%.*s: is set twice, the first time at %.*s:%u",
                       SLICE_ARG(conf_path_text(path, in->arena)), SLICE_ARG(into->file->name),
                       into->line);
}

/* --- files ------------------------------------------------------------------------------------ */

static bool is_new(struct including *in, const char *path)
{
    char *real = realpath(path, NULL);

    for (size_t i = 0; real && i < in->seen.n; i++) {
        if (strcmp(in->seen.items[i], real) == 0) {
            free(real);
            return false;
        }
    }
    if (real)
        vec_push(&in->seen, real);
    return true; /* one without a real path: reading it says why */
}

static void include_from(struct including *in, const struct conf *file);

static void include_file(struct including *in, const char *path, const struct conf *at)
{
    if (in->seen.n > MAX_FILES) {
        fault_at(in->faults, at, SLICE("include"), "more than %d files", MAX_FILES);
        return;
    }
    if (!is_new(in, path)) {
        fault_at(in->faults, at, SLICE("include"), "%s is included already", path);
        return;
    }
    struct conf *file = in->read(in->arg, path, at);
    if (!file)
        return;
    merge_map(in, in->root, file, NULL);
    include_from(in, file);
}

static bool has_wildcard(struct slice pattern)
{
    return memchr(pattern.ptr, '*', pattern.len) || memchr(pattern.ptr, '?', pattern.len) ||
           memchr(pattern.ptr, '[', pattern.len);
}

static void include_pattern(struct including *in, const struct conf *item)
{
    struct slice pattern = conf_resolve(item->file->dir, item->text, in->arena);
    glob_t found;

    if (!has_wildcard(item->text)) {
        include_file(in, pattern.ptr, item);
        return;
    }
    faults_saw(in->faults, pattern.ptr, true);
    errno = 0;
    int rc = glob(pattern.ptr, GLOB_ERR, NULL, &found);
    if (rc == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            include_file(in, found.gl_pathv[i], item);
    else if (rc != GLOB_NOMATCH && errno != ENOENT) /* a folder that is not there has no files */
        fault_system(in->faults, item, SLICE("include"), "can't look for %s: %s", pattern.ptr,
                     rc == GLOB_NOSPACE ? "no memory" : strerror(errno));
    globfree(&found);
}

static void include_from(struct including *in, const struct conf *file)
{
    const struct conf *list = conf_get(file, SLICE("include"));

    for (size_t i = 0; list && list->type == CONF_LIST && i < list->n; i++) {
        const struct conf *item = list->items[i];
        if (item->type == CONF_STRING && !item->is_broken && item->text.len)
            include_pattern(in, item);
    }
}

void conf_include(struct conf *root, const char *path, conf_read_fn read, void *arg,
                  struct arena *a, struct faults *faults)
{
    struct including in = {.arena = a, .faults = faults, .read = read, .arg = arg, .root = root};

    if (!conf_get(root, SLICE("include")))
        return;
    if (path)
        is_new(&in, path);
    include_from(&in, root);
    for (size_t i = 0; i < in.seen.n; i++)
        free(in.seen.items[i]);
    vec_free(&in.seen);
}
