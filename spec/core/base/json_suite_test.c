/* SPDX-License-Identifier: Apache-2.0 */

/* The public JSON parsing corpus (spec/data/json-test-suite): y_ files are accepted, n_ files
 * refused, i_ files either, and what is accepted reads the same after our writer has written it.
 * Runs at the project's root. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "support/test.h"

#define FOLDER "spec/data/json-test-suite/"

static char *read_file(const char *name, size_t *len)
{
    char path[512];

    snprintf(path, sizeof(path), FOLDER "%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = malloc(65536);
    *len = fread(text, 1, 65536, f);
    assert_true(*len < 65536);
    fclose(f);
    return text;
}

/* What the reader says, written again; JSON_END or the reader's error. */
static int copy(struct slice text, struct buf *out)
{
    struct json_reader r;
    struct json_writer w;
    int event;

    json_reader_init(&r, text, 128);
    json_writer_init(&w, out, 0);
    do {
        event = json_read(&r);
        switch (event) {
        case JSON_OBJECT: json_object(&w); break;
        case JSON_OBJECT_END: json_object_end(&w); break;
        case JSON_ARRAY: json_array(&w); break;
        case JSON_ARRAY_END: json_array_end(&w); break;
        case JSON_KEY: json_key(&w, r.string); break;
        case JSON_STRING: json_string(&w, r.string); break;
        case JSON_NUMBER: json_number(&w, r.number); break;
        case JSON_TRUE:
        case JSON_FALSE: json_bool(&w, event == JSON_TRUE); break;
        case JSON_NULL: json_null(&w); break;
        default: break;
        }
    } while (event > 0 && event != JSON_END);
    json_reader_deinit(&r);
    if (event == JSON_END)
        assert_int_equal(json_writer_end(&w), 0);
    return event;
}

static void check_file(const char *name)
{
    size_t len;
    char *text = read_file(name, &len);
    struct buf once, twice;

    buf_init(&once, MIB);
    buf_init(&twice, MIB);
    int rc = copy(slice_of(text, len), &once);
    if ((name[0] == 'y' && rc != JSON_END) || (name[0] == 'n' && rc >= 0))
        fail_msg("%s: %d %s", name, rc, err_word(rc));
    if (rc == JSON_END) {
        assert_int_equal(copy(buf_slice(&once), &twice), JSON_END);
        assert_true(slice_eq(buf_slice(&once), buf_slice(&twice)));
    }
    buf_deinit(&once);
    buf_deinit(&twice);
    free(text);
}

static void the_corpus_is_judged_as_its_names_say(void **state)
{
    DIR *folder = opendir(FOLDER);
    struct dirent *entry;
    int n = 0;

    (void)state;
    assert_non_null(folder);
    while ((entry = readdir(folder))) {
        if (!strstr(entry->d_name, ".json"))
            continue;
        check_file(entry->d_name);
        n++;
    }
    closedir(folder);
    assert_int_equal(n, 316);
}

/* The two files that are too large to keep. */
static void deep_nesting_is_refused(void **state)
{
    static const char *const pieces[] = {"[", "[{\"\":"};
    struct buf text, out;

    (void)state;
    buf_init(&text, MIB);
    buf_init(&out, MIB);
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        buf_clear(&text);
        buf_clear(&out);
        for (int j = 0; j < 100000; j++)
            assert_int_equal(buf_add(&text, slice_from(pieces[i])), 0);
        assert_int_equal(copy(buf_slice(&text), &out), ERR_DEPTH);
    }
    buf_deinit(&text);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_corpus_is_judged_as_its_names_say),
        cmocka_unit_test(deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
