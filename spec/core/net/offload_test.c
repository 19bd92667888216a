/* SPDX-License-Identifier: Apache-2.0 */

#include "net/offload.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/err.h"
#include "net/loop.h"
#include "support/loopback.h"
#include "support/test.h"

static struct loop *loop;
static struct mailbox *mailbox;
static sem_t gate;    /* work waits here in some tests */
static sem_t waiting; /* and has arrived there */
static int done;
static atomic_int dropped;
static pthread_t home;

struct task {
    struct offload_job job;
    long input, result;
    pthread_t worked_by;
};

static int set_up(void **state)
{
    (void)state;
    loop = loop_new();
    mailbox = mailbox_new(loop, &done);
    sem_init(&gate, 0, 0);
    sem_init(&waiting, 0, 0);
    done = 0;
    atomic_store(&dropped, 0);
    home = pthread_self();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mailbox_free(mailbox);
    loop_free(loop);
    sem_destroy(&gate);
    sem_destroy(&waiting);
    return 0;
}

static void on_done(struct offload_job *job, void *reader)
{
    struct task *t = container_of(job, struct task, job);

    assert_ptr_equal(reader, &done);
    assert_true(pthread_equal(pthread_self(), home));
    assert_false(pthread_equal(t->worked_by, home));
    assert_int_equal(t->result, t->input * 2);
    done++;
}

static void on_drop(struct offload_job *job UNUSED)
{
    atomic_fetch_add(&dropped, 1);
}

static void work(struct offload_job *job)
{
    struct task *t = container_of(job, struct task, job);

    t->worked_by = pthread_self();
    t->result = t->input * 2;
}

static void work_at_the_gate(struct offload_job *job)
{
    sem_post(&waiting);
    sem_wait(&gate);
    work(job);
}

static void task_init(struct task *t, long input, offload_work_fn fn)
{
    *t = (struct task){.job = {.work = fn, .done = on_done, .drop = on_drop, .mailbox = mailbox},
                       .input = input};
}

/* n jobs that each wait until all of them run. */
static void run_side_by_side(struct offload *o, struct task *tasks, int n)
{
    done = 0;
    for (int i = 0; i < n; i++) {
        task_init(&tasks[i], i, work_at_the_gate);
        assert_int_equal(offload_submit(o, &tasks[i].job), 0);
    }
    for (int i = 0; i < n; i++)
        sem_wait(&waiting);
    for (int i = 0; i < n; i++)
        sem_post(&gate);
    TURN_UNTIL(loop, done == n);
}

static void results_come_home_and_no_thread_gets_lost(void **state)
{
    enum { TASKS = 2000 };
    static struct task tasks[TASKS];
    struct offload *o = offload_new(4, TASKS);

    (void)state;
    for (int i = 0; i < TASKS; i++) {
        task_init(&tasks[i], i, work);
        assert_int_equal(offload_submit(o, &tasks[i].job), 0);
        if (i % 20 == 0)
            TURN_UNTIL(loop, done == i + 1); /* the threads fall asleep again and again */
    }
    TURN_UNTIL(loop, done == TASKS);
    run_side_by_side(o, tasks, 4);
    offload_free(o);
}

static void a_full_queue_refuses(void **state)
{
    struct offload *o = offload_new(1, 2);
    struct task tasks[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        task_init(&tasks[i], i, work_at_the_gate);
    assert_int_equal(offload_submit(o, &tasks[0].job), 0);
    sem_wait(&waiting); /* it runs: the queue is empty */
    assert_int_equal(offload_submit(o, &tasks[1].job), 0);
    assert_int_equal(offload_submit(o, &tasks[2].job), 0);
    assert_int_equal(offload_submit(o, &tasks[3].job), ERR_FULL);
    for (int i = 0; i < 3; i++)
        sem_post(&gate);
    TURN_UNTIL(loop, done == 3);
    assert_int_equal(offload_submit(o, &tasks[3].job), 0);
    sem_post(&gate);
    TURN_UNTIL(loop, done == 4);
    offload_free(o);
}

static void jobs_run_side_by_side(void **state)
{
    struct offload *o = offload_new(3, 10);
    struct task tasks[3];

    (void)state;
    run_side_by_side(o, tasks, 3);
    offload_free(o);
}

static void the_end_waits_for_what_is_queued(void **state)
{
    enum { TASKS = 50 };
    struct offload *o = offload_new(2, TASKS);
    struct task tasks[TASKS];

    (void)state;
    for (int i = 0; i < TASKS; i++) {
        task_init(&tasks[i], i, work);
        assert_int_equal(offload_submit(o, &tasks[i].job), 0);
    }
    offload_free(o);
    TURN_UNTIL(loop, done == TASKS);
}

static void a_job_that_is_left_is_dropped(void **state)
{
    struct offload *o = offload_new(1, 10);
    struct task tasks[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        task_init(&tasks[i], i, i == 0 ? work_at_the_gate : work);
        assert_int_equal(offload_submit(o, &tasks[i].job), 0);
    }
    sem_wait(&waiting);
    offload_leave(&tasks[4].job); /* the last, one between, and the one that runs */
    offload_leave(&tasks[2].job);
    assert_int_equal(atomic_load(&dropped), 2);
    offload_leave(&tasks[0].job);
    assert_int_equal(atomic_load(&dropped), 2);
    sem_post(&gate);
    TURN_UNTIL(loop, done == 2);
    assert_int_equal(atomic_load(&dropped), 3);

    /* One that is on its way home already, and the mailbox goes before it has arrived. */
    task_init(&tasks[0], 0, work);
    task_init(&tasks[1], 1, work_at_the_gate);
    assert_int_equal(offload_submit(o, &tasks[0].job), 0);
    assert_int_equal(offload_submit(o, &tasks[1].job), 0);
    sem_wait(&waiting); /* the one thread is at the second: the first was sent */
    offload_leave(&tasks[0].job);
    sem_post(&gate);
    offload_free(o);
    mailbox_free(mailbox);
    assert_int_equal(done, 3);
    assert_int_equal(atomic_load(&dropped), 4);
    mailbox = mailbox_new(loop, &done);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(results_come_home_and_no_thread_gets_lost),
        TEST(a_full_queue_refuses),
        TEST(jobs_run_side_by_side),
        TEST(the_end_waits_for_what_is_queued),
        TEST(a_job_that_is_left_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
