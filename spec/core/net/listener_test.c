/* SPDX-License-Identifier: Apache-2.0 */

#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "support/loopback.h"
#include "support/test.h"

static struct loop *loop;
static struct listener_quota quota;
static struct {
    struct listener *listener;
    struct addr peer, local;
    int fds[64];
    int n;
    bool free_it; /* the owner frees the listener while it accepts */
    int reused;   /* and opens another, which gets the same descriptor */
    int late;     /* to which somebody connects */
} accepted;

static int opened(const char *text, struct addr *at)
{
    struct addr a;
    int fd;

    assert_int_equal(addr_parse(slice_from(text), &a), 0);
    assert_int_equal(listener_open(&a, false, &fd), 0);
    assert_int_equal(listener_address(fd, at), 0);
    return fd;
}

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer,
                      const struct addr *local)
{
    assert_ptr_equal(owner, &accepted);
    accepted.listener = ln;
    accepted.fds[accepted.n++] = fd;
    accepted.peer = *peer;
    accepted.local = *local;
    if (accepted.free_it) {
        struct addr at;
        listener_free(ln);
        accepted.reused = opened("127.0.0.1:0", &at);
        accepted.late = loopback_connect(&at);
        accepted.free_it = false;
    }
}

static int set_up(void **state)
{
    (void)state;
    memset(&accepted, 0, sizeof(accepted));
    atomic_store(&quota.open, 0);
    quota.max = 1000;
    loop = loop_new();
    return 0;
}

/* Closes all accepted connections. */
static void release_all(struct listener *ln)
{
    for (; accepted.n > 0; accepted.n--) {
        close(accepted.fds[accepted.n - 1]);
        listener_released(ln);
    }
}

static int tear_down(void **state)
{
    (void)state;
    loop_turn(loop, 0);
    loop_free(loop);
    return 0;
}

static struct listener *started(struct addr *at)
{
    return listener_start(loop, opened("127.0.0.1:0", at), &quota, on_accept, &accepted);
}

static void connections_are_accepted_with_both_addresses(void **state)
{
    struct addr at, mine;
    struct listener *ln = started(&at);
    int client = loopback_connect(&at), on = 0;
    socklen_t len = sizeof(on);

    (void)state;
    assert_int_not_equal(addr_port(&at), 0);
    TURN_UNTIL(loop, accepted.n == 1);
    assert_int_equal(listener_address(client, &mine), 0);
    assert_true(addr_eq(&accepted.peer, &mine));
    assert_true(addr_eq(&accepted.local, &at));
    assert_int_equal(atomic_load(&quota.open), 1);
    assert_true(recv(accepted.fds[0], &(char){0}, 1, 0) < 0 && errno == EAGAIN);
    assert_int_equal(getsockopt(accepted.fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_true(on);
    release_all(ln);
    assert_int_equal(atomic_load(&quota.open), 0);
    listener_free(ln);
    close(client);
}

static void a_wildcard_listener_tells_the_real_local_address(void **state)
{
    struct addr at, to;
    struct listener *ln =
        listener_start(loop, opened("0.0.0.0:0", &at), &quota, on_accept, &accepted);
    char text[ADDR_TEXT];
    int client;

    (void)state;
    snprintf(text, sizeof(text), "127.0.0.2:%u", addr_port(&at));
    assert_int_equal(addr_parse(slice_from(text), &to), 0);
    client = loopback_connect(&to);
    TURN_UNTIL(loop, accepted.n == 1);
    assert_true(addr_eq(&accepted.local, &to));
    release_all(ln);
    listener_free(ln);
    close(client);
}

static void a_taken_address_is_told_by_errno(void **state)
{
    struct addr at;
    int fd = opened("127.0.0.1:0", &at), second;

    (void)state;
    assert_int_equal(listener_open(&at, false, &second), ERR_SYSTEM);
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(second, -1);
    close(fd);
}

static void workers_share_an_address(void **state)
{
    struct addr at;
    int fds[2];

    (void)state;
    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &at), 0);
    assert_int_equal(listener_open(&at, true, &fds[0]), 0);
    assert_int_equal(listener_address(fds[0], &at), 0);
    assert_int_equal(listener_open(&at, true, &fds[1]), 0);
    close(fds[0]);
    close(fds[1]);
}

static void ipv4_and_ipv6_may_share_a_port(void **state)
{
    struct addr at, a;
    int fds[2];
    char text[ADDR_TEXT];

    (void)state;
    assert_int_equal(addr_parse(SLICE("[::]:0"), &a), 0);
    if (listener_open(&a, false, &fds[0]) != 0)
        skip(); /* a machine without IPv6 */
    assert_int_equal(listener_address(fds[0], &at), 0);
    snprintf(text, sizeof(text), "0.0.0.0:%u", addr_port(&at));
    fds[1] = opened(text, &at);
    close(fds[0]);
    close(fds[1]);
}

static void at_the_cap_accepting_pauses_until_one_closes(void **state)
{
    struct addr at;
    struct listener *ln = started(&at);
    int clients[5];

    (void)state;
    quota.max = 3;
    for (int i = 0; i < 5; i++)
        clients[i] = loopback_connect(&at);
    TURN_UNTIL(loop, accepted.n == 3);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 5);
    assert_int_equal(accepted.n, 3);
    assert_int_equal(atomic_load(&quota.open), 3);

    clock_advance_ms(11); /* it looks again, in vain, and pauses anew */
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    close(accepted.fds[--accepted.n]);
    listener_released(ln);
    loop_turn(loop, 0); /* at once, not at the next look */
    assert_int_equal(accepted.n, 3);
    release_all(ln);
    TURN_UNTIL(loop, accepted.n == 1);
    assert_int_equal(atomic_load(&quota.open), 1);
    release_all(ln);
    listener_free(ln);
    for (int i = 0; i < 5; i++)
        close(clients[i]);
}

static void room_that_another_worker_made_is_noticed(void **state)
{
    struct addr at;
    struct listener *ln = started(&at);
    int client = loopback_connect(&at);

    (void)state;
    quota.max = 1;
    atomic_store(&quota.open, 1); /* the other worker's */
    loop_turn(loop, 20);
    assert_int_equal(accepted.n, 0);
    atomic_fetch_sub(&quota.open, 1);
    TURN_UNTIL(loop, accepted.n == 1);
    release_all(ln);
    listener_free(ln);
    close(client);
}

static void waiting_at_the_cap_does_not_spin(void **state)
{
    struct addr at;
    struct listener *ln = started(&at);
    int client = loopback_connect(&at), turns = 0;

    (void)state;
    quota.max = 1;
    atomic_store(&quota.open, 1);
    for (uint64_t end = clock_us_now() + 50000; clock_us_now() < end; turns++)
        loop_turn(loop, 50);
    assert_true(turns < 20);
    listener_free(ln);
    close(client);
}

static int lines;

static void count_lines(void *arg, enum log_level level, struct slice line)
{
    (void)arg;
    assert_int_equal(level, LOG_ERROR);
    assert_true(slice_find(line, SLICE("listener.exhausted")) >= 0);
    lines++;
}

static void without_descriptors_it_waits_and_logs_once(void **state)
{
    struct rlimit limit, none;
    struct addr at;
    struct listener *ln = started(&at);
    int client = loopback_connect(&at), second, turns = 0;

    (void)state;
    log_capture(count_lines, NULL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (uint64_t end = clock_us_now() + 50000; clock_us_now() < end; turns++)
        loop_turn(loop, 50);
    for (int i = 0; i < 5; i++) {
        clock_advance_ms(101);
        loop_turn(loop, 0); /* looks again: the watcher is back */
        loop_turn(loop, 0); /* and fails again */
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(turns < 10);
    assert_int_equal(accepted.n, 0);
    assert_int_equal(lines, 1);
    clock_advance_ms(101);
    TURN_UNTIL(loop, accepted.n == 1);
    assert_int_equal(atomic_load(&quota.open), 1);

    second = loopback_connect(&at); /* another time of need is another line */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    TURN_UNTIL(loop, lines == 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    log_capture(NULL, NULL);
    release_all(ln);
    listener_free(ln);
    close(client);
    close(second);
}

static void draining_takes_the_backlog_and_then_no_more(void **state)
{
    enum { WAITING = 40 };
    struct addr at;
    struct listener *ln = started(&at);
    int clients[WAITING], late;

    (void)state;
    for (int i = 0; i < WAITING; i++)
        clients[i] = loopback_connect(&at);
    listener_drain(ln);
    assert_int_equal(accepted.n, WAITING);
    late = loopback_connect(&at);
    loop_turn(loop, 5);
    assert_int_equal(accepted.n, WAITING);
    release_all(ln);
    loop_turn(loop, 5);
    assert_int_equal(accepted.n, 0);
    listener_free(ln);
    close(late);
    for (int i = 0; i < WAITING; i++)
        close(clients[i]);
}

static void a_held_listener_leaves_who_comes_in_the_backlog(void **state)
{
    struct addr at;
    struct listener *ln = started(&at);
    int client = loopback_connect(&at);

    (void)state;
    listener_hold(ln);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    assert_int_equal(accepted.n, 0);
    listener_resume(ln);
    TURN_UNTIL(loop, accepted.n == 1);
    release_all(ln);
    listener_free(ln);
    close(client);
}

/* As the supervisor holds it. */
static void a_freed_listener_whose_socket_lives_on_wakes_nobody(void **state)
{
    struct addr at;
    int fd = opened("127.0.0.1:0", &at), held = dup(fd), client;
    struct listener *ln = listener_start(loop, fd, &quota, on_accept, &accepted);
    uint64_t start;

    (void)state;
    loop_turn(loop, 0);
    listener_free(ln);
    loop_turn(loop, 0);
    client = loopback_connect(&at);
    start = clock_us_now();
    loop_turn(loop, 50);
    assert_true(clock_us_now() - start > 40000);
    close(held);
    close(client);
}

static void a_connection_that_another_accepted_counts_as_its_own(void **state)
{
    struct addr at, elsewhere, peer = {.len = sizeof(peer.storage)};
    struct listener *ln = started(&at);
    int other = opened("127.0.0.1:0", &elsewhere), client = loopback_connect(&elsewhere);
    int fd = accept4(other, &peer.sa, &peer.len, SOCK_CLOEXEC);

    (void)state;
    listener_take(ln, fd, &peer);
    assert_int_equal(accepted.n, 1);
    assert_int_equal(accepted.fds[0], fd);
    assert_true(addr_eq(&accepted.peer, &peer));
    assert_int_equal(atomic_load(&quota.open), 1);
    release_all(ln);
    assert_int_equal(atomic_load(&quota.open), 0);
    listener_free(ln);
    close(client);
    close(other);
}

static void a_crowd_is_taken_in_portions(void **state)
{
    enum { WAITING = 40 };
    struct addr at;
    struct listener *ln = started(&at);
    int clients[WAITING];

    (void)state;
    for (int i = 0; i < WAITING; i++)
        clients[i] = loopback_connect(&at);
    loop_turn(loop, 50);
    assert_int_equal(accepted.n, 16);
    TURN_UNTIL(loop, accepted.n == WAITING);
    release_all(ln);
    listener_free(ln);
    for (int i = 0; i < WAITING; i++)
        close(clients[i]);
}

static void connections_outlive_their_listener(void **state)
{
    struct addr at;
    struct listener *ln = started(&at);
    int client = loopback_connect(&at), late = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    TURN_UNTIL(loop, accepted.n == 1);
    listener_free(ln);
    loop_turn(loop, 0);
    assert_true(connect(late, &at.sa, at.len) < 0 && errno == ECONNREFUSED);
    release_all(ln);
    assert_int_equal(atomic_load(&quota.open), 0);
    close(client);
    close(late);
}

static void a_listener_may_be_freed_while_it_accepts(void **state)
{
    struct addr at;
    struct listener *ln = started(&at);
    int clients[3];

    (void)state;
    accepted.free_it = true;
    for (int i = 0; i < 3; i++)
        clients[i] = loopback_connect(&at);
    loop_turn(loop, 50);
    loop_turn(loop, 5);
    assert_int_equal(accepted.n, 1);
    release_all(ln);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    close(accepted.reused);
    close(accepted.late);
}

static void a_dead_unix_socket_is_replaced_and_a_living_one_is_not(void **state)
{
    char dir[] = "/tmp/dml-listener-XXXXXX", text[64];
    struct addr at;
    struct listener *ln;
    int fd, client;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(text, sizeof(text), "unix:%s/s", dir);
    close(opened(text, &at));
    fd = opened(text, &at);
    assert_int_equal(listener_open(&at, false, &client), ERR_SYSTEM);
    assert_int_equal(errno, EADDRINUSE);

    ln = listener_start(loop, fd, &quota, on_accept, &accepted);
    client = loopback_connect(&at); /* after the one that asked whether anybody lives here */
    TURN_UNTIL(loop, accepted.n == 2);
    assert_true(addr_is_unix(&accepted.peer));
    assert_true(addr_eq(&accepted.local, &at));
    release_all(ln);
    listener_free(ln);
    close(client);
    unlink(text + 5);
    rmdir(dir);
}

/* A folder for sockets; text becomes the address of one in it. */
static void in_folder(char *dir, char text[64])
{
    assert_non_null(mkdtemp(dir));
    snprintf(text, 64, "unix:%s/s", dir);
}

static void a_dead_unix_socket_that_can_not_be_removed_is_told(void **state)
{
    char dir[] = "/tmp/dml-listener-XXXXXX", text[64];
    uid_t user = geteuid();
    struct addr at;
    int fd, rc;

    (void)state;
    in_folder(dir, text);
    close(opened(text, &at));
    assert_int_equal(chmod(dir, 0555), 0);
    if (user == 0)
        assert_int_equal(seteuid(65534), 0); /* root may write to any folder */
    rc = listener_open(&at, false, &fd);
    int why = errno;
    assert_int_equal(seteuid(user), 0);
    assert_int_equal(rc, ERR_SYSTEM);
    assert_int_equal(why, EACCES);
    assert_int_equal(chmod(dir, 0700), 0);
    unlink(text + 5);
    rmdir(dir);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    char dir[] = "/tmp/dml-listener-XXXXXX", text[64];
    struct addr at;
    struct stat st;
    int fd;

    (void)state;
    in_folder(dir, text);
    close(open(text + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(addr_parse(slice_from(text), &at), 0);
    assert_int_equal(listener_open(&at, false, &fd), ERR_SYSTEM);
    assert_int_equal(errno, EEXIST);
    listener_remove_file(&at);
    assert_int_equal(stat(text + 5, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    unlink(text + 5);
    rmdir(dir);
}

static void every_user_may_connect_to_a_unix_socket(void **state)
{
    char dir[] = "/tmp/dml-listener-XXXXXX", text[64];
    struct addr at;
    struct stat st;
    mode_t before = umask(0177);

    (void)state;
    in_folder(dir, text);
    close(opened(text, &at));
    umask(before);
    assert_int_equal(stat(text + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    unlink(text + 5);
    rmdir(dir);
}

static void a_socket_file_goes_when_nobody_listens_any_more(void **state)
{
    char dir[] = "/tmp/dml-listener-XXXXXX", text[64];
    struct addr at;
    struct stat st;

    (void)state;
    in_folder(dir, text);
    int fd = opened(text, &at), successor = dup(fd);
    close(fd);
    listener_remove_file(&at);
    assert_int_equal(stat(text + 5, &st), 0); /* the successor's */
    close(successor);
    listener_remove_file(&at);
    assert_true(stat(text + 5, &st) < 0 && errno == ENOENT);
    listener_remove_file(&at);
    rmdir(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connections_are_accepted_with_both_addresses),
        TEST(a_wildcard_listener_tells_the_real_local_address),
        TEST(a_taken_address_is_told_by_errno),
        TEST(workers_share_an_address),
        TEST(ipv4_and_ipv6_may_share_a_port),
        TEST(at_the_cap_accepting_pauses_until_one_closes),
        TEST(room_that_another_worker_made_is_noticed),
        TEST(waiting_at_the_cap_does_not_spin),
        TEST(without_descriptors_it_waits_and_logs_once),
        TEST(draining_takes_the_backlog_and_then_no_more),
        TEST(a_held_listener_leaves_who_comes_in_the_backlog),
        TEST(a_freed_listener_whose_socket_lives_on_wakes_nobody),
        TEST(a_connection_that_another_accepted_counts_as_its_own),
        TEST(a_crowd_is_taken_in_portions),
        TEST(connections_outlive_their_listener),
        TEST(a_listener_may_be_freed_while_it_accepts),
        TEST(a_dead_unix_socket_is_replaced_and_a_living_one_is_not),
        TEST(a_dead_unix_socket_that_can_not_be_removed_is_told),
        TEST(a_file_that_is_no_socket_is_left_alone),
        TEST(every_user_may_connect_to_a_unix_socket),
        TEST(a_socket_file_goes_when_nobody_listens_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
