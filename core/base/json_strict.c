/* SPDX-License-Identifier: Apache-2.0 */

/* The names of an object are remembered by their keyed hashes, those of nested ones behind those of the outer ones: a
 * stack. Two names of one hash count as one: nobody outside can bring that about. */

#include "base/json_strict.h"

#include "base/err.h"
#include "base/hash.h"

void json_strict_init(struct json_strict *s, struct slice text)
{
    json_reader_init(&s->json, text, JSON_STRICT_DEPTH);
    s->nhashes = 0;
}

void json_strict_deinit(struct json_strict *s)
{
    json_reader_deinit(&s->json);
}

static int note_name(struct json_strict *s)
{
    uint64_t hash = hash_keyed(s->json.string);

    for (uint32_t i = s->first[s->json.depth]; i < s->nhashes; i++)
        if (s->hashes[i] == hash)
            return ERR_EXISTS;
    if (s->nhashes == COUNT_OF(s->hashes))
        return ERR_LIMIT;
    s->hashes[s->nhashes++] = hash;
    return JSON_KEY;
}

int json_strict_read(struct json_strict *s)
{
    int event = json_read(&s->json);

    switch (event) {
    case JSON_OBJECT: s->first[s->json.depth] = s->nhashes; return event;
    case JSON_OBJECT_END: s->nhashes = s->first[s->json.depth + 1]; return event;
    case JSON_KEY: return note_name(s);
    default: return event;
    }
}

int json_strict_skip(struct json_strict *s, int event)
{
    int outside = s->json.depth - 1;

    if (event != JSON_OBJECT && event != JSON_ARRAY)
        return MIN(event, 0);
    while (event >= 0 && s->json.depth > outside)
        event = json_strict_read(s);
    return MIN(event, 0);
}
