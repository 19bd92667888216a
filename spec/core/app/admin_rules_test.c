/* SPDX-License-Identifier: Apache-2.0 */

/* Who may ask the admin endpoint for what. */

#include "support/test.h"

#include "app/admin_rules.h"

static struct arena *arena;
static struct message request;

static int setup(void **state)
{
    (void)state;
    arena = arena_new_heap(4 * KIB);
    request = (struct message){.method = METHOD_GET, .authority = SLICE("localhost:9901")};
    headers_init(&request.headers, arena, 8);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static int check(const struct admin_rules *rules, enum admin_reach reach)
{
    const char *why = NULL;
    int status = admin_rules_check(rules, reach, &request, arena, &why);

    if (status != 0)
        assert_non_null(why);
    return status;
}

static const struct admin_rules loopback = {.is_loopback = true};
static const struct admin_rules open_to_all = {.is_loopback = false};
static const struct admin_rules guarded = {.token = {"secret", 6}, .is_loopback = false};

static void health_is_for_everyone(void **state)
{
    (void)state;
    request.authority = SLICE("evil.example");
    headers_add_id(&request.headers, HEADER_ORIGIN, SLICE("http://evil.example"));
    assert_int_equal(check(&loopback, ADMIN_HEALTH), 0);
    assert_int_equal(check(&open_to_all, ADMIN_HEALTH), 0);
    assert_int_equal(check(&guarded, ADMIN_HEALTH), 0);
}

static void metrics_are_for_everyone_until_there_is_a_token(void **state)
{
    (void)state;
    request.authority = SLICE("evil.example");
    assert_int_equal(check(&loopback, ADMIN_METRICS), 0);
    assert_int_equal(check(&open_to_all, ADMIN_METRICS), 0);
    assert_int_equal(check(&guarded, ADMIN_METRICS), 401);
}

static void without_a_token_loopback_alone_shows_the_rest(void **state)
{
    (void)state;
    assert_int_equal(check(&loopback, ADMIN_REST), 0);
    assert_int_equal(check(&open_to_all, ADMIN_REST), 403);
}

static void a_host_by_name_is_refused_without_a_token(void **state)
{
    static const struct slice good[] = {
        {"localhost", 9}, {"LOCALHOST:1", 11}, {"127.0.0.1", 9}, {"[::1]:9901", 10}};
    static const struct slice bad[] = {{"evil.example", 12},
                                       {"localhost.evil.example", 22},
                                       {"127.0.0.1.evil.example", 22},
                                       {"", 0},
                                       {NULL, 0}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        request.authority = good[i];
        assert_int_equal(check(&loopback, ADMIN_REST), 0);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        request.authority = bad[i];
        assert_int_equal(check(&loopback, ADMIN_REST), 403);
    }
}

static void the_token_opens_everything(void **state)
{
    static const struct slice good[] = {
        {"Bearer secret", 13}, {"bearer secret", 13}, {"Bearer  secret", 14}};

    (void)state;
    request.authority = SLICE("admin.example");
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        headers_set_id(&request.headers, HEADER_AUTHORIZATION, good[i]);
        assert_int_equal(check(&guarded, ADMIN_REST), 0);
        assert_int_equal(check(&guarded, ADMIN_METRICS), 0);
    }
}

static void another_token_does_not(void **state)
{
    static const struct slice bad[] = {{"Bearer secres", 13},  {"Bearer secre", 12},
                                       {"Bearer secrets", 14}, {"Bearer secretsecret", 19},
                                       {"Bearer ", 7},         {"Basic secret", 12},
                                       {"secret", 6}};

    (void)state;
    assert_int_equal(check(&guarded, ADMIN_REST), 401);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        headers_set_id(&request.headers, HEADER_AUTHORIZATION, bad[i]);
        assert_int_equal(check(&guarded, ADMIN_REST), 401);
    }
}

static void a_change_from_a_foreign_page_is_refused(void **state)
{
    static const struct slice foreign[] = {{"http://evil.example", 19},
                                           {"null", 4},
                                           {"http://localhost:1", 18},
                                           {"http://localhost", 16},
                                           {"ftp://localhost:9901", 20}};

    (void)state;
    request.method = METHOD_POST;
    assert_int_equal(check(&loopback, ADMIN_REST), 0);
    headers_set_id(&request.headers, HEADER_ORIGIN, SLICE("http://localhost:9901"));
    assert_int_equal(check(&loopback, ADMIN_REST), 0);
    headers_add_id(&request.headers, HEADER_AUTHORIZATION, SLICE("Bearer secret"));
    for (size_t i = 0; i < COUNT_OF(foreign); i++) {
        headers_set_id(&request.headers, HEADER_ORIGIN, foreign[i]);
        assert_int_equal(check(&loopback, ADMIN_REST), 403);
        assert_int_equal(check(&guarded, ADMIN_REST), 403);
    }
}

static void a_page_of_another_origin_may_look(void **state)
{
    (void)state;
    headers_set_id(&request.headers, HEADER_ORIGIN, SLICE("http://evil.example"));
    assert_int_equal(check(&loopback, ADMIN_REST),
                     0); /* no CORS header: its script can't read the answer */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(health_is_for_everyone, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_are_for_everyone_until_there_is_a_token, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_a_token_loopback_alone_shows_the_rest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_host_by_name_is_refused_without_a_token, setup, teardown),
        cmocka_unit_test_setup_teardown(the_token_opens_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(another_token_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_from_a_foreign_page_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_of_another_origin_may_look, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
