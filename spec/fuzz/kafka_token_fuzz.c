/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a token: what is taken has an end and a principal. */

#include <string.h>

#include "base/check.h"
#include "side/kafka_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct kafka_token t;

    if (!kafka_token_parse(slice_of((const char *)bytes, size), &t))
        REQUIRE(t.expires_ms > 0 && strlen(t.principal) < sizeof(t.principal));
    return 0;
}
