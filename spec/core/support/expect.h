/* SPDX-License-Identifier: Apache-2.0 */

/* Assertions about slices and about a process that has to die, in the line of the test. */

#ifndef TEST_EXPECT_H
#define TEST_EXPECT_H

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/slice.h"
#include "support/test.h"

static inline void expect_slice_at(struct slice s, const char *text, const char *file, int line)
{
    if (s.ptr && slice_eq(s, slice_from(text)))
        return;
    print_error("expected \"%s\", got %s\"%.*s\"\n", text, s.ptr ? "" : "nothing: ", SLICE_ARG(s));
    _fail(file, line);
}
#define expect_slice(s, text) expect_slice_at(s, text, __FILE__, __LINE__)

/* fn(arg) runs in a child process, whose words are nobody's business; true when it aborted. */
static inline bool aborts(void (*fn)(void *arg), void *arg)
{
    int status;

    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (freopen("/dev/null", "w", stderr))
            fn(arg);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
