/* SPDX-License-Identifier: Apache-2.0 */

/* The table of configuration keys: one row per key with type, default, range, description and whether it is supported
 * yet. Everything that is said about keys comes from it: the check (unknown keys with "did you mean", types, ranges,
 * "not yet supported"), the defaults, and `demilune schema`. */

#ifndef DML_GATE_CONF_KEYS_H
#define DML_GATE_CONF_KEYS_H

#include "base/json.h"
#include "gate/conf.h"

/* Checks the whole tree (but plugin configs, which their schemas check) and adds all faults. Scalars that came from ${}
 * are typed by the table. */
void conf_check(struct conf *root, struct faults *faults);

/* Reads of a checked map: the value in the unit of the program, or the table's default. `key` is the row's name within
 * the section, e.g. conf_duration_ms(limits, "limits", "idle_timeout"). Not for hot paths. */
uint64_t conf_duration_ms(const struct conf *map, const char *section, const char *key);
uint64_t conf_size(const struct conf *map, const char *section, const char *key);
int64_t conf_int(const struct conf *map, const char *section, const char *key);
double conf_ratio(const struct conf *map, const char *section, const char *key);
bool conf_bool(const struct conf *map, const char *section, const char *key);
struct slice conf_text(const struct conf *map, const char *section, const char *key);

/* What plugins add to the schema, as JSON; absent: nothing is known of them. */
struct conf_schema_parts {
    struct slice plugin;      /* a place where one is enabled */
    struct slice credentials; /* a consumer's, by plugin */
};

/* The JSON Schema 2020-12 of the file. */
void conf_keys_schema(struct json_writer *w, const struct conf_schema_parts *parts);

#endif
