/* SPDX-License-Identifier: Apache-2.0 */

/* Between fork and exec the new process puts signals in order: none blocked, and those that are the supervisor's are
 * ignored, so that one sent to the whole group (a terminal, a service manager) is acted upon once, as the supervisor
 * hands it on. */

#include "app/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/lifeline.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#define TELL_TIMEOUT_MS 100
#define WELCOME_TIMEOUT_MS 2000

static const int handed_on[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

NORETURN static void become(const char *program, char **argv, int fd)
{
    char number[16];
    sigset_t none;

    for (size_t i = 0; i < COUNT_OF(handed_on); i++)
        signal(handed_on[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    fcntl(fd, F_SETFD, 0);
    snprintf(number, sizeof(number), "%d", fd);
    setenv(LIFELINE_VARIABLE, number, 1);
    execv(program ? program : "/proc/self/exe", argv);
    LOG_ERROR("supervisor.exec", "the program can't be executed",
              LOG_C("program", program ? program : "/proc/self/exe"),
              LOG_C("reason", strerror(errno)));
    _exit(CHILD_NO_PROGRAM);
}

struct child *child_start(const char *program, char **argv)
{
    int fds[2];

    if (note_pair(fds) < 0)
        return NULL;
    pid_t pid = fork();
    if (pid == 0)
        become(program, argv, fds[1]);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return NULL;
    }
    struct child *c = calloc(1, sizeof(*c));
    REQUIRE(c != NULL);
    list_init(&c->link);
    c->fd = fds[0];
    c->pid = pid;
    c->since_us = clock_us_now();
    return c;
}

void child_free(struct child *c)
{
    if (c->fd >= 0)
        close(c->fd);
    list_remove(&c->link);
    free(c);
}

void child_to(struct child *c, enum child_state state)
{
    c->state = state;
    c->since_us = clock_us_now();
}

void child_kill_after(struct child *c, uint64_t ms)
{
    c->until_us = clock_us_now() + ms * 1000;
}

/* False when it can't be told. One that has gone is told of by SIGCHLD. */
static bool judge(struct child *c, int rc)
{
    if (rc == 0 || rc == ERR_CLOSED)
        return rc == 0;
    LOG_ERROR("gateway.deaf", "the gateway can't be told anything: it is killed",
              LOG_I("pid", c->pid), LOG_C("reason", err_word(rc)));
    kill(c->pid, SIGKILL);
    return false;
}

void child_tell(struct child *c, enum note_kind kind, uint32_t number)
{
    if (c->fd >= 0 && c->is_welcome)
        judge(c, note_send(c->fd, kind, number, SLICE_NONE, NULL, 0, TELL_TIMEOUT_MS));
}

bool child_welcome(struct child *c, const struct note_welcome *welcome, const struct held *held,
                   struct slice tickets)
{
    struct slice text = slice_of((const char *)welcome, sizeof(*welcome));
    int rc = note_send(c->fd, NOTE_WELCOME, 0, text, NULL, 0, WELCOME_TIMEOUT_MS);

    if (rc == 0)
        rc = held_send(held, c->fd, WELCOME_TIMEOUT_MS);
    if (rc == 0 && tickets.len)
        rc = note_send(c->fd, NOTE_TICKETS, 0, tickets, NULL, 0, WELCOME_TIMEOUT_MS);
    if (rc == 0)
        rc = note_send(c->fd, NOTE_GO, 0, SLICE_NONE, NULL, 0, WELCOME_TIMEOUT_MS);
    c->is_welcome = judge(c, rc);
    return c->is_welcome;
}

const char *child_reason(int wait_status)
{
    static char text[32];

    if (WIFSIGNALED(wait_status)) {
        const char *name = sigabbrev_np(WTERMSIG(wait_status));
        if (name)
            snprintf(text, sizeof(text), "SIG%s", name);
        else
            snprintf(text, sizeof(text), "signal %d", WTERMSIG(wait_status));
    } else {
        snprintf(text, sizeof(text), "exit status %d", WEXITSTATUS(wait_status));
    }
    return text;
}

int child_exit_status(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
