/* SPDX-License-Identifier: Apache-2.0 */

/* The program begins here, and everything it can do is a command (cli.h). */

#include "app/cli.h"
#include "base/hash.h"

int main(int argc, char **argv)
{
    hash_init();
    return cli_main(argc, argv);
}
