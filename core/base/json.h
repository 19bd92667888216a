/* SPDX-License-Identifier: Apache-2.0 */

/* JSON (RFC 8259): a writer into a buf and a pull reader over a slice. Integers up to 2^53 are
 * exact, UTF-8 is checked, depth and size are capped. Serves logs, the admin endpoint, and
 * demilune.json. */

#ifndef DML_BASE_JSON_H
#define DML_BASE_JSON_H

#include "base/base.h"
#include "base/buf.h"
#include "base/slice.h"

/* Writer. Commas and colons are put by itself; errors stick (ERR_FULL, ERR_ENCODING, ERR_DEPTH,
 * ERR_ARG) and are returned by json_writer_end. Depth at most 128. */
struct json_writer {
    /* borrowed */
    struct buf *out;
    /* state */
    int err;
    int depth;
    int indent;         /* spaces per level; 0 = compact */
    uint8_t state[129]; /* what each open level expects next; [0] is outside of all */
};

void json_writer_init(struct json_writer *w, struct buf *out, int indent);
void json_object(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array(struct json_writer *w);
void json_array_end(struct json_writer *w);

/* Invalid UTF-8 in a string or key is ERR_ENCODING; the lossy forms (logs) write U+FFFD instead. */
void json_key(struct json_writer *w, struct slice key);
void json_key_lossy(struct json_writer *w, struct slice key);
void json_string(struct json_writer *w, struct slice s);
void json_string_lossy(struct json_writer *w, struct slice s);

/* A double in the shortest form that reads back the same; not finite: ERR_ARG. */
void json_int(struct json_writer *w, int64_t n);
void json_number(struct json_writer *w, double n);

void json_bool(struct json_writer *w, bool b);
void json_null(struct json_writer *w);
void json_raw(struct json_writer *w, struct slice json); /* one value, already JSON */

/* The first error, or ERR_ARG when the text is not one whole value. */
MUST_CHECK int json_writer_end(struct json_writer *w);

/* Appends s as a quoted JSON string, lossy. For hot log paths. ERR_FULL leaves a part of it in
 * `out`. */
MUST_CHECK int json_quote(struct buf *out, struct slice s);

/* Pull reader. json_read gives one event after another; JSON_END after the one whole value,
 * trailing blanks allowed. Strings are decoded into `scratch` when they have escapes, else they
 * point into the text; they are valid until the next call. A \u escape that is half a surrogate
 * pair is ERR_ENCODING. Equal keys of an object are the caller's matter. After an error the reader
 * is not called again. */
enum json_event {
    JSON_OBJECT = 1,
    JSON_OBJECT_END,
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_KEY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
    JSON_END,
};

struct json_reader {
    /* borrowed */
    struct slice text;
    /* owned */
    struct buf scratch;
    /* state */
    size_t pos;
    int depth, max_depth;
    uint8_t stack[512]; /* '{' or '[' per level */
    uint8_t expect;
    struct slice string; /* of JSON_KEY and JSON_STRING */
    double number;       /* of JSON_NUMBER */
    bool is_int;         /* it was written without fraction and exponent and is within +-2^53 */
};

/* max_depth at most 512. A byte-order mark is refused. */
void json_reader_init(struct json_reader *r, struct slice text, int max_depth);
void json_reader_deinit(struct json_reader *r);

/* An event, or ERR_SYNTAX, ERR_ENCODING, ERR_DEPTH, ERR_RANGE (number outside of double); r->pos
 * says where. */
MUST_CHECK int json_read(struct json_reader *r);

#endif
