/* SPDX-License-Identifier: Apache-2.0 */

/* The table itself: conf_keys.def twice, first for each section's rows, then for the list of
 * sections. And what a scalar is in the unit of the program. */

#include "gate/conf_keys_table.h"

#include "base/check.h"
#include "base/text.h"

#define MAX_DURATION (30 * 86400000.0) /* 30 days: fits 32 bits of milliseconds */
#define MAX_NUMBER 9007199254740992.0  /* 2^53 */

#define SECTION(name, ...) static const struct key keys_of_##name[] = {
#define KEY(key, kind, ...) {.name = key, .type = KEY_##kind, __VA_ARGS__},
#define END_SECTION \
    } \
    ;
#include "gate/conf_keys.def"
#undef SECTION
#undef KEY
#undef END_SECTION

static const struct section sections[] = {
#define SECTION(name, text) {#name, text, keys_of_##name, COUNT_OF(keys_of_##name)},
#define KEY(key, kind, ...)
#define END_SECTION
#include "gate/conf_keys.def"
#undef SECTION
#undef KEY
#undef END_SECTION
};

size_t sections_count(void)
{
    return COUNT_OF(sections);
}

const struct section *sections_get(size_t i)
{
    return &sections[i];
}

const struct section *section_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(sections); i++)
        if (strcmp(sections[i].name, name) == 0)
            return &sections[i];
    REQUIRE(!"no such section of the configuration");
    return NULL;
}

const struct key *key_find(const struct section *s, struct slice name)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *key = s->keys[i].name;
        if (strncmp(key, name.ptr, name.len) == 0 && key[name.len] == '\0')
            return &s->keys[i];
    }
    return NULL;
}

bool key_list_has(const char *list, struct slice word)
{
    struct slice rest = slice_from(list), one;

    while (slice_split(&rest, '|', &one))
        if (slice_eq(one, word))
            return true;
    return false;
}

static bool duration_ms(struct slice text, double *out)
{
    uint64_t us;

    if (text_to_duration_us(text, &us) < 0)
        return false;
    *out = (double)((us + 999) / 1000); /* never down to 0, which may mean "none" */
    return true;
}

bool key_number(const struct key *k, const struct conf *node, double *out)
{
    uint64_t bytes;

    if (node->is_broken)
        return false;
    *out = node->number;
    switch (k->type) {
    case KEY_BOOL: *out = node->boolean; return node->type == CONF_BOOL;
    case KEY_INT:
    case KEY_WORKERS: return node->type == CONF_INT;
    case KEY_DURATION:
        if (node->type == CONF_INT)
            return node->number == 0;
        return node->type == CONF_STRING && duration_ms(node->text, out);
    case KEY_SIZE:
        if (node->type == CONF_INT)
            return true;
        if (node->type != CONF_STRING || text_to_size(node->text, &bytes) < 0)
            return false;
        *out = (double)bytes;
        return true;
    case KEY_RATIO:
        if (node->type == CONF_INT || node->type == CONF_NUMBER)
            return node->number >= 0 && node->number <= 1;
        return node->type == CONF_STRING && slice_ends(node->text, SLICE("%")) &&
               text_to_ratio(node->text, out) == 0;
    default: return false;
    }
}

double key_max(const struct key *k)
{
    if (k->max > 0)
        return k->max;
    return k->type == KEY_DURATION ? MAX_DURATION : k->type == KEY_RATIO ? 1 : MAX_NUMBER;
}

bool key_in_range(const struct key *k, double n)
{
    return n >= k->min && n <= key_max(k);
}

double key_fallback(const struct key *k)
{
    struct slice text = slice_from(k->fallback);
    uint64_t n = 0;
    double out = 0;

    if (!k->fallback)
        return 0;
    switch (k->type) {
    case KEY_BOOL: return slice_eq(text, SLICE("true"));
    case KEY_DURATION: REQUIRE(duration_ms(text, &out)); return out;
    case KEY_SIZE: REQUIRE(text_to_size(text, &n) == 0); return (double)n;
    case KEY_RATIO: REQUIRE(text_to_ratio(text, &out) == 0); return out;
    case KEY_INT: REQUIRE(text_to_u64(text, UINT64_MAX, &n) == 0); return (double)n;
    default: return 0;
    }
}
