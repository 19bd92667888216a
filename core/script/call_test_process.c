/* SPDX-License-Identifier: Apache-2.0 */

/* Other people's servers for specs (test.redis): a child process that does not outlive the one that has started it. */

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "script/calls.h"

#define ARGS_MAX 200

/* Between fork and exec only what is safe in a child of a process with threads. */
static void become(char *const *argv, int output)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execvp(argv[0], argv);
    _exit(127);
}

/* test_process_start(argv, output): its number; output: file that its words go to. Or nil and what the system says. */
static int process_start(lua_State *L)
{
    const char *output = luaL_checkstring(L, 2);
    char *argv[ARGS_MAX + 1];
    size_t n = lua_objlen(L, 1);

    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argcheck(L, n > 0 && n <= ARGS_MAX, 1, "1 to 200 words");
    luaL_checkstack(L, (int)n + 4, NULL);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        argv[i] = (char *)(uintptr_t)luaL_checkstring(L, -1);
    }
    argv[n] = NULL;
    int fd = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid = fd < 0 ? -1 : fork();
    if (pid == 0)
        become(argv, fd);
    int saved = errno;
    if (fd >= 0)
        close(fd);
    if (pid > 0) {
        lua_pushinteger(L, pid);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, strerror(saved));
    return 2;
}

/* test_process_signal(number, name): "KILL", "TERM", "STOP", "CONT". */
static int process_signal(lua_State *L)
{
    static const char *const names[] = {"KILL", "TERM", "STOP", "CONT", NULL};
    static const int signals[] = {SIGKILL, SIGTERM, SIGSTOP, SIGCONT};
    pid_t pid = luaL_checkint(L, 1);

    luaL_argcheck(L, pid > 1, 1, "the number of a process");
    kill(pid, signals[luaL_checkoption(L, 2, NULL, names)]);
    return 0;
}

/* test_process_ended(number, waits): true once it has, and then its number is of no use any more. */
static int process_ended(lua_State *L)
{
    pid_t pid = luaL_checkint(L, 1), rc;

    do
        rc = waitpid(pid, NULL, lua_toboolean(L, 2) ? 0 : WNOHANG);
    while (rc < 0 && errno == EINTR);
    lua_pushboolean(L, rc != 0);
    return 1;
}

const struct call call_test_process[] = {
    {"test_process_start", process_start},
    {"test_process_signal", process_signal},
    {"test_process_ended", process_ended},
    {NULL, NULL},
};
