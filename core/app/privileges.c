/* SPDX-License-Identifier: Apache-2.0 */

/* libc changes the user of all threads at once, the few that run by now included. Groups go first: later it would not be
 * allowed any more. That there is no way back is tried, not believed. */

#include "app/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/snapshot.h"

static bool are_dropped;

bool privileges_are_dropped(void)
{
    return are_dropped;
}

static bool is_user(uid_t uid, gid_t gid)
{
    uid_t r, e, s;
    gid_t rg, eg, sg;

    return getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0 && r == uid && e == uid &&
           s == uid && rg == gid && eg == gid && sg == gid;
}

/* Root again, by its user or its group? */
static bool can_return(uid_t uid, gid_t gid)
{
    return (uid != 0 && (seteuid(0) == 0 || setuid(0) == 0)) ||
           (gid != 0 && uid != 0 && (setegid(0) == 0 || setgid(0) == 0));
}

static void become(const struct passwd *user, const struct snapshot *s, struct faults *faults)
{
    const struct conf *node = conf_get(s->conf, SLICE("user"));
    uid_t uid = user->pw_uid;
    gid_t gid = user->pw_gid;

    if (initgroups(user->pw_name, gid) != 0 || setresgid(gid, gid, gid) != 0 ||
        setresuid(uid, uid, uid) != 0)
        fault_system(
            faults, node, SLICE("user"), "can't become %s: %s%s", user->pw_name, strerror(errno),
            errno == EPERM ? " (only root can: start it as root, or leave `user` out)" : "");
    else if (!is_user(uid, gid) || can_return(uid, gid))
        fault_system(faults, node, SLICE("user"),
                     "can't become %s for good: this process keeps a way back to root",
                     user->pw_name);
    else
        are_dropped = true;
}

void privileges_drop(const struct snapshot *s, struct faults *faults)
{
    if (!s->user.len)
        return;
    errno = 0;
    const struct passwd *user = getpwnam(s->user.ptr);
    if (!user) {
        fault_system(faults, conf_get(s->conf, SLICE("user")), SLICE("user"), "can't become %s: %s",
                     s->user.ptr, errno ? strerror(errno) : "there is no such user");
        return;
    }
    if (is_user(user->pw_uid, user->pw_gid))
        return;
    become(user, s, faults);
    if (are_dropped)
        LOG_INFO("privileges.dropped", "the gateway has become its user", LOG_S("user", s->user),
                 LOG_I("uid", user->pw_uid), LOG_I("gid", user->pw_gid));
}
