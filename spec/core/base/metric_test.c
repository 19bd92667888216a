/* SPDX-License-Identifier: Apache-2.0 */

#include "base/metric.h"

#include <pthread.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "support/expect.h"

static struct buf page;

static int setup(void **state)
{
    (void)state;
    metric_init(3, 100);
    buf_init(&page, MIB);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_deinit(&page);
    metric_deinit();
    return 0;
}

static const char *const host[] = {"host"};

static struct metric_family *counter(const char *name, int nlabels)
{
    return metric_family(name, "Help.", METRIC_COUNTER, host, nlabels, NULL, 0);
}

static struct metric_series *series(struct metric_family *f, const char *value)
{
    struct slice s = slice_from(value);
    return metric_series(f, &s);
}

/* The page, NUL-terminated. */
static const char *print(bool openmetrics)
{
    buf_clear(&page);
    assert_int_equal(metric_write(&page, openmetrics), 0);
    assert_int_equal(buf_add(&page, slice_of("", 1)), 0);
    return buf_slice(&page).ptr;
}

static void expect_line(const char *line, bool openmetrics)
{
    char text[600];

    snprintf(text, sizeof(text), "\n%s\n", line);
    if (!strstr(print(openmetrics), text))
        fail_msg("no line %s in\n%s", line, buf_slice(&page).ptr);
}

static void what_writers_add_is_summed(void **state)
{
    struct metric_series *s = series(counter("requests_total", 1), "a");

    (void)state;
    metric_inc(s, 0);
    metric_inc(s, 2);
    metric_add(s, 1, 2.5);
    assert_true(metric_value(s) == 4.5);
    expect_line("requests_total{host=\"a\"} 4.5", false);

    s = metric_series(metric_family("open", "Help.", METRIC_GAUGE, NULL, 0, NULL, 0), NULL);
    metric_add(s, 0, 5);
    metric_add(s, 1, -2);
    assert_true(metric_value(s) == 3);
    expect_line("open 3", false);
    metric_set(s, 1, 7);
    assert_true(metric_value(s) == 12);
}

static void families_and_series_are_found_again(void **state)
{
    (void)state;
    struct metric_family *f = counter("requests_total", 1);
    assert_ptr_equal(counter("requests_total", 1), f);
    assert_ptr_equal(counter("requests", 1), f);
    assert_ptr_equal(series(f, "a"), series(f, "a"));
    assert_ptr_not_equal(series(f, "a"), series(f, "b"));

    /* Label values are told apart wherever one ends. */
    static const char *const two[] = {"x", "y"};
    f = metric_family("pairs", "Help.", METRIC_GAUGE, two, 2, NULL, 0);
    struct slice one[] = {SLICE("ab"), SLICE("c")}, other[] = {SLICE("a"), SLICE("bc")};
    assert_ptr_not_equal(metric_series(f, one), metric_series(f, other));
}

static void another_shape_or_a_bad_name_is_refused(void **state)
{
    static const char *const bad_labels[][2] = {{"a", "a"}, {"__a", "b"}, {"a-b", "c"}, {"", "c"}};
    static const char *const le[] = {"le"};
    static const double falling[] = {2, 1}, rising[] = {1, 2};

    (void)state;
    assert_non_null(counter("a_total", 1));
    assert_null(counter("a_total", 0));
    assert_null(metric_family("a_total", "Help.", METRIC_GAUGE, host, 1, NULL, 0));
    assert_null(metric_family("a", "Help.", METRIC_GAUGE, host, 1, NULL, 0));
    assert_null(counter("", 0));
    assert_null(counter("1a", 0));
    assert_null(counter("a-b", 0));
    assert_null(counter("_total", 0));
    for (size_t i = 0; i < COUNT_OF(bad_labels); i++)
        assert_null(metric_family("b", "Help.", METRIC_GAUGE, bad_labels[i], 2, NULL, 0));
    assert_null(metric_family("h", "Help.", METRIC_HISTOGRAM, le, 1, rising, 2));
    assert_null(metric_family("h", "Help.", METRIC_HISTOGRAM, NULL, 0, falling, 2));
    assert_null(metric_family("h", "Help.", METRIC_HISTOGRAM, NULL, 0, NULL, 0));
    assert_null(metric_family("g", "Help.", METRIC_GAUGE, NULL, 0, rising, 2));
    assert_non_null(metric_family("h", "Help.", METRIC_HISTOGRAM, NULL, 0, rising, 2));
    assert_null(metric_family("h", "Help.", METRIC_HISTOGRAM, NULL, 0, rising, 1));
    assert_null(metric_family("h_sum", "Help.", METRIC_GAUGE, NULL, 0, NULL, 0));
    assert_non_null(metric_family("i_count", "Help.", METRIC_GAUGE, NULL, 0, NULL, 0));
    assert_null(metric_family("i", "Help.", METRIC_HISTOGRAM, NULL, 0, rising, 2));
}

static void a_histogram_counts_up_to_each_bound(void **state)
{
    static const double bounds[] = {0.1, 1, 2.5};
    struct metric_series *s;

    (void)state;
    s = series(metric_family("time", "Help.", METRIC_HISTOGRAM, host, 1, bounds, 3), "a");
    metric_observe(s, 0, 0.1);
    metric_observe(s, 1, 0.25);
    metric_observe(s, 2, 1);
    metric_observe(s, 2, 100);
    assert_true(metric_value(s) == 4);
    expect_line("time_bucket{host=\"a\",le=\"0.1\"} 1\ntime_bucket{host=\"a\",le=\"1\"} 3\n"
                "time_bucket{host=\"a\",le=\"2.5\"} 3\ntime_bucket{host=\"a\",le=\"+Inf\"} 4\n"
                "time_sum{host=\"a\"} 101.35\ntime_count{host=\"a\"} 4",
                false);
    expect_line("time_bucket{host=\"a\",le=\"1.0\"} 3", true);
}

static void cells_count_as_their_series_does(void **state)
{
    static const double bounds[] = {0.1, 1};
    struct metric_family *f = metric_family("wait", "Help.", METRIC_HISTOGRAM, host, 1, bounds, 2);
    struct metric_series *s = series(f, "a");
    struct metric_series *c = metric_series(counter("c_total", 0), NULL);

    (void)state;
    metric_observe(s, 1, 0.5);
    metric_cells_observe(metric_cells(s, 1), f, 0.5);
    metric_cells_observe(metric_cells(s, 2), f, 7);
    assert_true(metric_value(s) == 3);
    expect_line("wait_bucket{host=\"a\",le=\"0.1\"} 0\nwait_bucket{host=\"a\",le=\"1\"} 2\n"
                "wait_bucket{host=\"a\",le=\"+Inf\"} 3\nwait_sum{host=\"a\"} 8",
                false);
    metric_inc(c, 1);
    metric_cells_inc(metric_cells(c, 1));
    metric_cells_inc(metric_cells(c, 2));
    assert_true(metric_value(c) == 3);
}

static void the_two_formats_name_counters_differently(void **state)
{
    (void)state;
    metric_inc(metric_series(counter("b_total", 0), NULL), 0);
    metric_add(
        series(metric_family("a", "Line\nwith \\ and \".", METRIC_GAUGE, host, 1, NULL, 0), "x"), 0,
        0.5);
    assert_string_equal(
        print(false),
        "# HELP a Line\\nwith \\\\ and \".\n# TYPE a gauge\na{host=\"x\"} 0.5\n"
        "# HELP b_total Help.\n# TYPE b_total counter\nb_total 1\n"
        "# HELP demilune_metric_series_refused_total Look-ups that got the overflow series because "
        "there were too many series.\n"
        "# TYPE demilune_metric_series_refused_total counter\n"
        "demilune_metric_series_refused_total 0\n");
    assert_string_equal(
        print(true),
        "# HELP a Line\\nwith \\\\ and \\\".\n# TYPE a gauge\na{host=\"x\"} 0.5\n"
        "# HELP b Help.\n# TYPE b counter\nb_total 1\n"
        "# HELP demilune_metric_series_refused Look-ups that got the overflow series because "
        "there were too many series.\n"
        "# TYPE demilune_metric_series_refused counter\n"
        "demilune_metric_series_refused_total 0\n# EOF\n");
}

static void label_values_are_escaped_cleaned_and_cut(void **state)
{
    char longest[300], line[600];

    (void)state;
    struct metric_family *f = counter("x_total", 1);
    metric_inc(series(f, "a\"b\\c\nd"), 0);
    expect_line("x_total{host=\"a\\\"b\\\\c\\nd\"} 1", false);
    metric_inc(series(f, "\xff\xc3\xa9\xc3"), 0);
    expect_line("x_total{host=\"?\xc3\xa9?\"} 1", false);
    /* Else two series would print the same. */
    assert_ptr_equal(series(f, "\xff"), series(f, "\xfe"));

    memset(longest, 'x', 299);
    longest[299] = '\0';
    memcpy(longest + 255, "\xc3\xa9", 2);
    metric_inc(series(f, longest), 0);
    snprintf(line, sizeof(line), "x_total{host=\"%.255s\"} 1", longest);
    expect_line(line, false);
}

static double read_arg(void *arg)
{
    return *(double *)arg;
}

static void beyond_the_limit_series_become_other(void **state)
{
    char value[16];

    (void)state;
    struct metric_family *f = counter("x_total", 1), *g = counter("y_total", 1);
    metric_set_max_series(3);
    struct metric_series *first = series(f, "a");
    series(f, "b");
    series(g, "c");
    for (int i = 0; i < 1000; i++) {
        snprintf(value, sizeof(value), "%d", i);
        metric_inc(series(f, value), 0);
    }
    expect_line("x_total{host=\"other\"} 1000", false);
    expect_line("demilune_metric_series_refused_total 1000", false);
    assert_ptr_equal(series(f, "a"), first);
    assert_ptr_not_equal(series(f, "z"), series(g, "z"));
    assert_ptr_equal(series(f, "other"), series(f, "z"));
    /* What has no labels cannot grow. */
    metric_inc(metric_series(counter("free_total", 0), NULL), 0);
    expect_line("free_total 1", false);
    /* Nor what is read from something that the configuration has. */
    struct metric_family *depth = metric_family("depth", "Help.", METRIC_GAUGE, host, 1, NULL, 0);
    struct slice label = SLICE("a");
    double seven = 7;
    metric_gauge_fn(depth, &label, read_arg, &seven);
    expect_line("depth{host=\"a\"} 7", false);

    metric_set_max_series(4);
    assert_ptr_not_equal(series(f, "z"), series(f, "other"));
}

static void other_may_be_a_value_too(void **state)
{
    (void)state;
    struct metric_family *f = counter("x_total", 1);
    struct metric_series *other = series(f, "other");
    metric_set_max_series(1);
    metric_inc(other, 0);
    metric_inc(series(f, "z"), 0);
    assert_ptr_equal(series(f, "z"), other);
    expect_line("x_total{host=\"other\"} 2", false);
}

static void computed_gauges_are_asked_when_read(void **state)
{
    double value = 7;
    struct slice label = SLICE("a");

    (void)state;
    struct metric_family *f = metric_family("depth", "Help.", METRIC_GAUGE, host, 1, NULL, 0);
    metric_gauge_fn(f, &label, read_arg, &value);
    expect_line("depth{host=\"a\"} 7", false);
    value = 8;
    assert_true(metric_value(series(f, "a")) == 8);
    metric_gauge_fn(f, &label, NULL, NULL);
    assert_null(strstr(print(false), "depth{")); /* who looks must not take it for 0 */
    metric_gauge_fn(f, &label, read_arg, &value);
    expect_line("depth{host=\"a\"} 8", false);
}

static void a_full_buffer_is_an_error(void **state)
{
    struct buf small;

    (void)state;
    buf_init(&small, 50);
    assert_int_equal(metric_write(&small, false), ERR_FULL);
    buf_deinit(&small);
}

static void ignore_line(void *arg, enum log_level level, struct slice line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static void misuse_is_noticed_and_changes_nothing(void **state)
{
    static const double bounds[] = {1};
    uint64_t before = check_failures();

    (void)state;
    log_capture(ignore_line, NULL);
    struct metric_series *s = series(counter("x_total", 1), "a");
    metric_inc(s, 3);
    metric_inc(s, -1);
    metric_add(s, 0, -1);
    metric_observe(s, 0, 1);
    struct metric_series *h =
        metric_series(metric_family("h", "Help.", METRIC_HISTOGRAM, NULL, 0, bounds, 1), NULL);
    metric_add(h, 0, 1);
    metric_inc(h, 0);
    metric_observe(h, 0, 0.0 / 0.0);
    log_capture(NULL, NULL);
    assert_int_equal(check_failures() - before, 7);
    assert_true(metric_value(s) == 0);
    assert_true(metric_value(h) == 0);
}

/* Writers add while the page is printed and series are made. */
static void *work(void *arg)
{
    int writer = *(int *)arg;
    char value[16];

    for (int i = 0; i < 2000; i++) {
        snprintf(value, sizeof(value), "%d", i % 50);
        metric_inc(series(counter("shared_total", 1), value), writer);
    }
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    pthread_t threads[3];
    int writers[3];
    double sum = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        writers[i] = i;
        pthread_create(&threads[i], NULL, work, &writers[i]);
    }
    for (int i = 0; i < 20; i++)
        print(i % 2);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 50; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", i);
        sum += metric_value(series(counter("shared_total", 1), value));
    }
    assert_true(sum == 6000);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_writers_add_is_summed),
        TEST(families_and_series_are_found_again),
        TEST(another_shape_or_a_bad_name_is_refused),
        TEST(a_histogram_counts_up_to_each_bound),
        TEST(cells_count_as_their_series_does),
        TEST(the_two_formats_name_counters_differently),
        TEST(label_values_are_escaped_cleaned_and_cut),
        TEST(beyond_the_limit_series_become_other),
        TEST(other_may_be_a_value_too),
        TEST(computed_gauges_are_asked_when_read),
        TEST(a_full_buffer_is_an_error),
        TEST(misuse_is_noticed_and_changes_nothing),
        TEST(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
