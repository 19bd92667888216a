/* SPDX-License-Identifier: Apache-2.0 */

/* libyaml's events -> tree. libyaml speaks YAML 1.1; what differs in 1.2 lies in the types of plain
 * scalars, which conf_scalar.c decides. An alias becomes a copy of what its anchor holds, so that no
 * two places share a node; what all aliases together copy is bounded, and depth too, so a small file
 * can't become a large tree. Children are gathered on two stacks and copied to the arena when their
 * parent ends: no allocation per node but the arena's. */

#include "gate/conf_yaml.h"

#include <errno.h>
#include <yaml.h>

#include "base/err.h"
#include "base/map.h"
#include "base/text.h"
#include "gate/conf_include.h"
#include "gate/conf_scalar.h"

#define MAX_FILE (256 * MIB)
#define MAX_DEPTH 64
#define MAX_COPIED 10000
#define MAX_ANCHORS 1000
#define LINEAR_KEYS 16 /* larger maps look for duplicate keys by hash */

struct loader {
    struct arena *arena;
    struct faults *faults;
    struct conf_file *last;
    uint32_t nfiles;
};

struct anchor {
    struct slice name;
    struct conf *node; /* NULL while it is open */
};

struct reader {
    /* owned */
    yaml_parser_t parser;
    VEC(struct conf_pair) pairs; /* of the open maps */
    VEC(struct conf *) items;    /* of the open lists */
    VEC(struct anchor) anchors;
    /* borrowed */
    struct arena *arena;
    struct faults *faults;
    struct conf_file *file;
    /* state */
    size_t copied;
};

/* --- faults of the parser --------------------------------------------------------------------- */

static void place_of_offset(struct slice text, size_t offset, uint32_t *line, uint32_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < offset && i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            ++*line;
            *column = 1;
        } else {
            *column += ((uint8_t)text.ptr[i] & 0xc0) != 0x80;
        }
    }
}

/* Inside { } and [ ] a brace ends a text that has no quotes: the most frequent slip with ${} and path parameters. */
static bool is_brace_in_flow(const struct reader *r, uint32_t line, uint32_t column)
{
    const char *inside = r->parser.context ? r->parser.context : "";
    struct slice rest = r->file->text, text = SLICE("");
    size_t at = 0;

    while (line-- > 0 && slice_split(&rest, '\n', &text))
        ;
    while (--column > 0 && at < text.len)
        for (at++; at < text.len && ((uint8_t)text.ptr[at] & 0xc0) == 0x80; at++)
            ;
    return strstr(inside, "flow") && at > 0 && at < text.len && text.ptr[at] == '{' &&
           !strchr(" \t,[]{}", text.ptr[at - 1]);
}

static void fault_of_parser(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    uint32_t line = (uint32_t)p->problem_mark.line + 1;
    uint32_t column = (uint32_t)p->problem_mark.column + 1;

    if (p->error == YAML_READER_ERROR) {
        place_of_offset(r->file->text, p->problem_offset, &line, &column);
        fault_at_place(r->faults, r->file, line, column, "no UTF-8 text: %s", p->problem);
    } else if (is_brace_in_flow(r, line, column)) {
        fault_at_place(r->faults, r->file, line, column,
                       "no YAML: inside { } and [ ] a text with a brace in it wants quotes: "
                       "\"${NAME}\", \"/orders/{id}\"");
    } else if (p->context && p->context_mark.line + 1 != line) {
        fault_at_place(r->faults, r->file, line, column, "no YAML: %s, %s that begins on line %u",
                       p->problem, p->context, (uint32_t)p->context_mark.line + 1);
    } else {
        fault_at_place(r->faults, r->file, line, column, "no YAML: %s%s%s",
                       p->problem ? p->problem : "not understood", p->context ? " " : "",
                       p->context ? p->context : "");
    }
}

static void fault_at_mark(struct reader *r, yaml_mark_t mark, const char *message)
{
    fault_at_place(r->faults, r->file, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1, "%s",
                   message);
}

static bool next_event(struct reader *r, yaml_event_t *e)
{
    if (yaml_parser_parse(&r->parser, e))
        return true;
    fault_of_parser(r);
    return false;
}

/* --- nodes ------------------------------------------------------------------------------------ */

static struct conf *new_node(struct reader *r, enum conf_type type, yaml_mark_t start)
{
    struct conf *node = arena_zero(r->arena, sizeof(*node));

    node->type = type;
    node->file = r->file;
    node->line = node->end_line = (uint32_t)start.line + 1;
    node->column = (uint32_t)start.column + 1;
    return node;
}

static void anchor_set(struct reader *r, const yaml_char_t *name, struct conf *node,
                       yaml_mark_t mark)
{
    struct slice text = slice_from((const char *)name);

    if (!name)
        return;
    for (size_t i = 0; i < r->anchors.n; i++) {
        if (slice_eq(r->anchors.items[i].name, text)) {
            r->anchors.items[i].node = node;
            return;
        }
    }
    if (r->anchors.n == MAX_ANCHORS)
        fault_at_mark(r, mark, "too many anchors (at most 1000)");
    if (r->anchors.n <= MAX_ANCHORS)
        vec_push(&r->anchors, (struct anchor){.name = arena_dup(r->arena, text), .node = node});
}

/* NULL when it grows beyond the bounds. */
static struct conf *copy_node(struct reader *r, const struct conf *from, int depth)
{
    if (++r->copied > MAX_COPIED || depth > MAX_DEPTH)
        return NULL;
    struct conf *node = arena_alloc(r->arena, sizeof(*node));
    *node = *from;
    node->room = 0;
    if (from->type == CONF_MAP && from->n) {
        node->pairs = arena_alloc(r->arena, from->n * sizeof(node->pairs[0]));
        memcpy(node->pairs, from->pairs, from->n * sizeof(node->pairs[0]));
    } else if (from->type == CONF_LIST && from->n) {
        node->items = arena_alloc(r->arena, from->n * sizeof(node->items[0]));
    }
    for (size_t i = 0; from->type >= CONF_LIST && i < from->n; i++) {
        bool is_map = from->type == CONF_MAP;
        struct conf *child =
            copy_node(r, is_map ? from->pairs[i].value : from->items[i], depth + 1);
        if (!child)
            return NULL;
        if (is_map)
            node->pairs[i].value = child;
        else
            node->items[i] = child;
    }
    return node;
}

static struct conf *read_alias(struct reader *r, const yaml_event_t *e, int depth)
{
    struct slice name = slice_from((const char *)e->data.alias.anchor);
    const struct conf *from = NULL;
    bool is_known = false;

    for (size_t i = 0; i < r->anchors.n; i++) {
        if (slice_eq(r->anchors.items[i].name, name)) {
            is_known = true;
            from = r->anchors.items[i].node;
        }
    }
    if (!from) {
        fault_at_mark(r, e->start_mark,
                      is_known ? "this alias stands inside its own anchor"
                               : "no anchor of this name stands before it");
        return new_node(r, CONF_NULL, e->start_mark);
    }
    struct conf *node = copy_node(r, from, depth);
    if (!node)
        fault_at_mark(r, e->start_mark,
                      "aliases make the tree too large (at most 10000 nodes come "
                      "from them, 64 levels deep)");
    return node;
}

static bool is_core_tag(const yaml_char_t *tag, const char *name)
{
    static const char prefix[] = "tag:yaml.org,2002:";
    const char *text = (const char *)tag;

    return strncmp(text, prefix, sizeof(prefix) - 1) == 0 &&
           strcmp(text + sizeof(prefix) - 1, name) == 0;
}

static void type_by_tag(struct reader *r, struct conf *node, const yaml_event_t *e)
{
    const yaml_char_t *tag = e->data.scalar.tag;

    node->is_open = false;
    node->type = CONF_STRING;
    if (strcmp((const char *)tag, "!") == 0 || is_core_tag(tag, "str"))
        return;
    conf_scalar_type(node);
    bool fits = is_core_tag(tag, "int")     ? node->type == CONF_INT
                : is_core_tag(tag, "float") ? node->type == CONF_INT || node->type == CONF_NUMBER
                : is_core_tag(tag, "bool")  ? node->type == CONF_BOOL
                : is_core_tag(tag, "null")  ? node->type == CONF_NULL
                                            : false;
    if (!fits)
        fault_at_mark(r, e->start_mark,
                      "this tag is none of YAML's core schema, or its value does "
                      "not fit it");
}

static struct conf *read_scalar(struct reader *r, const yaml_event_t *e)
{
    struct conf *node = new_node(r, CONF_STRING, e->start_mark);
    struct slice text = slice_of((const char *)e->data.scalar.value, e->data.scalar.length);
    bool is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    /* A block text ends where the next line begins. */
    node->end_line = (uint32_t)e->end_mark.line + (e->end_mark.column > 0);
    node->end_line = MAX(node->end_line, node->line);
    node->text = arena_dup(r->arena, text);
    if (memchr(text.ptr, '\0', text.len)) {
        fault_at_mark(r, e->start_mark, "a text may not hold a NUL");
        node->is_broken = true;
    }
    if (memchr(text.ptr, '$', text.len))
        conf_scalar_expand(node, is_plain, r->arena, r->faults);
    if (e->data.scalar.tag)
        type_by_tag(r, node, e);
    else if (is_plain || node->is_open)
        conf_scalar_type(node);
    if (conf_scalar_has_password(node->text)) {
        node->is_secret = true;
        conf_hide(node);
    }
    return node;
}

/* --- lists and maps --------------------------------------------------------------------------- */

static struct conf *read_node(struct reader *r, yaml_event_t *e, int depth);

static void end_container(struct conf *node, const struct conf *last, const yaml_event_t *end,
                          bool is_flow)
{
    /* The end of a block is known only where the next thing begins. */
    node->end_line = is_flow ? (uint32_t)end->end_mark.line + 1
                     : last  ? last->end_line
                             : node->line;
}

static struct conf *read_list(struct reader *r, const yaml_event_t *start, int depth)
{
    struct conf *node = new_node(r, CONF_LIST, start->start_mark);
    const yaml_char_t *tag = start->data.sequence_start.tag;
    size_t base = r->items.n;
    yaml_event_t e;

    if (tag && strcmp((const char *)tag, "!") != 0 && !is_core_tag(tag, "seq"))
        fault_at_mark(r, start->start_mark, "this tag is none of YAML's core schema");
    for (;;) {
        if (!next_event(r, &e))
            return NULL;
        if (e.type == YAML_SEQUENCE_END_EVENT)
            break;
        struct conf *item = read_node(r, &e, depth + 1);
        if (!item)
            return NULL;
        vec_push(&r->items, item);
    }
    node->n = r->items.n - base;
    r->items.n = base;
    if (node->n) {
        node->items = arena_alloc(r->arena, node->n * sizeof(node->items[0]));
        memcpy(node->items, r->items.items + base, node->n * sizeof(node->items[0]));
    }
    end_container(node, node->n ? node->items[node->n - 1] : NULL, &e,
                  start->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
    yaml_event_delete(&e);
    return node;
}

static void fault_of_duplicate(struct reader *r, const struct conf_pair *first,
                               const struct conf_pair *again)
{
    fault_at_place(r->faults, r->file, again->line, again->column,
                   "the key \"%.*s\" stands here a second time, the first is on line %u",
                   (int)MIN(again->key.len, (size_t)60), again->key.ptr, first->line);
}

static void check_duplicates(struct reader *r, const struct conf_pair *pairs, size_t n)
{
    struct map seen;

    if (n <= LINEAR_KEYS) {
        for (size_t i = 1; i < n; i++)
            for (size_t j = 0; j < i; j++)
                if (slice_eq(pairs[i].key, pairs[j].key)) {
                    fault_of_duplicate(r, &pairs[j], &pairs[i]);
                    break;
                }
        return;
    }
    map_init(&seen);
    for (size_t i = 0; i < n; i++) {
        const struct conf_pair *first = map_find(&seen, pairs[i].key);
        if (first)
            fault_of_duplicate(r, first, &pairs[i]);
        else
            map_set(&seen, pairs[i].key, (void *)(uintptr_t)&pairs[i]);
    }
    map_deinit(&seen);
}

/* The key of a pair; false when reading can't go on. A key that is no text is a fault. */
static bool read_key(struct reader *r, yaml_event_t *e, struct conf_pair *pair, int depth)
{
    pair->file = r->file;
    pair->line = (uint32_t)e->start_mark.line + 1;
    pair->column = (uint32_t)e->start_mark.column + 1;
    pair->key = SLICE("?");
    if (e->type == YAML_SCALAR_EVENT &&
        !memchr(e->data.scalar.value, '\0', e->data.scalar.length)) {
        pair->key = arena_dup(r->arena,
                              slice_of((const char *)e->data.scalar.value, e->data.scalar.length));
        yaml_event_delete(e);
        return true;
    }
    fault_at_mark(r, e->start_mark, "a key is a text");
    return read_node(r, e, depth + 1) != NULL;
}

static struct conf *read_map(struct reader *r, const yaml_event_t *start, int depth)
{
    struct conf *node = new_node(r, CONF_MAP, start->start_mark);
    const yaml_char_t *tag = start->data.mapping_start.tag;
    size_t base = r->pairs.n;
    yaml_event_t e;

    if (tag && strcmp((const char *)tag, "!") != 0 && !is_core_tag(tag, "map"))
        fault_at_mark(r, start->start_mark, "this tag is none of YAML's core schema");
    for (;;) {
        struct conf_pair pair;
        if (!next_event(r, &e))
            return NULL;
        if (e.type == YAML_MAPPING_END_EVENT)
            break;
        if (!read_key(r, &e, &pair, depth) || !next_event(r, &e))
            return NULL;
        pair.value = read_node(r, &e, depth + 1);
        if (!pair.value)
            return NULL;
        vec_push(&r->pairs, pair);
    }
    node->n = r->pairs.n - base;
    r->pairs.n = base;
    if (node->n) {
        node->pairs = arena_alloc(r->arena, node->n * sizeof(node->pairs[0]));
        memcpy(node->pairs, r->pairs.items + base, node->n * sizeof(node->pairs[0]));
        check_duplicates(r, node->pairs, node->n);
    }
    end_container(node, node->n ? node->pairs[node->n - 1].value : NULL, &e,
                  start->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
    yaml_event_delete(&e);
    return node;
}

static const yaml_char_t *anchor_of(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT: return e->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT: return e->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT: return e->data.mapping_start.anchor;
    default: return NULL;
    }
}

/* Takes the event over. NULL: reading can't go on, and the fault is said. */
static struct conf *read_node(struct reader *r, yaml_event_t *e, int depth)
{
    struct conf *node = NULL;

    if (depth > MAX_DEPTH) {
        fault_at_mark(r, e->start_mark, "nested more than 64 levels deep");
        yaml_event_delete(e);
        return NULL;
    }
    anchor_set(r, anchor_of(e), NULL, e->start_mark);
    if (e->type == YAML_ALIAS_EVENT)
        node = read_alias(r, e, depth);
    else if (e->type == YAML_SCALAR_EVENT)
        node = read_scalar(r, e);
    else if (e->type == YAML_SEQUENCE_START_EVENT)
        node = read_list(r, e, depth);
    else if (e->type == YAML_MAPPING_START_EVENT)
        node = read_map(r, e, depth);
    if (node)
        anchor_set(r, anchor_of(e), node, e->start_mark);
    yaml_event_delete(e);
    return node;
}

/* --- documents -------------------------------------------------------------------------------- */

static struct conf *read_document(struct reader *r)
{
    struct conf *root = NULL;
    yaml_event_t e;

    for (;;) {
        if (!next_event(r, &e))
            return NULL;
        yaml_event_type_t type = e.type;
        yaml_mark_t mark = e.start_mark;
        if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
            type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT) {
            root = read_node(r, &e, 0);
            if (!root)
                return NULL;
            continue;
        }
        yaml_event_delete(&e);
        if (type == YAML_DOCUMENT_START_EVENT && root) {
            fault_at_mark(r, mark, "a second document: a configuration is one");
            return root;
        }
        if (type == YAML_STREAM_END_EVENT)
            return root ? root : new_node(r, CONF_NULL, mark);
    }
}

static struct conf *parse_file(struct loader *l, struct conf_file *file)
{
    struct reader r = {.arena = l->arena, .faults = l->faults, .file = file};

    REQUIRE(yaml_parser_initialize(&r.parser));
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)file->text.ptr, file->text.len);
    struct conf *root = read_document(&r);
    file->is_whole = root != NULL;
    yaml_parser_delete(&r.parser);
    vec_free(&r.pairs);
    vec_free(&r.items);
    vec_free(&r.anchors);

    if (root && root->type == CONF_NULL)
        root->type = CONF_MAP; /* an empty file, or nothing but comments */
    if (root && root->type != CONF_MAP) {
        fault_at(l->faults, root, SLICE_NONE, "a configuration is a map, and this is %s",
                 conf_type_name(root->type));
        return NULL;
    }
    return root;
}

/* The byte order mark that editors of Windows put in front is no part of the text. */
static struct conf_file *new_file(struct loader *l, struct slice name, struct slice dir,
                                  struct slice text)
{
    static const struct slice bom = {"\xef\xbb\xbf", 3};
    struct conf_file *file = arena_zero(l->arena, sizeof(*file));

    file->name = arena_dup(l->arena, name);
    file->dir = arena_dup(l->arena, dir);
    file->text = slice_starts(text, bom) ? slice_sub(text, bom.len, text.len) : text;
    file->index = l->nfiles++;
    if (l->last)
        l->last->next = file;
    l->last = file;
    file->nlines = 1;
    for (const char *p = text.ptr, *end = p + text.len; (p = memchr(p, '\n', (size_t)(end - p)));
         p++)
        file->nlines++;
    file->hidden = arena_zero(l->arena, file->nlines / 8 + 1);
    return file;
}

static struct slice dir_of(struct slice path)
{
    ssize_t slash = slice_find_last_char(path, '/');

    return slash < 0 ? SLICE(".") : slice_sub(path, 0, (size_t)MAX(slash, 1));
}

/* conf_read_fn; arg is the loader. at is NULL for the first file. */
static struct conf *read_file(void *arg, const char *path, const struct conf *at)
{
    struct loader *l = arg;
    struct slice text, name = slice_from(path);

    faults_saw(l->faults, path, false);
    int rc = conf_read_file(path, MAX_FILE, l->arena, &text);

    if (rc < 0) {
        fault_system(l->faults, at, SLICE_NONE, "can't read %s: %s", path,
                     rc == ERR_SYSTEM ? strerror(errno) : "the file is too large");
        return NULL;
    }
    return parse_file(l, new_file(l, name, dir_of(name), text));
}

struct conf *conf_yaml_load(const char *path, struct arena *a, struct faults *faults)
{
    struct loader l = {.arena = a, .faults = faults};
    struct conf *root = read_file(&l, path, NULL);

    if (root)
        conf_include(root, path, read_file, &l, a, faults);
    return root;
}

struct conf *conf_yaml_parse(struct slice text, const char *name, const char *dir, struct arena *a,
                             struct faults *faults)
{
    struct loader l = {.arena = a, .faults = faults};
    struct slice copy = text.len ? arena_dup(a, text) : SLICE("");
    struct conf *root = parse_file(&l, new_file(&l, slice_from(name), slice_from(dir), copy));

    if (root)
        conf_include(root, NULL, read_file, &l, a, faults);
    return root;
}
