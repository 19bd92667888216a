/* SPDX-License-Identifier: Apache-2.0 */

/* The descriptor may be shared with other processes, so it can't be told not to block. Instead it is asked whether it is
 * ready, and gets no more than a pipe that is ready takes at once. */

#include "base/sink.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define PATIENCE_US 20000

void sink_init(struct sink *s, int fd)
{
    struct stat st;

    *s = (struct sink){.fd = fd, .is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode)};
}

static bool polls(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return poll(&p, 1, wait_ms) > 0; /* also when something is wrong: writing says what */
}

/* *until_us: 0 as long as nothing has been waited for. */
static bool is_ready(struct sink *s, uint64_t *until_us)
{
    if (s->is_file || polls(s->fd, 0))
        return true;
    uint64_t now = clock_us_now();
    if (!*until_us)
        *until_us = s->is_stuck ? now : now + PATIENCE_US;
    if (now < *until_us && polls(s->fd, (int)((*until_us - now) / 1000) + 1))
        return true;
    errno = EAGAIN;
    return false;
}

/* What could not be written. */
static struct slice write_all(struct sink *s, struct slice text)
{
    uint64_t until_us = 0;

    while (text.len > 0 && is_ready(s, &until_us)) {
        ssize_t n = write(s->fd, text.ptr, s->is_file ? text.len : MIN(text.len, PIPE_BUF));
        if (n < 0 && errno != EINTR)
            break;
        text = slice_from_index(text, (size_t)MAX(n, 0));
    }
    s->is_stuck = text.len > 0;
    return text;
}

struct slice sink_write(struct sink *s, struct slice lines)
{
    if (s->is_torn && write_all(s, SLICE("\n")).len > 0)
        return lines;
    s->is_torn = false;
    struct slice rest = write_all(s, lines);
    s->is_torn = rest.len > 0 && rest.len < lines.len && rest.ptr[-1] != '\n';
    return rest;
}
