/* SPDX-License-Identifier: Apache-2.0 */

/* A hosts file of any content. A plain last line must be found whatever stands before it. */

#include "net/hosts.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const char last[] = "\n192.0.2.1 last.fuzz";
    struct hosts *h = hosts_new("/nonexistent");
    char *text = malloc(len + sizeof(last));
    const struct addr *addrs;

    if (!text)
        abort();
    (void)hosts_find(h, SLICE("a"), &addrs); /* the file is looked at now, not after the parsing */
    memcpy(text, bytes, len);
    memcpy(text + len, last, sizeof(last));
    hosts_parse(h, slice_of(text, len + sizeof(last) - 1));
    (void)hosts_find(h, SLICE("a"), &addrs);
    if (hosts_find(h, SLICE("last.fuzz"), &addrs) == 0)
        abort();
    free(text);
    hosts_free(h);
    return 0;
}
