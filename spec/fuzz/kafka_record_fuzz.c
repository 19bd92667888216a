/* SPDX-License-Identifier: Apache-2.0 */

/* Events of any bytes: what is read lies within them and is written again as the same bytes. */

#include <stdlib.h>

#include "side/kafka_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

static void expect_within(struct slice s, struct slice all)
{
    expect(!s.ptr || (s.ptr >= all.ptr && s.ptr + s.len <= all.ptr + all.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct kafka_header headers[KAFKA_HEADERS_MAX];
    struct slice all = slice_of((const char *)bytes, len), cluster;
    struct kafka_event e;

    if (kafka_event_read(all, &e, headers) < 0)
        return 0;
    expect(kafka_event_cluster(all, &cluster) == 0 && slice_eq(cluster, e.cluster));
    expect_within(e.record.value, all);
    for (size_t i = 0; i < e.record.nheaders; i++) {
        expect_within(e.record.headers[i].name, all);
        expect_within(e.record.headers[i].value, all);
    }
    expect(kafka_event_size(&e) == len);
    char *again = malloc(len);
    kafka_event_write(&e, again);
    expect(memcmp(again, bytes, len) == 0);
    free(again);
    return 0;
}
