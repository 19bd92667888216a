/* SPDX-License-Identifier: Apache-2.0 */

/* How many are left is tried out: nothing else knows what has been inherited. */

#include "app/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define PER_WORKER 4 /* its loop and mailbox, and a client with its upstream */
#define SPARE 4      /* files that are open for a moment */

/* Takes one more after the other, and gives all back. */
static bool are_left(int n)
{
    int fd = n > 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    bool enough = n == 0 || (fd >= 0 && are_left(n - 1));

    if (fd >= 0)
        close(fd);
    return enough;
}

void descriptors_check(int nworkers, struct faults *faults)
{
    struct rlimit limit;

    if (are_left(nworkers * PER_WORKER + SPARE) || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    fault_system(
        faults, NULL, SLICE("workers"),
        "the limit of %llu file descriptors is too low for %d workers and their listeners: "
        "raise it (ulimit -n, LimitNOFILE=)",
        (unsigned long long)limit.rlim_cur, nworkers);
}
