/* SPDX-License-Identifier: Apache-2.0 */

#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "support/expect.h"

static char last[2 * MIB];
static int nlines;
static enum log_level last_level;

static void keep_line(void *arg, enum log_level level, struct slice line)
{
    (void)arg;
    last_level = level;
    nlines++;
    memcpy(last, line.ptr, MIN(line.len, sizeof(last) - 1));
    last[MIN(line.len, sizeof(last) - 1)] = '\0';
}

static int setup(void **state)
{
    (void)state;
    nlines = 0;
    last[0] = '\0';
    log_configure(LOG_INFO, LOG_JSON);
    log_capture(keep_line, NULL);
    clock_advance_ms(5000); /* a new second for every place */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_capture(NULL, NULL);
    return 0;
}

/* The line behind its date, which must be one. */
static const char *without_date(void)
{
    static const char start[] = "{\"ts\":\"";
    const char *date = last[0] == '{' ? last + strlen(start) : last;

    if (date != last)
        assert_memory_equal(last, start, strlen(start));
    assert_memory_equal(date, "20", 2);
    assert_int_equal(date[10], 'T');
    assert_int_equal(date[23], 'Z');
    return date + 24;
}

static bool is_json(const char *text)
{
    struct json_reader r;
    int event;

    json_reader_init(&r, slice_from(text), 2);
    do
        event = json_read(&r);
    while (event > 0 && event != JSON_END);
    json_reader_deinit(&r);
    return event == JSON_END;
}

static void a_json_line_has_its_fields_in_order(void **state)
{
    (void)state;
    LOG_WARN("upstream.connect", "can't connect", LOG_S("name", SLICE("a\"b\n")),
             LOG_I("port", -80), LOG_D("ratio", 0.5), LOG_B("last", true), LOG_C("none", NULL),
             LOG_D("nan", 0.0 / 0.0));
    assert_string_equal(
        without_date(),
        "\",\"level\":\"warn\",\"event\":\"upstream.connect\",\"msg\":\"can't connect\","
        "\"name\":\"a\\\"b\\n\",\"port\":-80,\"ratio\":0.5,\"last\":true,"
        "\"none\":null,\"nan\":null}");
    LOG_ERROR("x", "no fields");
    assert_string_equal(without_date(),
                        "\",\"level\":\"error\",\"event\":\"x\",\"msg\":\"no fields\"}");
}

static void a_text_line_quotes_what_could_be_mistaken(void **state)
{
    (void)state;
    log_configure(LOG_INFO, LOG_TEXT);
    LOG_INFO("x.y", "all is well", LOG_C("plain", "a-b/c"), LOG_C("blank", "a b"),
             LOG_C("sign", "a=b"), LOG_C("empty", ""), LOG_C("none", NULL), LOG_I("n", 7),
             LOG_B("b", false), LOG_D("d", 1.5));
    assert_string_equal(without_date(),
                        " INFO x.y: all is well plain=a-b/c blank=\"a b\" sign=\"a=b\" empty=\"\" "
                        "none=- n=7 b=false d=1.5");
}

static void nothing_a_client_sent_makes_a_second_line(void **state)
{
    static const char evil[] = "x\r\n2026-01-01T00:00:00.000Z ERROR forged: line\x1b[31m\xff";

    (void)state;
    for (int format = LOG_JSON; format <= LOG_TEXT; format++) {
        log_configure(LOG_INFO, (enum log_format)format);
        LOG_INFO("x", evil, LOG_C("path", evil), LOG_C(evil, "key"));
        assert_null(strpbrk(last, "\r\n\x1b\xff"));
        assert_true(format == LOG_TEXT || is_json(last));
    }
}

static void levels_below_the_chosen_one_cost_no_line(void **state)
{
    (void)state;
    log_configure(LOG_WARN, LOG_JSON);
    LOG_INFO("x", "not seen");
    LOG_DEBUG("x", "not seen");
    assert_int_equal(nlines, 0);
    LOG_WARN("x", "seen");
    assert_int_equal(nlines, 1);
    log_configure(LOG_OFF, LOG_JSON);
    LOG_ERROR("x", "not seen");
    assert_int_equal(nlines, 1);
}

static void levels_have_names(void **state)
{
    (void)state;
    assert_int_equal(log_level_parse(SLICE("debug")), LOG_DEBUG);
    assert_int_equal(log_level_parse(SLICE("warn")), LOG_WARN);
    assert_int_equal(log_level_parse(SLICE("off")), LOG_OFF);
    assert_int_equal(log_level_parse(SLICE("Warn")), ERR_SYNTAX);
    assert_int_equal(log_level_parse(SLICE("")), ERR_SYNTAX);
}

static void repeat(int times)
{
    for (int i = 0; i < times; i++)
        LOG_ERROR("x", "again");
}

static void a_place_that_repeats_itself_is_held_back_and_counted(void **state)
{
    (void)state;
    repeat(1000);
    assert_int_equal(nlines, 10);
    assert_null(strstr(last, "suppressed"));
    LOG_ERROR("y", "another place");
    assert_int_equal(nlines, 11);

    clock_advance_ms(1000);
    repeat(1);
    assert_int_equal(nlines, 12);
    assert_non_null(strstr(last, ",\"suppressed\":990}"));
    repeat(1);
    assert_null(strstr(last, "suppressed"));
}

static void what_was_held_back_is_told_when_nothing_follows(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++)
        LOG_WARN("flood", "came", LOG_S("from", SLICE("a")));
    assert_int_equal(nlines, 10);
    log_tell_suppressed(false);
    assert_int_equal(nlines, 10); /* another line may still come */
    clock_advance_ms(2000);
    log_tell_suppressed(false);
    assert_int_equal(nlines, 11);
    assert_int_equal(last_level, LOG_WARN);
    assert_non_null(strstr(
        last, "\"event\":\"flood\",\"msg\":\"more of these were held back\",\"suppressed\":20}"));
    log_tell_suppressed(true);
    assert_int_equal(nlines, 11);
    clock_advance_ms(1000);
    repeat(11);
    log_tell_suppressed(true);
    assert_int_equal(nlines, 22);
    assert_non_null(strstr(last, "\"suppressed\":1}"));
}

static void lines_without_a_place_are_never_held_back(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        log_write(NULL, LOG_INFO, "plugin", SLICE("mine"), NULL, 0);
    assert_int_equal(nlines, 100);
}

static void long_values_are_cut_and_the_line_stays_whole(void **state)
{
    static char huge[100000];
    struct log_field fields[20];

    (void)state;
    memset(huge, '\x01', sizeof(huge));
    for (int i = 0; i < 20; i++)
        fields[i] = LOG_S("field", slice_of(huge, sizeof(huge)));
    log_write(NULL, LOG_INFO, "x", slice_of(huge, sizeof(huge)), fields, 20);
    assert_true(is_json(last));
    assert_true(strlen(last) > 6 * 60000 && strlen(last) < 500000);

    /* Not inside of a character. */
    memset(huge, 'x', sizeof(huge));
    memcpy(huge + 8191, "\xc3\xa9", 2);
    log_write(NULL, LOG_INFO, "x", slice_of(huge, sizeof(huge)), NULL, 0);
    assert_int_equal(strlen(strstr(last, "xx")), 8191 + 2);
}

/* To stderr, which is a pipe here: each line arrives whole, whatever the threads do. */
static void *write_lines(void *arg)
{
    for (int i = 0; i < 50; i++)
        log_write(NULL, LOG_INFO, "x", slice_from(arg), NULL, 0);
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    static char texts[4][1000];
    pthread_t threads[4];
    char path[] = "/tmp/log_test_XXXXXX", line[2000];
    int file = mkstemp(path), saved = dup(STDERR_FILENO), n = 0;

    (void)state;
    assert_true(file >= 0);
    unlink(path);
    log_capture(NULL, NULL);
    dup2(file, STDERR_FILENO);
    fcntl(STDERR_FILENO, F_SETFL, O_APPEND);
    for (int i = 0; i < 4; i++) {
        memset(texts[i], 'a' + i, sizeof(texts[i]) - 1);
        pthread_create(&threads[i], NULL, write_lines, texts[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);

    FILE *f = fdopen(file, "r");
    rewind(f);
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        assert_true(is_json(line));
        n++;
    }
    fclose(f);
    assert_int_equal(n, 200);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_json_line_has_its_fields_in_order),
        TEST(a_text_line_quotes_what_could_be_mistaken),
        TEST(nothing_a_client_sent_makes_a_second_line),
        TEST(levels_below_the_chosen_one_cost_no_line),
        TEST(levels_have_names),
        TEST(a_place_that_repeats_itself_is_held_back_and_counted),
        TEST(what_was_held_back_is_told_when_nothing_follows),
        TEST(lines_without_a_place_are_never_held_back),
        TEST(long_values_are_cut_and_the_line_stays_whole),
        TEST(lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
