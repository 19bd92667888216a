/* SPDX-License-Identifier: Apache-2.0 */

/* Notes between supervisor and gateway: whole or refused, and no descriptor is left behind. */

#include "support/test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/held.h"
#include "app/note.h"
#include "base/err.h"
#include "net/addr.h"
#include "net/listener.h"

static int ends[2];
static struct note note;

static int setup(void **state UNUSED)
{
    return note_pair(ends);
}

static int teardown(void **state UNUSED)
{
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    return 0;
}

static int listening(void)
{
    struct addr a;
    int fd;

    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &a), 0);
    assert_int_equal(listener_open(&a, false, &fd), 0);
    return fd;
}

static int lowest_free(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void a_note_comes_whole(void **state UNUSED)
{
    int fd = listening();

    assert_int_equal(note_send(ends[0], NOTE_SOCKET, 7, SLICE("name"), &fd, 1, 0), 0);
    assert_int_equal(note_receive(ends[1], &note, 1000), 0);
    assert_int_equal(note.kind, NOTE_SOCKET);
    assert_int_equal(note.number, 7);
    assert_true(slice_eq(note_text(&note), SLICE("name")));
    assert_int_equal(note.nfds, 1);
    assert_true(fcntl(note.fds[0], F_GETFD) & FD_CLOEXEC);
    note_close_fds(&note);
    close(fd);
}

static void the_largest_note_comes_whole(void **state UNUSED)
{
    static char text[NOTE_TEXT_MAX];
    int fds[NOTE_FDS_MAX];

    for (int i = 0; i < NOTE_FDS_MAX; i++)
        fds[i] = ends[0];
    memset(text, 'x', sizeof(text));
    assert_int_equal(
        note_send(ends[0], NOTE_TICKETS, 0, slice_of(text, sizeof(text)), fds, NOTE_FDS_MAX, 0), 0);
    assert_int_equal(note_receive(ends[1], &note, 1000), 0);
    assert_int_equal(note.len, NOTE_TEXT_MAX);
    assert_int_equal(note.nfds, NOTE_FDS_MAX);
    note_close_fds(&note);
}

static void waiting_has_an_end(void **state UNUSED)
{
    int rc = 0;

    assert_int_equal(note_receive(ends[1], &note, 0), ERR_TIMEOUT);
    assert_int_equal(note_receive(ends[1], &note, 20), ERR_TIMEOUT);
    for (int i = 0; rc == 0 && i < 100000; i++)
        rc = note_send(ends[0], NOTE_GO, 0, SLICE_NONE, NULL, 0, 20);
    assert_int_equal(rc, ERR_TIMEOUT);
}

static void the_other_end_may_have_gone(void **state UNUSED)
{
    assert_int_equal(note_send(ends[1], NOTE_GO, 0, SLICE_NONE, NULL, 0, 0), 0); /* never read */
    assert_int_equal(note_send(ends[0], NOTE_CLOSE, 0, SLICE("last word"), NULL, 0, 0), 0);
    close(ends[0]);
    ends[0] = -1;
    assert_int_equal(note_receive(ends[1], &note, 1000), 0);
    assert_true(slice_eq(note_text(&note), SLICE("last word")));
    assert_int_equal(note_receive(ends[1], &note, 1000), ERR_CLOSED);
    assert_int_equal(note_send(ends[1], NOTE_GO, 0, SLICE_NONE, NULL, 0, 1000), ERR_CLOSED);
}

/* What no note_send writes, with descriptors beside it. */
static void send_raw(const void *bytes, size_t len, int nfds)
{
    union {
        char bytes[CMSG_SPACE(100 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec piece = {(void *)(uintptr_t)bytes, len};
    struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1};

    if (nfds > 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
        for (int i = 0; i < nfds; i++)
            memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &ends[0], sizeof(int));
    }
    assert_int_equal(sendmsg(ends[0], &m, MSG_NOSIGNAL), (ssize_t)len);
}

static void assert_refused(const void *bytes, size_t len, int nfds)
{
    int before = lowest_free();

    send_raw(bytes, len, nfds);
    assert_int_equal(note_receive(ends[1], &note, 1000), ERR_PROTOCOL);
    assert_int_equal(note.nfds, 0);
    assert_int_equal(lowest_free(), before);
}

static void what_is_no_note_is_refused(void **state UNUSED)
{
    static char large[8 + NOTE_TEXT_MAX + 1] = {NOTE_CLOSE};
    uint32_t none[2] = {0, 0}, unknown[2] = {NOTE_KINDS, 0}, fine[2] = {NOTE_CLOSE, 0};

    assert_refused("x", 1, 3);
    assert_refused(none, 7, 0);
    assert_refused(none, sizeof(none), 1);
    assert_refused(unknown, sizeof(unknown), 1);
    assert_refused(large, sizeof(large), 2);
    assert_refused(fine, sizeof(fine), NOTE_FDS_MAX + 1);
    send_raw(fine, sizeof(fine), 0);
    assert_int_equal(note_receive(ends[1], &note, 1000), 0); /* and the next one is read */
}

static void only_an_end_is_an_end(void **state UNUSED)
{
    int fd = listening();

    assert_true(note_is_end(ends[0]));
    assert_false(note_is_end(fd));
    assert_false(note_is_end(-1));
    close(fd);
}

static int receive_socket(struct held *h, struct slice name, const int *fds, int n, pid_t from)
{
    assert_int_equal(note_send(ends[0], NOTE_SOCKET, 0, name, fds, n, 0), 0);
    assert_int_equal(note_receive(ends[1], &note, 1000), 0);
    return held_receive(h, &note, from);
}

static void only_listening_sockets_with_a_name_are_held(void **state UNUSED)
{
    struct held h;
    int before = lowest_free(), fd = listening(), mixed[] = {fd, ends[0]};

    held_init(&h);
    assert_int_equal(receive_socket(&h, SLICE("a"), mixed, 2, 0), ERR_PROTOCOL);
    assert_int_equal(receive_socket(&h, SLICE("a"), NULL, 0, 0), ERR_PROTOCOL);
    assert_int_equal(receive_socket(&h, SLICE_NONE, &fd, 1, 0), ERR_PROTOCOL);
    assert_int_equal(receive_socket(&h, SLICE("a\0b"), &fd, 1, 0), ERR_PROTOCOL);
    assert_null(held_find(&h, SLICE("a")));
    assert_int_equal(receive_socket(&h, SLICE("a"), &fd, 1, 0), 0);
    assert_int_equal(held_find(&h, SLICE("a"))->sockets.n, 1);
    held_deinit(&h);
    close(fd);
    assert_int_equal(lowest_free(), before);
}

static void more_sockets_than_a_note_has_room_for(void **state UNUSED)
{
    enum { N = 2 * NOTE_FDS_MAX + 3 };
    struct held h, copy;
    int fd = listening();

    held_init(&h);
    held_init(&copy);
    for (int i = 0; i < N; i++)
        held_add(&h, SLICE("a"), dup(fd), 0);
    held_add(&h, SLICE("b"), fd, 0);
    assert_int_equal(held_send(&h, ends[0], 0), 0);
    while (note_receive(ends[1], &note, 0) == 0)
        assert_int_equal(held_receive(&copy, &note, 0), 0);
    assert_int_equal(held_find(&copy, SLICE("a"))->sockets.n, N);
    assert_int_equal(held_find(&copy, SLICE("b"))->sockets.n, 1);
    held_deinit(&h);
    held_deinit(&copy);
}

static void what_a_failed_gateway_has_opened_is_dropped(void **state UNUSED)
{
    struct held h;
    int old = listening(), fresh = listening(), other = listening();

    held_init(&h);
    held_add(&h, SLICE("a"), old, 0);
    held_add(&h, SLICE("a"), fresh, 5);
    held_add(&h, SLICE("b"), other, 5);
    held_drop_from(&h, 5);
    assert_int_equal(held_find(&h, SLICE("a"))->sockets.n, 1);
    assert_null(held_find(&h, SLICE("b")));
    assert_true(is_open(old));
    assert_false(is_open(fresh));
    assert_false(is_open(other));
    held_add(&h, SLICE("a"), listening(), 6);
    held_settle(&h);
    held_drop_from(&h, 6);
    assert_int_equal(held_find(&h, SLICE("a"))->sockets.n, 2);
    held_deinit(&h);
    assert_false(is_open(old));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_note_comes_whole),
        TEST(the_largest_note_comes_whole),
        TEST(waiting_has_an_end),
        TEST(the_other_end_may_have_gone),
        TEST(what_is_no_note_is_refused),
        TEST(only_an_end_is_an_end),
        TEST(only_listening_sockets_with_a_name_are_held),
        TEST(more_sockets_than_a_note_has_room_for),
        TEST(what_a_failed_gateway_has_opened_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
