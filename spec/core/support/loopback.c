/* SPDX-License-Identifier: Apache-2.0 */

#include "support/loopback.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/slice.h"

void loopback_set_blocking(int fd, bool blocking)
{
    int flags = fcntl(fd, F_GETFL);

    assert_true(flags >= 0);
    flags = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
    assert_int_equal(fcntl(fd, F_SETFL, flags), 0);
}

int loopback_listen(int backlog, struct addr *at)
{
    int fd;

    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), at), 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &at->sa, at->len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, &at->sa, &at->len), 0);
    return fd;
}

int loopback_connect(const struct addr *at)
{
    int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &at->sa, at->len), 0);
    return fd;
}

void loopback_pair(int fds[2])
{
    struct addr at;
    int listening = loopback_listen(1, &at);

    fds[0] = loopback_connect(&at);
    fds[1] = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    close(listening);
    loopback_set_blocking(fds[0], false);
    loopback_set_blocking(fds[1], false);
}

size_t loopback_read_all(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;

    loopback_set_blocking(fd, true);
    while ((n = recv(fd, out + len, size - len, 0)) > 0)
        len += (size_t)n;
    assert_int_equal(n, 0);
    return len;
}
