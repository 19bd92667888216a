/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts that are given up: what they say of the endpoint. */

#include "support/rig.h"

#include <string.h>
#include <unistd.h>

#include "base/err.h"

static struct rig rig;

#define GET "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    return 0;
}

static unsigned long long failures(void)
{
    const struct snapshot *s = rig.gateway.plan->snapshot;

    return atomic_load(&s->routes[0]->upstream->endpoints[0].live->failures);
}

static enum phase_result notes_error(struct rig *r, struct exchange *x)
{
    r->last_err = x->attempt->err;
    return PHASE_DONE;
}

static void start(void)
{
    rig.mask = PHASE_BIT(PHASE_LOG);
    rig.hooks[PHASE_LOG] = notes_error;
    rig_start(&rig, "  - { name: all, upstream: origin, timeout: 30ms }\n");
}

static void a_routes_deadline_counts_against_the_endpoint(void **state)
{
    (void)state;
    start();
    int client = rig_connect(&rig);
    put(client, GET);
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.client, client, "HTTP/1.1 504 ");
    TURN_UNTIL(rig.gateway.loop, rig.calls[PHASE_LOG] == 1);
    assert_int_equal(rig.last_err, ERR_TIMEOUT);
    assert_int_equal(failures(), 1);
    close(client);
    close(origin);
    rig_stop(&rig);
}

static void a_client_that_leaves_does_not(void **state)
{
    (void)state;
    start();
    int client = rig_connect(&rig);
    put(client, GET);
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    close(client);
    TURN_UNTIL(rig.gateway.loop, rig.calls[PHASE_LOG] == 1);
    assert_int_equal(rig.last_err, ERR_CANCELLED);
    assert_int_equal(failures(), 0);
    close(origin);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_routes_deadline_counts_against_the_endpoint, setup),
        cmocka_unit_test_setup(a_client_that_leaves_does_not, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
