/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes: the reader ends in JSON_END or an error; what it accepts is written, read again and
 * written again the same; and any bytes quoted as a string read back as valid UTF-8. */

#include "base/check.h"
#include "base/json.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void write_event(struct json_writer *w, const struct json_reader *r, int event)
{
    switch (event) {
    case JSON_OBJECT: json_object(w); break;
    case JSON_OBJECT_END: json_object_end(w); break;
    case JSON_ARRAY: json_array(w); break;
    case JSON_ARRAY_END: json_array_end(w); break;
    case JSON_KEY: json_key(w, r->string); break;
    case JSON_STRING: json_string(w, r->string); break;
    case JSON_NUMBER: json_number(w, r->number); break;
    case JSON_TRUE: json_bool(w, true); break;
    case JSON_FALSE: json_bool(w, false); break;
    default: json_null(w); break;
    }
}

static int copy(struct slice text, struct buf *out, int indent)
{
    struct json_reader r;
    struct json_writer w;
    int event;

    json_reader_init(&r, text, 128);
    json_writer_init(&w, out, indent);
    while ((event = json_read(&r)) > 0 && event != JSON_END)
        write_event(&w, &r, event);
    REQUIRE(r.pos <= text.len);
    if (event == JSON_END)
        REQUIRE(json_writer_end(&w) == 0);
    json_reader_deinit(&r);
    return event;
}

static void check_copy(struct slice text)
{
    struct buf once, twice;

    buf_init(&once, 64 * MIB);
    buf_init(&twice, 64 * MIB);
    if (copy(text, &once, 2) == JSON_END) {
        struct buf compact;
        buf_init(&compact, 64 * MIB);
        REQUIRE(copy(buf_slice(&once), &compact, 0) == JSON_END);
        REQUIRE(copy(buf_slice(&compact), &twice, 2) == JSON_END);
        REQUIRE(slice_eq(buf_slice(&once), buf_slice(&twice)));
        buf_deinit(&compact);
    }
    buf_deinit(&once);
    buf_deinit(&twice);
}

static void check_quote(struct slice text)
{
    struct json_reader r;
    struct buf quoted;

    buf_init(&quoted, 64 * MIB);
    REQUIRE(json_quote(&quoted, text) == 0);
    json_reader_init(&r, buf_slice(&quoted), 0);
    REQUIRE(json_read(&r) == JSON_STRING);
    REQUIRE(text_is_utf8(r.string));
    if (text_is_utf8(text))
        REQUIRE(slice_eq(r.string, text));
    REQUIRE(json_read(&r) == JSON_END);
    json_reader_deinit(&r);
    buf_deinit(&quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct slice text = slice_of((const char *)bytes, size);

    check_copy(text);
    check_quote(text);
    return 0;
}
