/* SPDX-License-Identifier: Apache-2.0 */

/* Listening sockets by address, over several configurations and from one gateway to the next: a pair of notes stands in
 * for the supervisor. */

#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "app/held.h"
#include "app/lifeline.h"
#include "app/note.h"
#include "app/sockets.h"
#include "base/err.h"
#include "net/listener.h"

static struct addr address(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(slice_from(text), &a), 0);
    return a;
}

/* Opens n and closes the copies; the address that was bound. */
static struct addr opened(struct sockets *s, const char *text, int n)
{
    struct addr a = address(text), at;
    int fds[8];

    assert_int_equal(sockets_open(s, &a, fds, &at), 0);
    for (int i = 0; i < n; i++)
        close(fds[i]);
    return at;
}

static bool answers(const struct addr *a)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool does = connect(fd, &a->sa, a->len) == 0;

    close(fd);
    return does;
}

static void each_that_asks_for_any_port_gets_its_own(void **state UNUSED)
{
    struct sockets *s = sockets_new(2, NULL);

    sockets_begin(s);
    struct addr one = opened(s, "127.0.0.1:0", 2), two = opened(s, "127.0.0.1:0", 2);
    sockets_keep(s);
    assert_int_not_equal(addr_port(&one), addr_port(&two));
    sockets_begin(s);
    struct addr again = opened(s, "127.0.0.1:0", 2);
    sockets_keep(s);
    assert_true(addr_eq(&again, &one));
    assert_true(answers(&one));
    assert_false(answers(&two)); /* it was not asked for any more */
    sockets_free(s);
    assert_false(answers(&one));
}

static void what_failed_leaves_what_was(void **state UNUSED)
{
    struct sockets *s = sockets_new(2, NULL);

    sockets_begin(s);
    struct addr kept = opened(s, "127.0.0.1:0", 2);
    sockets_keep(s);
    sockets_begin(s);
    opened(s, "127.0.0.1:0", 2);
    struct addr tried = opened(s, "127.0.0.1:0", 2);
    sockets_undo(s);
    assert_true(answers(&kept));
    assert_false(answers(&tried));
    sockets_close(s, NULL);
    assert_false(answers(&kept));
    sockets_free(s);
}

static void one_address_is_for_workers_or_for_control(void **state UNUSED)
{
    struct sockets *s = sockets_new(1, NULL);
    char text[ADDR_TEXT];
    struct addr at;
    int fd;

    sockets_begin(s);
    struct addr one = opened(s, "127.0.0.1:0", 1);
    sockets_close(s, NULL);
    addr_print(&one, text, sizeof(text));
    sockets_begin(s);
    opened(s, text, 1);
    assert_int_equal(sockets_open_one(s, &one, &fd, &at), ERR_SYSTEM);
    assert_int_equal(errno, EADDRINUSE);
    sockets_free(s);
}

static void workers_share_a_unix_socket(void **state UNUSED)
{
    struct sockets *s = sockets_new(3, NULL);
    char path[64], text[80];
    int fds[3];
    struct addr at;

    snprintf(path, sizeof(path), "/tmp/demilune-sockets-%d", (int)getpid());
    snprintf(text, sizeof(text), "unix:%s", path);
    struct addr a = address(text);
    sockets_begin(s);
    assert_int_equal(sockets_open(s, &a, fds, &at), 0);
    sockets_keep(s);
    sockets_close(s, NULL);
    assert_true(answers(&a)); /* the copies */
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    sockets_free(s);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* --- with a supervisor ----------------------------------------------------------------------------------------------- */

static struct {
    int fd;
    struct held held;
    pthread_t thread;
} supervisor;

static void *supervise(void *arg UNUSED)
{
    struct note_welcome welcome = {.restarts = 3};
    static struct note note;
    int fd = supervisor.fd;

    while (note_receive(fd, &note, -1) == 0) {
        int rc = 0;
        if (note.kind == NOTE_HELLO) {
            rc = note_send(fd, NOTE_WELCOME, 0, slice_of((char *)&welcome, sizeof(welcome)), NULL,
                           0, 1000);
            rc |= held_send(&supervisor.held, fd, 1000);
            rc |= note_send(fd, NOTE_TICKETS, 0, SLICE("ring"), NULL, 0, 1000);
            rc |= note_send(fd, NOTE_GO, 0, SLICE_NONE, NULL, 0, 1000);
        } else if (note.kind == NOTE_SOCKET) {
            rc = held_receive(&supervisor.held, &note, 0);
        } else if (note.kind == NOTE_CLOSE) {
            held_drop(&supervisor.held, note_text(&note));
            rc = note_send(fd, NOTE_CLOSED, 0, SLICE_NONE, NULL, 0, 1000);
        }
        assert_int_equal(rc, 0);
    }
    close(fd);
    return NULL;
}

static struct lifeline *gateway_begins(void)
{
    int ends[2];

    assert_int_equal(note_pair(ends), 0);
    supervisor.fd = ends[0];
    assert_int_equal(pthread_create(&supervisor.thread, NULL, supervise, NULL), 0);
    struct lifeline *l = lifeline_open(ends[1]);
    assert_non_null(l);
    assert_int_equal(lifeline_welcome(l)->restarts, 3);
    return l;
}

/* As in a crash: the supervisor reads what was sent, and then the end. */
static void gateway_ends(struct lifeline *l, struct sockets *s)
{
    sockets_free(s);
    lifeline_close(l);
    pthread_join(supervisor.thread, NULL);
}

static int nsurplus;

static void on_surplus(void *arg UNUSED, int nth, int fd)
{
    assert_int_equal(nth, 0);
    nsurplus++;
    close(fd);
}

static void the_next_gateway_finds_the_sockets(void **state UNUSED)
{
    held_init(&supervisor.held);
    struct lifeline *l = gateway_begins();
    struct sockets *s = sockets_new(4, l);
    sockets_begin(s);
    struct addr one = opened(s, "127.0.0.1:0", 4), two = opened(s, "127.0.0.1:0", 4);
    gateway_ends(l, s);
    assert_true(answers(&one));
    assert_true(answers(&two));
    assert_int_equal(held_find(&supervisor.held, SLICE("127.0.0.1:0"))->sockets.n, 4);
    assert_non_null(held_find(&supervisor.held, SLICE("127.0.0.1:0#1")));

    l = gateway_begins();
    s = sockets_new(6, l); /* more workers: two are opened */
    sockets_begin(s);
    struct addr again = opened(s, "127.0.0.1:0", 6);
    assert_true(addr_eq(&again, &one));
    gateway_ends(l, s);
    assert_int_equal(held_find(&supervisor.held, SLICE("127.0.0.1:0"))->sockets.n, 6);

    l = gateway_begins();
    s = sockets_new(2, l); /* fewer: four are surplus */
    sockets_begin(s);
    again = opened(s, "127.0.0.1:0", 2);
    assert_true(addr_eq(&again, &one));
    nsurplus = 0;
    sockets_surplus(s, on_surplus, NULL);
    assert_int_equal(nsurplus, 4);
    gateway_ends(l, s);
    held_deinit(&supervisor.held);
    assert_false(answers(&one));
}

/* --- steering -------------------------------------------------------------------------------------------------------- */

static int accepted_by(const int *fds, int n)
{
    int count = 0;

    for (int i = 0; i < n; i++)
        for (int fd; (fd = accept4(fds[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; count++)
            close(fd);
    return count;
}

static void a_group_can_be_steered_to_its_first(void **state UNUSED)
{
    enum { N = 4, CONNECTIONS = 64 };
    int fds[N];
    struct addr at = address("127.0.0.1:0");

    for (int i = 0; i < N; i++) {
        assert_int_equal(listener_open(&at, true, &fds[i]), 0);
        assert_int_equal(listener_address(fds[i], &at), 0);
    }
    for (int steered = 1; steered >= 0; steered--) {
        listener_steer(fds[0], steered ? 2 : 0);
        for (int i = 0; i < CONNECTIONS; i++)
            assert_true(answers(&at));
        int first = accepted_by(fds, 2), others = accepted_by(fds + 2, 2);
        assert_int_equal(first + others, CONNECTIONS);
        assert_true(steered ? others == 0 : others > 0);
    }
    for (int i = 0; i < N; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_that_asks_for_any_port_gets_its_own),
        cmocka_unit_test(what_failed_leaves_what_was),
        cmocka_unit_test(one_address_is_for_workers_or_for_control),
        cmocka_unit_test(workers_share_a_unix_socket),
        cmocka_unit_test(the_next_gateway_finds_the_sockets),
        cmocka_unit_test(a_group_can_be_steered_to_its_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
