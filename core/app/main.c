/* SPDX-License-Identifier: Apache-2.0 */

/* The program begins here, and everything it can do is a command (cli.h). */

#include <fcntl.h>
#include <unistd.h>

#include "app/cli.h"
#include "base/hash.h"
#include "side/kafka.h"

/* Whoever started this may have closed them: then the first socket must not become standard error. */
static void open_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    open_standard_descriptors();
    hash_init();
    int status = cli_main(argc, argv);
    kafka_end(0); /* a command that has loaded plugins may have started producers */
    return status;
}
