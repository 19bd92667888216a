/* SPDX-License-Identifier: Apache-2.0 */

/* What of a request goes upstream: the path that a route makes, and what a client says of its own way here. */

#include "support/rig.h"

#include <string.h>
#include <unistd.h>

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    return 0;
}

/* The head that the origin gets for `request`. */
static const char *sent_up(const char *request)
{
    inbox_clear(&rig.server);
    int client = rig_connect(&rig);
    put(client, request);
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    close(origin);
    rig_expect(&rig, &rig.client, client, "\r\n\r\n");
    close(client);
    return rig.server.text;
}

static const char *answered(const char *request)
{
    inbox_clear(&rig.client);
    int client = rig_connect(&rig);
    put(client, request);
    rig_expect(&rig, &rig.client, client, "\r\n\r\n");
    close(client);
    return rig.client.text;
}

#define LINE(target) "POST " target " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"

static void a_rewritten_path_is_normalised_too(void **state)
{
    (void)state;
    rig_start(&rig, "  - { name: all, upstream: origin, rewrite: \"/a/b/{query:q}/c\" }\n");
    assert_non_null(strstr(sent_up(LINE("/?q=x%2Fy")), "POST /a/b/x%2Fy/c?q=x%2Fy "));
    assert_non_null(strstr(sent_up(LINE("/?q=..")), "POST /a/c?q=.. "));
    assert_non_null(strstr(sent_up(LINE("/?q=.")), "POST /a/b/c?q=. "));
    rig_stop(&rig);
}

static void a_rewritten_path_does_not_climb(void **state)
{
    (void)state;
    rig_start(&rig, "  - { name: all, upstream: origin, rewrite: \"/{query:q}/..\" }\n");
    assert_non_null(strstr(answered(LINE("/?q=..")), "HTTP/1.1 400 "));
    rig_stop(&rig);
}

#define CLAIMS \
    "X-Forwarded-Prefix: /claim\r\nX-FORWARDED-Anything: claim\r\nX-Real-IP: claim\r\n" \
    "X_Forwarded_For: claim\r\nX-Forwarded_Proto: claim\r\nX-Forwarded-Port: claim\r\n"

static void what_a_client_says_of_its_way_is_dropped(void **state)
{
    (void)state;
    rig_start(&rig, "  - { name: all, upstream: origin }\n");
    const char *head = sent_up("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" CLAIMS
                               "X-Forwarded: kept\r\nX-Forward: kept\r\n\r\n");
    assert_null(strstr(head, "claim"));
    assert_non_null(strstr(head, "X-Forwarded: kept\r\n"));
    assert_non_null(strstr(head, "X-Forward: kept\r\n"));
    rig_stop(&rig);
}

static enum phase_result says_prefix(struct rig *r UNUSED, struct exchange *x)
{
    assert_int_equal(
        exchange_header(x, SIDE_REQUEST, HEADER_SET, SLICE("X-Forwarded-Prefix"), SLICE("/plugin")),
        0);
    return PHASE_DONE;
}

static void what_a_hook_says_goes_up(void **state)
{
    (void)state;
    rig.mask = PHASE_BIT(PHASE_ACCESS);
    rig.hooks[PHASE_ACCESS] = says_prefix;
    rig_start(&rig, "  - { name: all, upstream: origin }\n");
    assert_non_null(strstr(sent_up(LINE("/")), "X-Forwarded-Prefix: /plugin\r\n"));
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_rewritten_path_is_normalised_too, setup),
        cmocka_unit_test_setup(a_rewritten_path_does_not_climb, setup),
        cmocka_unit_test_setup(what_a_client_says_of_its_way_is_dropped, setup),
        cmocka_unit_test_setup(what_a_hook_says_goes_up, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
