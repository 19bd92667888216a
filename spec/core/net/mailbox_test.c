/* SPDX-License-Identifier: Apache-2.0 */

#include "net/mailbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "net/loop.h"
#include "support/loopback.h"
#include "support/test.h"

enum { SENDERS = 4, LETTERS = 20000 };

struct letter {
    struct mail mail;
    int sender, number;
};

struct reader {
    struct loop *loop;
    struct mailbox *mailbox;
    int expected[SENDERS]; /* the next number of each */
    int total;
    bool out_of_order;
};

static struct reader reader;

static int set_up(void **state)
{
    (void)state;
    reader = (struct reader){.loop = loop_new()};
    reader.mailbox = mailbox_new(reader.loop, &reader);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mailbox_free(reader.mailbox);
    loop_free(reader.loop);
    return 0;
}

static void on_letter(struct mail *m, void *arg)
{
    struct letter *letter = container_of(m, struct letter, mail);
    struct reader *r = arg;

    r->out_of_order |= r->expected[letter->sender]++ != letter->number;
    r->total++;
    free(letter);
}

static void send_letter(int sender, int number)
{
    struct letter *letter = calloc(1, sizeof(*letter));

    if (!letter)
        abort();
    *letter = (struct letter){.mail.fn = on_letter, .sender = sender, .number = number};
    mailbox_send(reader.mailbox, &letter->mail);
}

static void *send_many(void *arg)
{
    for (int i = 0; i < LETTERS; i++)
        send_letter((int)(intptr_t)arg, i);
    return NULL;
}

static void every_message_arrives_once_and_in_its_senders_order(void **state)
{
    pthread_t threads[SENDERS];

    (void)state;
    for (intptr_t i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, (void *)i), 0);
    TURN_UNTIL(reader.loop, reader.total == SENDERS * LETTERS);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    loop_turn(reader.loop, 0);
    assert_int_equal(reader.total, SENDERS * LETTERS);
    assert_false(reader.out_of_order);
}

static void on_answer(struct mail *m UNUSED, void *arg UNUSED)
{
    loop_stop(reader.loop);
}

/* Ping-pong over two loops that sleep in between: a lost wake-up would hang it. */
struct echo {
    struct mail mail;
    struct loop *loop;
    struct mailbox *mailbox;
    bool last;
};

static struct mail answer = {.fn = on_answer};

static void on_call(struct mail *m, void *arg)
{
    struct echo *echo = arg;

    assert_ptr_equal(m, &echo->mail);
    if (echo->last)
        loop_stop(echo->loop);
    mailbox_send(reader.mailbox, &answer);
}

static void *run_echo(void *arg)
{
    loop_run(((struct echo *)arg)->loop);
    return NULL;
}

static void a_sleeping_loop_is_woken(void **state)
{
    struct echo echo = {.mail.fn = on_call, .loop = loop_new()};
    pthread_t thread;

    (void)state;
    echo.mailbox = mailbox_new(echo.loop, &echo);
    assert_int_equal(pthread_create(&thread, NULL, run_echo, &echo), 0);
    for (int i = 0; i < 2000; i++) {
        echo.last = i == 1999;
        mailbox_send(echo.mailbox, &echo.mail);
        loop_run(reader.loop);
    }
    pthread_join(thread, NULL);
    mailbox_free(echo.mailbox);
    loop_free(echo.loop);
}

static void on_letter_send_another(struct mail *m, void *arg UNUSED)
{
    free(container_of(m, struct letter, mail));
    send_letter(0, 0);
}

static void a_message_may_send_another_to_the_same_box(void **state)
{
    struct letter *letter = calloc(1, sizeof(*letter));

    (void)state;
    assert_non_null(letter);
    letter->mail.fn = on_letter_send_another;
    mailbox_send(reader.mailbox, &letter->mail);
    TURN_UNTIL(reader.loop, reader.total == 1);
}

static void what_is_queued_at_the_end_is_delivered(void **state)
{
    struct loop *loop = loop_new();
    struct mailbox *mb = mailbox_new(loop, &reader);
    struct letter *letter = calloc(1, sizeof(*letter));

    (void)state;
    assert_non_null(letter);
    letter->mail.fn = on_letter;
    mailbox_send(mb, &letter->mail);
    mailbox_free(mb);
    loop_free(loop);
    assert_int_equal(reader.total, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_message_arrives_once_and_in_its_senders_order),
        TEST(a_sleeping_loop_is_woken),
        TEST(a_message_may_send_another_to_the_same_box),
        TEST(what_is_queued_at_the_end_is_delivered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
