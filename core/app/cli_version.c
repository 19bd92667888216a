/* SPDX-License-Identifier: Apache-2.0 */

/* demilune version: ours, and of the libraries those that are in this process, not those that it was compiled with. */

#include <librdkafka/rdkafka.h>
#include <luajit.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "app/cli.h"

int cli_version(const struct cli *cli UNUSED)
{
    printf("demilune %s (%s)\n", DML_VERSION, DML_COMMIT);
    printf("%-10s %s\n", "luajit", LUAJIT_VERSION);
    printf("%-10s %s\n", "openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
    printf("%-10s %s\n", "nghttp2", nghttp2_version(0)->version_str);
    printf("%-10s %s\n", "librdkafka", rd_kafka_version_str());
    return CLI_FINE;
}
