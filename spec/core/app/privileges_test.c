/* SPDX-License-Identifier: Apache-2.0 */

/* Each case in a child process, for there is no way back. They take root, but for the last. */

#include "app/privileges.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/listen_fault.h"
#include "base/log.h"
#include "gate/snapshot.h"
#include "support/test.h"

/* The faults of dropping to this user, as one text; "" when there is none. */
static const char *dropped_to(const char *user)
{
    static struct faults faults;
    struct snapshot s = {.user = slice_from(user)};

    faults_init(&faults, arena_new_heap(1024));
    privileges_drop(&s, &faults);
    return faults.nerrors ? faults.list.items[0].message.ptr : "";
}

static void in_child(void (*fn)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        log_configure(LOG_OFF, LOG_JSON);
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with %d", status);
}

/* A test's own assertions do not work in a child. */
static void must(bool truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "not so: %s\n", what);
    _exit(1);
}
#define MUST(truth) must(truth, #truth)

static void drop(void)
{
    const struct passwd *nobody = getpwnam("nobody");
    uid_t uid = nobody->pw_uid, r, e, s;

    MUST(!privileges_are_dropped());
    MUST(*dropped_to("nobody") == '\0');
    MUST(privileges_are_dropped());
    MUST(getresuid(&r, &e, &s) == 0 && r == uid && e == uid && s == uid);
    MUST(seteuid(0) < 0 && setegid(0) < 0);
    MUST(getgroups(0, NULL) <= 1);
    MUST(*dropped_to("nobody") == '\0'); /* once more is nothing new */
}

static void root_becomes_the_user_for_good(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    in_child(drop);
}

static void fault_after_drop(void)
{
    struct faults faults;
    struct addr a;

    MUST(*dropped_to("nobody") == '\0');
    faults_init(&faults, arena_new_heap(1024));
    MUST(addr_parse(SLICE("0.0.0.0:80"), &a) == 0);
    listen_fault(&faults, NULL, SLICE("x"), &a, EACCES);
    MUST(strstr(faults.list.items[0].message.ptr, "were given up for `user`: a restart takes it"));
}

static void a_port_that_came_too_late_is_told_so(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    in_child(fault_after_drop);
}

static void stay(void)
{
    MUST(*dropped_to("root") == '\0');
    MUST(!privileges_are_dropped());
    MUST(geteuid() == 0);
}

static void nothing_happens_when_it_is_that_user(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    in_child(stay);
}

static void others_can_not(void)
{
    if (geteuid() == 0)
        MUST(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    MUST(strstr(dropped_to("daemon"),
                "can't become daemon: Operation not permitted (only root can"));
    MUST(!privileges_are_dropped());
}

static void only_root_can(void **state)
{
    (void)state;
    in_child(others_can_not);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_becomes_the_user_for_good),
        cmocka_unit_test(a_port_that_came_too_late_is_told_so),
        cmocka_unit_test(nothing_happens_when_it_is_that_user),
        cmocka_unit_test(only_root_can),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
