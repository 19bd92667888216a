/* SPDX-License-Identifier: Apache-2.0 */

/* The table of keys as a JSON Schema (2020-12): each section a definition. A scalar that is no text
 * may also be a ${}, which is replaced before its type counts. What the table calls "not yet
 * supported" is described all the same, and says so. */

#include <stdio.h>

#include "gate/conf_keys.h"
#include "gate/conf_keys_table.h"

#define PLACEHOLDER "#/$defs/placeholder"

static void text_pair(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, slice_from(key));
    json_string(w, slice_from(value));
}

static void put_ref(struct json_writer *w, const char *section)
{
    char ref[64] = "#/$defs/";

    strncat(ref, section, sizeof(ref) - strlen(ref) - 1);
    text_pair(w, "$ref", ref);
}

static void put_bounds(struct json_writer *w, const struct key *k)
{
    if (k->type != KEY_INT && k->type != KEY_WORKERS)
        return;
    json_key(w, SLICE("minimum"));
    json_number(w, k->min);
    if (k->max > 0) {
        json_key(w, SLICE("maximum"));
        json_number(w, k->max);
    }
}

/* One alternative of an anyOf. */
static void put_type(struct json_writer *w, const char *type, const char *pattern)
{
    json_object(w);
    text_pair(w, "type", type);
    if (pattern)
        text_pair(w, "pattern", pattern);
    json_object_end(w);
}

static void put_enum(struct json_writer *w, const char *list)
{
    struct slice rest = slice_from(list), one;

    json_object(w);
    json_key(w, SLICE("enum"));
    json_array(w);
    while (slice_split(&rest, '|', &one))
        json_string(w, one);
    json_array_end(w);
    json_object_end(w);
}

static void put_zero(struct json_writer *w)
{
    json_object(w);
    json_key(w, SLICE("const"));
    json_int(w, 0);
    json_object_end(w);
}

static void put_integer(struct json_writer *w, const struct key *k)
{
    json_object(w);
    text_pair(w, "type", "integer");
    put_bounds(w, k);
    json_object_end(w);
}

static void put_size(struct json_writer *w)
{
    put_type(w, "string", "^[0-9]+(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$");
    json_object(w);
    text_pair(w, "type", "integer");
    json_key(w, SLICE("minimum"));
    json_int(w, 0);
    json_object_end(w);
}

static void put_ratio(struct json_writer *w)
{
    put_type(w, "string", "^[0-9]+(\\.[0-9]+)?%$");
    json_object(w);
    text_pair(w, "type", "number");
    json_key(w, SLICE("minimum"));
    json_int(w, 0);
    json_key(w, SLICE("maximum"));
    json_int(w, 1);
    json_object_end(w);
}

/* A key that need not be there may have nothing behind it: the type of its value, or null. */
static void put_type_of(struct json_writer *w, const struct key *k, const char *type)
{
    if (k->is_needed) {
        text_pair(w, "type", type);
        return;
    }
    json_key(w, SLICE("type"));
    json_array(w);
    json_string(w, slice_from(type));
    json_string(w, SLICE("null"));
    json_array_end(w);
}

/* The same as the last alternative of an anyOf. */
static void put_nothing(struct json_writer *w, const struct key *k)
{
    if (!k->is_needed)
        put_type(w, "null", NULL);
}

static void put_section_of(struct json_writer *w, const struct key *k)
{
    json_key(w, SLICE("anyOf"));
    json_array(w);
    json_object(w);
    put_ref(w, k->of);
    json_object_end(w);
    put_nothing(w, k);
    json_array_end(w);
}

/* A scalar with a form of its own, or a ${}. */
static void put_scalar(struct json_writer *w, const struct key *k)
{
    json_key(w, SLICE("anyOf"));
    json_array(w);
    switch (k->type) {
    case KEY_BOOL: put_type(w, "boolean", NULL); break;
    case KEY_INT: put_integer(w, k); break;
    case KEY_WORKERS:
        put_enum(w, "auto");
        put_integer(w, k);
        break;
    case KEY_DURATION:
        put_type(w, "string", "^(0|[0-9]+(\\.[0-9]+)?(ms|s|m|h|d))$");
        put_zero(w);
        break;
    case KEY_SIZE: put_size(w); break;
    case KEY_RATIO: put_ratio(w); break;
    default: put_enum(w, k->of); break;
    }
    json_object(w);
    text_pair(w, "$ref", PLACEHOLDER);
    json_object_end(w);
    put_nothing(w, k);
    json_array_end(w);
}

static void put_list_of_texts(struct json_writer *w, const struct key *k)
{
    put_type_of(w, k, "array");
    json_key(w, SLICE("items"));
    put_type(w, "string", NULL);
}

static void put_redirect(struct json_writer *w, const struct key *k)
{
    json_key(w, SLICE("anyOf"));
    json_array(w);
    put_enum(w, "https");
    json_object(w);
    put_ref(w, k->of);
    json_object_end(w);
    put_nothing(w, k);
    json_array_end(w);
}

static void put_default(struct json_writer *w, const struct key *k)
{
    if (!k->fallback)
        return;
    json_key(w, SLICE("default"));
    if (k->type == KEY_BOOL)
        json_bool(w, key_fallback(k) != 0);
    else if (k->type == KEY_INT)
        json_number(w, key_fallback(k));
    else
        json_string(w, slice_from(k->fallback));
}

static void put_description(struct json_writer *w, const struct key *k)
{
    char text[512];
    bool is_all = k->later && strcmp(k->later, "*") == 0;

    snprintf(text, sizeof(text), "%s%s%s%s", k->text,
             !k->later ? ""
             : is_all  ? k->fallback ? " Another value than the default is not yet supported"
                                     : " Not yet supported"
                       : " Not yet supported: ",
             k->later && !is_all ? k->later : "", k->later ? "." : "");
    for (char *p = text; k->later && *p; p++)
        if (*p == '|')
            *p = ' ';
    text_pair(w, "description", text);
}

static void put_key(struct json_writer *w, const struct key *k)
{
    json_key(w, slice_from(k->name));
    json_object(w);
    put_description(w, k);
    switch (k->type) {
    case KEY_TEXT: put_type_of(w, k, "string"); break;
    case KEY_NAME:
        put_type_of(w, k, "string");
        text_pair(w, "pattern", "^[^/]{1,128}$");
        break;
    case KEY_TEXTS: put_list_of_texts(w, k); break;
    case KEY_WORDS:
        put_type_of(w, k, "object");
        json_key(w, SLICE("additionalProperties"));
        put_type(w, "string", NULL);
        break;
    case KEY_MAP: put_section_of(w, k); break;
    case KEY_MAPS:
        put_type_of(w, k, "array");
        json_key(w, SLICE("items"));
        json_object(w);
        put_ref(w, k->of);
        json_object_end(w);
        break;
    case KEY_REDIRECT: put_redirect(w, k); break;
    case KEY_ANY:
        if (k->of)
            put_section_of(w, k);
        else
            put_type_of(w, k, "object");
        break;
    default: put_scalar(w, k); break;
    }
    put_default(w, k);
    if (k->is_secret) {
        json_key(w, SLICE("writeOnly"));
        json_bool(w, true);
    }
    json_object_end(w);
}

static void put_required(struct json_writer *w, const struct section *s)
{
    bool is_open = false;

    for (size_t i = 0; i < s->n; i++) {
        if (!s->keys[i].is_needed)
            continue;
        if (!is_open) {
            json_key(w, SLICE("required"));
            json_array(w);
        }
        is_open = true;
        json_string(w, slice_from(s->keys[i].name));
    }
    if (is_open)
        json_array_end(w);
}

/* The inside of an object schema. */
static void put_section(struct json_writer *w, const struct section *s)
{
    text_pair(w, "description", s->text);
    text_pair(w, "type", "object");
    json_key(w, SLICE("properties"));
    json_object(w);
    for (size_t i = 0; i < s->n; i++)
        put_key(w, &s->keys[i]);
    json_object_end(w);
    put_required(w, s);
    json_key(w, SLICE("additionalProperties"));
    json_bool(w, false);
}

static void put_placeholder(struct json_writer *w)
{
    json_key(w, SLICE("placeholder"));
    json_object(w);
    text_pair(w, "description", "Replaced from the environment or a file.");
    text_pair(w, "type", "string");
    text_pair(w, "pattern", "\\$\\{[^}]+\\}");
    json_object_end(w);
}

static void put_credentials(struct json_writer *w, struct slice known)
{
    json_key(w, SLICE("credentials"));
    if (known.ptr)
        json_raw(w, known);
    else
        put_type(w, "object", NULL);
}

void conf_keys_schema(struct json_writer *w, const struct conf_schema_parts *parts)
{
    json_object(w);
    text_pair(w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    text_pair(w, "title", "Demilune");
    put_section(w, section_find("root"));
    json_key(w, SLICE("$defs"));
    json_object(w);
    put_placeholder(w);
    put_credentials(w, parts->credentials);
    for (size_t i = 0; i < sections_count(); i++) {
        const struct section *s = sections_get(i);
        if (strcmp(s->name, "root") == 0)
            continue;
        json_key(w, slice_from(s->name));
        if (parts->plugin.ptr && strcmp(s->name, "plugin") == 0) {
            json_raw(w, parts->plugin);
            continue;
        }
        json_object(w);
        put_section(w, s);
        json_object_end(w);
    }
    json_object_end(w);
    json_object_end(w);
}
