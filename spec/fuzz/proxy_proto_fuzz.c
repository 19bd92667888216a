/* SPDX-License-Identifier: Apache-2.0 */

/* PROXY headers from any bytes, whole and cut at every place: what is refused of a beginning is not
 * taken with more behind it, what is taken depends on no byte that follows, and its addresses can
 * be printed. */

#include <stdlib.h>

#include "base/err.h"
#include "net/proxy_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

static void expect_printable(const struct addr *a)
{
    char out[ADDR_TEXT];
    size_t len = addr_print_ip(a, out, sizeof(out));

    for (size_t i = 0; i < len; i++)
        expect(out[i] > ' ' && out[i] < 0x7f);
}

/* A copy of its own size, so that a sanitizer sees each byte too many. */
static ssize_t read_copy(const uint8_t *bytes, size_t len, struct proxy_proto *out)
{
    char *copy = malloc(len + 1);
    const char *why = NULL;

    expect(copy != NULL);
    memcpy(copy, bytes, len);
    copy = realloc(copy, len > 0 ? len : 1);
    expect(copy != NULL);
    ssize_t rc = proxy_proto_read(slice_of(copy, len), out, &why);
    free(copy);
    expect(rc > 0 || rc == ERR_AGAIN || rc == ERR_PROTOCOL);
    expect((rc == ERR_PROTOCOL) == (why != NULL));
    expect(rc <= (ssize_t)len && rc <= (ssize_t)PROXY_PROTO_MAX);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct proxy_proto whole, part;
    ssize_t rc = read_copy(bytes, len, &whole);

    if (rc > 0 && whole.has_addresses) {
        expect_printable(&whole.from);
        expect_printable(&whole.to);
        expect(whole.from.sa.sa_family == whole.to.sa.sa_family);
    }
    for (size_t n = 0; n < MIN(len, 300); n++) {
        ssize_t cut = read_copy(bytes, n, &part);
        if (rc > 0)
            expect(cut == ((ssize_t)n < rc ? ERR_AGAIN : rc));
        else
            expect(cut == ERR_AGAIN || cut == rc);
    }
    return 0;
}
