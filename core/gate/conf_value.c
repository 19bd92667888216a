/* SPDX-License-Identifier: Apache-2.0 */

/* Reads of a checked tree: the value in the unit of the program, or the table's default. A value
 * that the check has refused reads as the default, so that a build that goes on for further faults
 * meets nothing strange. */

#include "gate/conf_keys.h"
#include "gate/conf_keys_table.h"

static double number_of(const struct conf *map, const char *section, const char *name)
{
    const struct key *key = key_find(section_find(section), slice_from(name));
    const struct conf *node = conf_get(map, slice_from(name));
    double out;

    REQUIRE(key != NULL);
    return node && key_number(key, node, &out) && key_in_range(key, out) ? out : key_fallback(key);
}

uint64_t conf_duration_ms(const struct conf *map, const char *section, const char *key)
{
    return (uint64_t)number_of(map, section, key);
}

uint64_t conf_size(const struct conf *map, const char *section, const char *key)
{
    return (uint64_t)number_of(map, section, key);
}

int64_t conf_int(const struct conf *map, const char *section, const char *key)
{
    return (int64_t)number_of(map, section, key);
}

double conf_ratio(const struct conf *map, const char *section, const char *key)
{
    return number_of(map, section, key);
}

bool conf_bool(const struct conf *map, const char *section, const char *key)
{
    return number_of(map, section, key) != 0;
}

struct slice conf_text(const struct conf *map, const char *section, const char *name)
{
    const struct key *key = key_find(section_find(section), slice_from(name));
    const struct conf *node = conf_get(map, slice_from(name));

    REQUIRE(key != NULL);
    if (node && node->type == CONF_STRING && !node->is_broken)
        return node->text;
    return key->fallback ? slice_from(key->fallback) : SLICE_NONE;
}
