/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration as a plain tree. Each node knows its file, line and column, so that every fault
 * can point at its place. Built by conf_yaml.c, checked against the table of keys (conf_keys.h),
 * turned into a snapshot. Lives in an arena. */

#ifndef DML_GATE_CONF_H
#define DML_GATE_CONF_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/slice.h"
#include "base/vec.h"
#include "gate/conf_seen.h"

enum conf_type { CONF_NULL, CONF_BOOL, CONF_INT, CONF_NUMBER, CONF_STRING, CONF_LIST, CONF_MAP };

struct conf_file {
    struct slice name; /* as the user wrote it; NUL-terminated */
    struct slice dir;  /* what relative paths in it are relative to; NUL-terminated */
    struct slice text; /* whole, for snippets */
    uint32_t index;    /* in the order of reading: the order of faults */
    uint32_t nlines;
    uint8_t *hidden;        /* bit per line: never shown (conf_hide) */
    bool is_whole;          /* it was parsed to the end: its secrets are known by their keys */
    struct conf_file *next; /* the one read after it; the root's file is the first */
};

struct conf {
    enum conf_type type; /* of a scalar: by the YAML 1.2 core schema; typed again when is_open */
    bool is_open;        /* came from ${}: its type is the schema's to decide */
    bool is_secret;   /* ${file:} went in, or a URL's password, or a writeOnly key: never shown */
    bool is_from_env; /* ${NAME} went in: hidden in snippets and /config */
    bool is_broken;   /* ${} could not be replaced: the fault is said, the value unknown */
    bool boolean;
    uint32_t line, column; /* 1-based; columns count characters */
    uint32_t end_line;     /* last line of it */
    struct slice text;     /* scalar: its text after replacement; NUL-terminated */
    double number;         /* CONF_INT too */
    union {
        struct conf_pair *pairs; /* CONF_MAP, in file order */
        struct conf **items;     /* CONF_LIST */
    };
    size_t n;    /* pairs or items */
    size_t room; /* allocated for pairs or items, when more than n */
    const struct conf_file *file;
};

struct conf_pair {
    struct slice key;
    uint32_t line, column;        /* of the key */
    const struct conf_file *file; /* of the key: a merged map has keys of several files */
    struct conf *value;
};

/* NULL when it is no map or has no such key. */
struct conf *conf_get(const struct conf *map, struct slice key);

/* Nothing of the node's lines is ever shown. */
void conf_hide(const struct conf *node);

/* It and everything below it is secret. While the snapshot is built. */
void conf_mark_secret(struct conf *node);

/* The node as a message may show it: quoted, cut, or "a hidden value". In the arena. */
struct slice conf_shown(const struct conf *node, struct arena *a);

/* "a text", "a list", ... */
const char *conf_type_name(enum conf_type type);

/* Where a walk stands, as a list of stack frames; made into text only for a fault. */
struct conf_path {
    const struct conf_path *up;
    struct slice key; /* absent: an item of a list */
    size_t index;
};

/* "routes[2].plugins[0].config.limt"; NULL gives "". */
struct slice conf_path_text(const struct conf_path *p, struct arena *a);

/* Faults: all are collected; printed as file:line:col: path: message, then the snippet with a
 * caret. */
struct fault {
    const struct conf_file *file; /* NULL: no place (a file that can't be read) */
    uint32_t line, column;
    bool is_warning;
    bool is_system;     /* the system refused (a file unreadable), the text is not at fault */
    bool hides_snippet; /* a secret stands in that line */
    struct slice path;  /* "routes[2].plugins[0].config.limt" */
    struct slice message;
};

struct faults {
    struct arena *arena;
    VEC(struct fault) list;
    size_t nerrors;
    size_t nsystem; /* of the errors: those with is_system. All of them: exit status 3, else 1 */
    VEC(struct conf_seen) seen; /* what was read on the way (conf_seen.h) */
    struct map seen_paths;
};

void faults_init(struct faults *f, struct arena *a);
void faults_deinit(struct faults *f);

/* At a node, or at a key of a map. path may be absent. The message names no secret: the caller shows
 * values by conf_shown. */
void fault_at(struct faults *f, const struct conf *at, struct slice path, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void fault_at_key(struct faults *f, const struct conf *map, struct slice key, struct slice path,
                  const char *fmt, ...) PRINTF_LIKE(5, 6);
void warn_at(struct faults *f, const struct conf *at, struct slice path, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* The system refused what the node names (NULL: no place). */
void fault_system(struct faults *f, const struct conf *at, struct slice path, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void fault_plain(struct faults *f, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* At a place that has no node (what the parser says). */
void fault_at_place(struct faults *f, const struct conf_file *file, uint32_t line, uint32_t column,
                    const char *fmt, ...) PRINTF_LIKE(5, 6);

/* The first max of them, sorted by place; how many. */
size_t faults_sorted(const struct faults *f, const struct fault **out, size_t max);

/* Sorted by place; snippet and caret; colour for terminals. At most 100 are printed, then how many
 * more. */
void faults_print(const struct faults *f, struct buf *out, bool colour);

#endif
