/* SPDX-License-Identifier: Apache-2.0 */

/* Answers of the gateway's own: what stands in their heads, and which hooks see them. */

#include "support/rig.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    return 0;
}

static const char *answered(const char *target)
{
    char request[256];

    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    inbox_clear(&rig.client);
    int client = rig_connect(&rig);
    put(client, request);
    rig_expect(&rig, &rig.client, client, "\r\n\r\n");
    close(client);
    return rig.client.text;
}

static void a_header_made_of_the_request_is_left_out_where_it_is_none(void **state)
{
    (void)state;
    rig_start(&rig, "  - { name: all, respond: { headers: { x-q: \"{query:q}\", x-b: b } } }\n");
    assert_non_null(strstr(answered("/?q=1"), "x-q: 1\r\n"));
    const char *head = answered("/?q=%0d%0aX-Evil:1");
    assert_non_null(strstr(head, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(head, "x-b: b\r\n"));
    assert_null(strstr(head, "x-q"));
    assert_null(strstr(head, "X-Evil"));
    rig_stop(&rig);
}

static void values_in_the_query_of_a_redirect_stay_values(void **state)
{
    (void)state;
    rig_start(&rig, "  - { name: all, paths: [\"/{id}\"], redirect: { to: "
                    "\"https://x.example/{id}?id={id}&q={query:q}\" } }\n");
    assert_non_null(strstr(answered("/a&b%2Fc?q=1%26q=2%0d%0aX-Evil:1"),
                           "Location: "
                           "https://x.example/a&b%2Fc?id=a%26b/c&q=1%26q%3D2%0D%0AX-Evil:1\r\n"));
    rig_stop(&rig);
}

static enum phase_result marks(struct rig *r UNUSED, struct exchange *x)
{
    assert_int_equal(exchange_header(x, SIDE_RESPONSE, HEADER_SET, SLICE("X-Mark"), x->client_ip),
                     0);
    return PHASE_DONE;
}

static void a_problem_ends_with_a_line_feed(void **state)
{
    (void)state;
    rig_start(&rig, "  - { name: a, paths: [/a], respond: {} }\n");
    int client = rig_connect(&rig);
    put(client, "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_expect(&rig, &rig.client, client, "}\n");
    close(client);
    rig_stop(&rig);
}

static void a_path_that_is_none_is_400_behind_the_rewrite_hooks(void **state)
{
    static const struct {
        const char *path, *detail;
    } samples[] = {
        {"/%zz", "The path has a % without two hexadecimal digits behind it."},
        {"/a%00", "The path has a zero byte (%00)."},
        {"/a/../..", "The path climbs above its root (..)."},
    };

    (void)state;
    rig.mask = PHASE_BIT(PHASE_REWRITE) | PHASE_BIT(PHASE_RESPONSE) | PHASE_BIT(PHASE_LOG);
    rig.hooks[PHASE_REWRITE] = marks;
    rig_start(&rig, "  - { name: all, respond: {} }\n");
    for (int i = 0; i < 3; i++) {
        const char *head = answered(samples[i].path);
        assert_non_null(strstr(head, "HTTP/1.1 400 "));
        assert_non_null(strstr(head, samples[i].detail));
        assert_non_null(strstr(head, "X-Mark: 127.0.0.1\r\n"));
        assert_int_equal(rig.calls[PHASE_REWRITE], i + 1);
        assert_int_equal(rig.calls[PHASE_RESPONSE], i + 1);
    }
    TURN_UNTIL(rig.gateway.loop, rig.calls[PHASE_LOG] == 3);
    rig_stop(&rig);
}

static enum phase_result fails(struct rig *r UNUSED, struct exchange *x UNUSED)
{
    return PHASE_FAILED;
}

static void headers_set_before_lie_over_the_500_of_a_response_hook_too(void **state)
{
    (void)state;
    rig.mask = PHASE_BIT(PHASE_ACCESS) | PHASE_BIT(PHASE_RESPONSE);
    rig.hooks[PHASE_ACCESS] = marks;
    rig.hooks[PHASE_RESPONSE] = fails;
    rig_start(&rig, "  - { name: all, respond: {} }\n");
    const char *head = answered("/");
    assert_non_null(strstr(head, "HTTP/1.1 500 "));
    assert_non_null(strstr(head, "X-Mark: 127.0.0.1\r\n"));
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_header_made_of_the_request_is_left_out_where_it_is_none, setup),
        cmocka_unit_test_setup(values_in_the_query_of_a_redirect_stay_values, setup),
        cmocka_unit_test_setup(a_problem_ends_with_a_line_feed, setup),
        cmocka_unit_test_setup(a_path_that_is_none_is_400_behind_the_rewrite_hooks, setup),
        cmocka_unit_test_setup(headers_set_before_lie_over_the_500_of_a_response_hook_too, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
