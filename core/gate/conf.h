/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration as a plain tree. Each node knows its file, line and column, so that every fault can point at its
 * place. Built by conf_yaml.c, checked against the table of keys (conf_keys.h), turned into a snapshot. Lives in an
 * arena. */

#ifndef DML_GATE_CONF_H
#define DML_GATE_CONF_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/slice.h"
#include "base/vec.h"

enum conf_type { CONF_NULL, CONF_BOOL, CONF_INT, CONF_NUMBER, CONF_STRING, CONF_LIST, CONF_MAP };

struct conf_file {
    struct slice name; /* as the user wrote it */
    struct slice text; /* whole, for snippets */
};

struct conf {
    enum conf_type type;     /* of a scalar: by the YAML 1.2 core schema; typed again by the schema when is_open */
    bool is_open;            /* came from ${}: its type is the schema's to decide */
    bool is_secret;          /* ${file:} went in: never shown */
    bool is_from_env;        /* ${NAME} went in: hidden in snippets and /config */
    struct slice text;       /* scalar: its text after replacement */
    bool boolean;
    double number;           /* CONF_INT too */
    struct conf_pair *pairs; /* CONF_MAP, in file order */
    struct conf **items;     /* CONF_LIST */
    size_t n;                /* pairs or items */
    const struct conf_file *file;
    uint32_t line, column;   /* 1-based */
};

struct conf_pair {
    struct slice key;
    uint32_t line, column; /* of the key */
    struct conf *value;
};

/* NULL when it is no map or has no such key. */
struct conf *conf_get(const struct conf *map, struct slice key);

/* Faults: all are collected; printed as file:line:col: path: message, then the snippet with a caret. */
struct fault {
    const struct conf_file *file; /* NULL: no place (a file that can't be read) */
    uint32_t line, column;
    bool is_warning;
    bool hides_snippet;  /* a secret stands in that line */
    struct slice path;   /* "routes[2].plugins[0].config.limt" */
    struct slice message;
};

struct faults {
    struct arena *arena;
    VEC(struct fault) list;
    size_t nerrors;
};

void faults_init(struct faults *f, struct arena *a);
void faults_deinit(struct faults *f);

/* At a node, or at a key of a map. path may be absent. */
void fault_at(struct faults *f, const struct conf *at, struct slice path, const char *fmt, ...) PRINTF_LIKE(4, 5);
void fault_at_key(struct faults *f, const struct conf *map, struct slice key, struct slice path, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
void warn_at(struct faults *f, const struct conf *at, struct slice path, const char *fmt, ...) PRINTF_LIKE(4, 5);
void fault_plain(struct faults *f, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Sorted by place; snippet and caret; colour for terminals. At most 100 are printed, then how many more. */
void faults_print(struct faults *f, struct buf *out, bool colour);

#endif
