/* SPDX-License-Identifier: Apache-2.0 */

/* A request head that is accepted has one reading: it is serialised, and read again it is the
 * same. The first byte of the input says how it is cut. */

#include "h1_head.h"

static void check_again(const struct message *m, struct arena *a)
{
    struct message again = {0};
    struct h1_facts facts = {0};
    char *out = arena_alloc(a, h1_request_size(m) + 2), *end = h1_write_request(out, m);

    REQUIRE(end != NULL);
    end = mempcpy(end, "\r\n", 2);
    headers_init(&again.headers, a, 8);
    int rc = h1_read_request(slice_of(out, (size_t)(end - out)), 100, &again, &facts);
    if (m->authority.ptr == NULL) /* HTTP/1.0 may do without; we may not */
        return;
    REQUIRE(rc == 0);
    REQUIRE(again.method == m->method && slice_eq(again.path, m->path) &&
            slice_eq(again.query, m->query));
    REQUIRE(slice_eq(again.authority, m->authority));
    REQUIRE(again.body == BODY_NONE && again.headers.n <= m->headers.n + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len < 2)
        return 0;
    size_t step = (bytes[0] & 31) + 1u;
    struct slice in = slice_of((const char *)bytes + 1, len - 1);
    ssize_t n = scan(in, step);
    struct arena *a = arena_new_heap(4096);

    if (n > 0) {
        struct message m = {0};
        struct h1_facts facts = {0};
        headers_init(&m.headers, a, 8);
        int rc = h1_read_request(slice_of(in.ptr, (size_t)n), 16, &m, &facts);
        REQUIRE(rc <= 0 && (rc == 0 || facts.why != NULL));
        if (rc == 0) {
            REQUIRE(m.method != METHOD_UNKNOWN && m.path.len > 0);
            REQUIRE(m.version == HTTP_10 || m.authority.len > 0);
            REQUIRE(!(m.body == BODY_UNKNOWN && m.has_length));
            check_message(&m);
            ask_llhttp(slice_of(in.ptr, (size_t)n), HTTP_REQUEST, &m);
            check_again(&m, a);
            if (m.body == BODY_UNKNOWN)
                check_body(slice_from_index(in, (size_t)n), step);
        }
    }
    arena_free(a);
    return 0;
}
