/* SPDX-License-Identifier: Apache-2.0 */

/* Real workers that fight for a few connections: no wish may be forgotten, the limit holds at
 * every moment, and in the end every slot is back. Run by the thread sanitizer too. */

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/rand.h"
#include "fakes/fake_outbound.h"
#include "fakes/pool_world.h"
#include "support/test.h"

enum { CLIENTS = 6, TURNS = 6000, LIMIT = 5 };

struct client {
    struct wish wish;
    enum { RESTS, WAITS, HOLDS } state;
    int done;
};

static atomic_int running;
static pthread_barrier_t pools_gone;

static void begin(struct client *c, int worker)
{
    prepare(&c->wish, worker, (int)rand_below(2));
    c->wish.claim.wants_fresh = rand_below(50) == 0;
    int rc = ask_prepared(&c->wish);
    assert_true(rc == 0 || rc == ERR_AGAIN);
    c->state = rc == 0 ? HOLDS : WAITS;
}

static void let_go(struct client *c)
{
    if (rand_below(20) == 0)
        fake_outbound_peer_closes(c->wish.o);
    else
        fake_outbound_carry(c->wish.o);
    c->state = RESTS;
    c->done++;
}

/* Nothing to do but to wait for mail: a wake-up that got lost would be seen as time lost. */
static bool only_waits(const struct client *clients)
{
    for (int i = 0; i < CLIENTS; i++)
        if (clients[i].state == HOLDS || (clients[i].state == RESTS && clients[i].done < TURNS))
            return false;
    return true;
}

static void step(struct client *c, int worker)
{
    if (c->state == WAITS && c->wish.got) {
        assert_int_equal(c->wish.err, 0);
        c->state = HOLDS;
    }
    if (c->state == RESTS && c->done < TURNS) {
        begin(c, worker);
    } else if (c->state == HOLDS && rand_below(3) == 0) {
        let_go(c);
    } else if (c->state == WAITS && rand_below(100) == 0) {
        pool_cancel(&c->wish.claim);
        c->state = RESTS;
    }
}

static void *work(void *arg)
{
    struct client clients[CLIENTS] = {0};
    int worker = (int)(intptr_t)arg;
    struct loop *loop = workers[worker].loop;
    uint64_t give_up = clock_us_now() + 60000000;
    bool is_done = false;

    while (atomic_load(&running) > 0) {
        bool all = true;
        for (int i = 0; i < CLIENTS; i++) {
            step(&clients[i], worker);
            all &= clients[i].done == TURNS;
        }
        if (all && !is_done)
            atomic_fetch_sub(&running, 1);
        is_done = all;
        loop_turn(loop, only_waits(clients) ? 100 : 0);
        if (clock_us_now() > give_up)
            fail_msg("worker %d: a wish was forgotten", worker);
    }
    pool_free(workers[worker].pool);
    pthread_barrier_wait(&pools_gone);
    mailbox_free(workers[worker].mailbox);
    pthread_barrier_wait(&pools_gone);
    loop_free(loop);
    workers[worker] = (struct world_worker){0};
    return NULL;
}

static void workers_fight_for_few_connections(void **state)
{
    pthread_t threads[WORKERS];
    (void)state;

    up.max_connections = LIMIT;
    up.keepalive.max_idle = LIMIT - 1;
    up.timeout_ms = 0;
    running = WORKERS;
    pthread_barrier_init(&pools_gone, NULL, WORKERS);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&pools_gone);
    assert_true(fake_outbound_most() <= LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(workers_fight_for_few_connections, world_set_up,
                                        world_tear_down),
    };
    return cmocka_run_group_tests_name("gate/pool_threads", tests, NULL, NULL);
}
