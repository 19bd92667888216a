/* SPDX-License-Identifier: Apache-2.0 */

/* Members of a JSON object in one call each, for the pages of the admin endpoint. */

#ifndef DML_APP_ADMIN_JSON_H
#define DML_APP_ADMIN_JSON_H

#include "base/json.h"

#define ADMIN_INDENT 2

static inline void put_text(struct json_writer *w, const char *key, struct slice value)
{
    json_key(w, slice_from(key));
    json_string_lossy(w, value);
}

static inline void put_number(struct json_writer *w, const char *key, double value)
{
    json_key(w, slice_from(key));
    json_number(w, value);
}

static inline void put_flag(struct json_writer *w, const char *key, bool value)
{
    json_key(w, slice_from(key));
    json_bool(w, value);
}

static inline void put_list(struct json_writer *w, const char *key)
{
    json_key(w, slice_from(key));
    json_array(w);
}

static inline void put_object(struct json_writer *w, const char *key)
{
    json_key(w, slice_from(key));
    json_object(w);
}

#endif
