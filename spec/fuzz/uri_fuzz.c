/* SPDX-License-Identifier: Apache-2.0 */

/* Targets: what is accepted holds only what RFC 3986 allows; a normal path is its own normal
 * form, has no dot segment and never grows. */

#include <string.h>

#include "base/check.h"
#include "http/uri.h"

static bool has_dot_segment(struct slice path)
{
    struct slice part;

    while (slice_split(&path, '/', &part)) {
        if (slice_eq(part, SLICE(".")) || slice_eq(part, SLICE("..")))
            return true;
    }
    return false;
}

static void check_path(struct slice path, struct arena *a)
{
    struct slice once, twice;

    if (uri_normalise_path(path, a, &once) != 0)
        return;
    REQUIRE(once.len > 0 && once.len <= path.len && !has_dot_segment(once));
    REQUIRE(uri_normalise_path(once, a, &twice) == 0);
    REQUIRE(twice.ptr == once.ptr && twice.len == once.len);
}

static void check_query(struct slice query, struct arena *a)
{
    struct slice name, value, rest = query;

    while (uri_query_next(&rest, &name, &value))
        REQUIRE(name.len + value.len <= query.len);
    uri_query_get(query, SLICE("a"), a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice in = slice_of((const char *)bytes, len), host;
    struct arena *a = arena_new_heap(1024);
    struct uri uri;
    uint16_t port;

    if (uri_parse_target(in, &uri) == 0) {
        REQUIRE(uri.path.len > 0 && (uri.path.ptr[0] == '/' || in.len == 1));
        for (size_t i = 0; i < in.len; i++)
            REQUIRE(bytes[i] > ' ' && bytes[i] < 0x7f && strchr("\"<>\\^`{|}#", bytes[i]) == NULL);
        if (uri.authority.ptr != NULL)
            REQUIRE(uri_parse_host(uri.authority, a, &host, &port) == 0 ||
                    uri.authority.ptr[0] == '.');
        check_path(uri.path, a);
        check_query(uri.query, a);
    }
    if (uri_parse_url(in, &uri) == 0)
        REQUIRE(uri.scheme.len >= 4 && uri.host.len > 0);
    if (uri_parse_host(in, a, &host, &port) == 0)
        REQUIRE(host.len > 0 && host.len <= in.len);
    check_path(in, a);
    arena_free(a);
    return 0;
}
