/* SPDX-License-Identifier: Apache-2.0 */

/* A JSON reader for what somebody has signed or must not be able to say in two ways (tokens, keys): as json_read, and a
 * member that an object has twice is an error, however its name is written. Nested at most 32 levels. Takes nothing from
 * the heap but for strings with escapes. */

#ifndef DML_BASE_JSON_STRICT_H
#define DML_BASE_JSON_STRICT_H

#include "base/json.h"

enum { JSON_STRICT_DEPTH = 32, JSON_STRICT_MEMBERS = 512 };

struct json_strict {
    struct json_reader json; /* .string, .number, .pos as there */
    /* state */
    uint32_t nhashes;
    uint32_t first[JSON_STRICT_DEPTH + 1]; /* of each open level */
    uint64_t hashes[JSON_STRICT_MEMBERS];  /* keyed ones, of the names in all open objects */
};

void json_strict_init(struct json_strict *s, struct slice text);
void json_strict_deinit(struct json_strict *s);

/* An event or an error as json_read gives them; ERR_EXISTS: a member twice; ERR_LIMIT: more than 512 members in the
 * objects that are open. */
MUST_CHECK int json_strict_read(struct json_strict *s);

/* Goes to the end of the value whose first event this is. 0 or an error. */
MUST_CHECK int json_strict_skip(struct json_strict *s, int event);

#endif
