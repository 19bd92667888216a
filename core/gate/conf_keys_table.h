/* SPDX-License-Identifier: Apache-2.0 */

/* What conf_keys.def becomes: sections with rows. Seen by the three that read the table: the check,
 * the reads, the schema. */

#ifndef DML_GATE_CONF_KEYS_TABLE_H
#define DML_GATE_CONF_KEYS_TABLE_H

#include "base/base.h"
#include "base/slice.h"
#include "gate/conf.h"

enum key_type {
    KEY_BOOL,
    KEY_INT,
    KEY_WORKERS,  /* auto, or a number */
    KEY_RATIO,    /* 0.2, 20% */
    KEY_DURATION, /* 250ms */
    KEY_SIZE,     /* 64KiB */
    KEY_TEXT,
    KEY_NAME,     /* a text that names a thing of the configuration */
    KEY_ENUM,     /* `of` lists the words */
    KEY_TEXTS,    /* list of texts */
    KEY_WORDS,    /* map from text to text */
    KEY_MAP,      /* `of` names the section */
    KEY_MAPS,     /* list of maps of that section */
    KEY_REDIRECT, /* the word https, or a map of that section */
    KEY_ANY,      /* a map that somebody else checks; `of` names its definition in the schema */
};

struct key {
    const char *name;
    enum key_type type;
    const char *of;       /* enum: "a|b|c"; maps: the section */
    const char *fallback; /* the documented default as text; NULL: off, or none */
    double min, max;   /* in the unit of the program: ms, bytes, a count; max 0 = the type's own */
    const char *later; /* what is not supported yet: "*" (all but the default), or "a|b" */
    bool is_needed, is_secret;
    const char *text; /* the description */
};

struct section {
    const char *name;
    const char *text;
    const struct key *keys;
    size_t n;
};

const struct section *section_find(const char *name); /* never NULL: a wrong name is a bug */
const struct key *key_find(const struct section *s, struct slice name);

size_t sections_count(void);
const struct section *sections_get(size_t i);

/* Is `word` one of "a|b|c"? */
bool key_list_has(const char *list, struct slice word);

/* One scalar as its key wants it; false when the text is none. */
bool key_number(const struct key *k, const struct conf *node, double *out);

/* The row's range, or its type's own. */
double key_max(const struct key *k);
bool key_in_range(const struct key *k, double n);

/* The default as a number, 0 when there is none. */
double key_fallback(const struct key *k);

#endif
