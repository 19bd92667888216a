/* SPDX-License-Identifier: Apache-2.0 */

/* The check of a tree against the table of keys. One walk over both: what is unknown, of the wrong
 * type, out of range, missing, or not supported yet. It goes on after a fault, so that all are said
 * at once, and marks what may never be shown. */

#include "gate/conf_keys.h"

#include "base/text.h"
#include "gate/conf_keys_table.h"
#include "gate/conf_scalar.h"

#define MAX_KEYS 40 /* of a section */

#define AT(f, p) conf_path_text(p, (f)->arena)

static void check_map(struct faults *f, struct conf *map, const struct section *s,
                      const struct conf_path *path);

/* --- wrong types ------------------------------------------------------------------------------ */

static void fault_of_type(struct faults *f, const struct conf *node, const struct conf_path *path,
                          const char *expected)
{
    struct slice shown = conf_shown(node, f->arena);

    fault_at(f, node, AT(f, path), "expected %s, got %.*s", expected, SLICE_ARG(shown));
}

static bool check_text(struct faults *f, struct conf *node, const struct conf_path *path)
{
    if (node->is_open)
        node->type = CONF_STRING;
    if (node->type == CONF_STRING)
        return true;
    if (node->type == CONF_MAP && node->n == 1 && node->pairs[0].value->type == CONF_NULL)
        fault_at(f, node, AT(f, path),
                 "expected a text, got a map (a text that begins with a brace wants quotes)");
    else if (node->type == CONF_LIST || node->type == CONF_MAP || node->type == CONF_NULL)
        fault_of_type(f, node, path, "a text");
    else
        fault_at(f, node, AT(f, path), "expected a text, got %.*s (put it in quotes)",
                 SLICE_ARG(conf_shown(node, f->arena)));
    return false;
}

struct unit {
    const char *name;
    double size;
};

/* A bound as one would write it in the file: 64KiB, 30d. */
static struct slice bound_text(const struct key *k, double n, struct arena *a)
{
    static const struct unit times[] = {
        {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    static const struct unit sizes[] = {{"GiB", 1024.0 * MIB}, {"MiB", MIB}, {"KiB", KIB}};
    const struct unit *units = k->type == KEY_DURATION ? times : sizes;
    size_t count = k->type == KEY_DURATION ? COUNT_OF(times)
                   : k->type == KEY_SIZE   ? COUNT_OF(sizes)
                                           : 0;

    for (size_t i = 0; n > 0 && i < count; i++) {
        uint64_t whole = (uint64_t)(n / units[i].size);
        if ((double)whole * units[i].size == n && whole > 0)
            return arena_printf(a, "%llu%s", (unsigned long long)whole, units[i].name);
    }
    return arena_printf(a, "%.0f", n);
}

static void check_range(struct faults *f, const struct key *k, const struct conf *node, double n,
                        const struct conf_path *path)
{
    bool is_small = n < k->min;
    struct slice bound = bound_text(k, is_small ? k->min : key_max(k), f->arena);

    if (!key_in_range(k, n))
        fault_at(f, node, AT(f, path), "expected at %s %.*s, got %.*s", is_small ? "least" : "most",
                 SLICE_ARG(bound), SLICE_ARG(conf_shown(node, f->arena)));
}

static void fault_of_number(struct faults *f, const struct key *k, const struct conf *node,
                            const struct conf_path *path)
{
    static const char *const expected[] = {
        [KEY_BOOL] = "true or false",
        [KEY_INT] = "a whole number",
        [KEY_WORKERS] = "auto or a whole number",
        [KEY_RATIO] = "a share such as 0.2 or 20%",
        [KEY_DURATION] = "a duration such as 250ms, 10s or 5m",
        [KEY_SIZE] = "a size such as 64KiB or 1MiB",
    };
    bool is_number = node->type == CONF_INT || node->type == CONF_NUMBER;

    if (k->type == KEY_DURATION && is_number && !node->is_from_env && !node->is_secret)
        fault_at(f, node, AT(f, path), "a duration needs a unit: %.*sms, %.*ss, ...",
                 SLICE_ARG(node->text), SLICE_ARG(node->text));
    else
        fault_of_type(f, node, path, expected[k->type]);
}

static void check_number(struct faults *f, const struct key *k, struct conf *node,
                         const struct conf_path *path)
{
    double n;

    if (k->type == KEY_WORKERS && node->type == CONF_STRING && slice_eq(node->text, SLICE("auto")))
        return;
    if (key_number(k, node, &n))
        check_range(f, k, node, n, path);
    else
        fault_of_number(f, k, node, path);
}

static const char *nearest_of(struct arena *a, const char *list, struct slice word)
{
    const char *words[MAX_KEYS];
    struct slice rest = slice_from(list), one;
    size_t n = 0;

    while (n < COUNT_OF(words) && slice_split(&rest, '|', &one))
        words[n++] = arena_dup(a, one).ptr;
    return text_nearest(word, words, n);
}

static void check_enum(struct faults *f, const struct key *k, struct conf *node,
                       const struct conf_path *path)
{
    struct slice rest = slice_from(k->of), one, list = SLICE("");

    if (!check_text(f, node, path) || key_list_has(k->of, node->text))
        return;
    while (slice_split(&rest, '|', &one))
        list = arena_printf(f->arena, "%.*s%s\"%.*s\"", SLICE_ARG(list), list.len ? ", " : "",
                            SLICE_ARG(one));
    bool is_hidden = node->is_secret || node->is_from_env;
    const char *near = is_hidden ? NULL : nearest_of(f->arena, k->of, node->text);
    fault_at(f, node, AT(f, path), "expected one of %.*s, got %.*s%s%s%s", SLICE_ARG(list),
             SLICE_ARG(conf_shown(node, f->arena)), near ? ", did you mean \"" : "",
             near ? near : "", near ? "\"?" : "");
}

static void check_name(struct faults *f, struct conf *node, const struct conf_path *path)
{
    if (!check_text(f, node, path))
        return;
    struct slice s = node->text;
    bool is_good =
        s.len > 0 && s.len <= 128 && text_is_field_value(s) && slice_trim(s).len == s.len;
    for (size_t i = 0; i < s.len; i++)
        is_good &= s.ptr[i] != '\t' && s.ptr[i] != '/';
    if (!is_good)
        fault_at(f, node, AT(f, path),
                 "a name has 1 to 128 characters, no slash and no blanks around it");
}

/* --- lists and maps --------------------------------------------------------------------------- */

static void check_texts(struct faults *f, struct conf *node, const struct conf_path *path)
{
    if (node->type != CONF_LIST) {
        fault_of_type(f, node, path, "a list of texts");
        return;
    }
    for (size_t i = 0; i < node->n; i++) {
        const struct conf_path here = {.up = path, .index = i};
        if (!node->items[i]->is_broken)
            check_text(f, node->items[i], &here);
    }
}

static void check_words(struct faults *f, struct conf *node, const struct conf_path *path)
{
    if (node->type != CONF_MAP) {
        fault_of_type(f, node, path, "a map from texts to texts");
        return;
    }
    for (size_t i = 0; i < node->n; i++) {
        const struct conf_path here = {.up = path, .key = node->pairs[i].key};
        if (!node->pairs[i].value->is_broken)
            check_text(f, node->pairs[i].value, &here);
    }
}

static void check_maps(struct faults *f, const struct key *k, struct conf *node,
                       const struct conf_path *path)
{
    const struct section *section = section_find(k->of);

    if (node->type != CONF_LIST) {
        fault_of_type(f, node, path, "a list");
        return;
    }
    for (size_t i = 0; i < node->n; i++) {
        const struct conf_path here = {.up = path, .index = i};
        check_map(f, node->items[i], section, &here);
    }
}

/* A key set to its off value or default says nothing that is not so. An empty map is none: `tls: {}` is TLS
 * with its defaults. */
static bool is_off(const struct key *k, const struct conf *node)
{
    double n;

    if (node->type == CONF_LIST)
        return node->n == 0;
    return k->fallback && key_number(k, node, &n) && n == key_fallback(k);
}

static void check_supported(struct faults *f, const struct key *k, const struct conf *map,
                            const struct conf *node, const struct conf_path *path)
{
    bool is_whole = strcmp(k->later, "*") == 0;
    struct slice word =
        node->type == CONF_BOOL ? slice_from(node->boolean ? "true" : "false") : node->text;

    if (is_whole ? is_off(k, node) : !key_list_has(k->later, word))
        return;
    if (is_whole)
        fault_at_key(f, map, path->key, AT(f, path), "not yet supported%s%s%s",
                     k->fallback ? " (only " : "", k->fallback ? k->fallback : "",
                     k->fallback ? ")" : "");
    else
        fault_at(f, node, AT(f, path), "%.*s is not yet supported",
                 SLICE_ARG(conf_shown(node, f->arena)));
}

static void check_value(struct faults *f, const struct key *k, const struct conf *map,
                        struct conf *node, const struct conf_path *path)
{
    if (k->is_secret)
        conf_mark_secret(node);
    if (node->is_broken || (node->type == CONF_NULL && !k->is_needed))
        return;
    if (k->later)
        check_supported(f, k, map, node, path);
    switch (k->type) {
    case KEY_TEXT: check_text(f, node, path); break;
    case KEY_NAME: check_name(f, node, path); break;
    case KEY_ENUM: check_enum(f, k, node, path); break;
    case KEY_TEXTS: check_texts(f, node, path); break;
    case KEY_WORDS: check_words(f, node, path); break;
    case KEY_MAPS: check_maps(f, k, node, path); break;
    case KEY_MAP: check_map(f, node, section_find(k->of), path); break;
    case KEY_REDIRECT:
        if (node->type == CONF_MAP)
            check_map(f, node, section_find(k->of), path);
        else if (!slice_eq(node->text, SLICE("https")))
            fault_of_type(f, node, path, "https or a map with `to`");
        break;
    case KEY_ANY:
        if (node->type != CONF_MAP)
            fault_of_type(f, node, path, "a map");
        break;
    default: check_number(f, k, node, path); break;
    }
}

static void fault_of_unknown(struct faults *f, const struct conf *map, const struct section *s,
                             struct slice key, const struct conf_path *path)
{
    const char *names[MAX_KEYS];
    size_t n = 0;

    for (; n < s->n; n++)
        names[n] = s->keys[n].name;
    const char *near = text_nearest(key, names, n);
    if (near)
        fault_at_key(f, map, key, AT(f, path), "unknown key, did you mean \"%s\"?", near);
    else
        fault_at_key(f, map, key, AT(f, path), "unknown key");
}

static void check_needed(struct faults *f, const struct conf *map, const struct section *s,
                         const struct conf_path *path)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct key *k = &s->keys[i];
        if (k->is_needed && !conf_get(map, slice_from(k->name)))
            fault_at(f, map, AT(f, path), "\"%s\" is missing", k->name);
    }
}

static void check_map(struct faults *f, struct conf *map, const struct section *s,
                      const struct conf_path *path)
{
    if (map->is_broken)
        return;
    if (map->type != CONF_MAP) {
        fault_of_type(f, map, path, "a map");
        return;
    }
    for (size_t i = 0; i < map->n; i++) {
        const struct conf_pair *pair = &map->pairs[i];
        const struct conf_path here = {.up = path, .key = pair->key};
        const struct key *k = key_find(s, pair->key);
        if (k)
            check_value(f, k, map, pair->value, &here);
        else
            fault_of_unknown(f, map, s, pair->key, &here);
    }
    check_needed(f, map, s, path);
}

void conf_check(struct conf *root, struct faults *faults)
{
    check_map(faults, root, section_find("root"), NULL);
}
