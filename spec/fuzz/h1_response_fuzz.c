/* SPDX-License-Identifier: Apache-2.0 */

/* A response head that is accepted has one reading: it is serialised, and read again it is the
 * same. The first byte of the input says how it is cut and what was asked for. */

#include "h1_head.h"

static void check_again(const struct message *m, enum method method, bool websocket,
                        struct arena *a)
{
    struct message again = {0};
    struct h1_facts facts = {0};
    char *out = arena_alloc(a, h1_response_size(m) + 64), *end = h1_write_response(out, m);

    REQUIRE(end != NULL);
    end = stpcpy(end,
                 m->status == 101 ? "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" : "\r\n");
    headers_init(&again.headers, a, 8);
    REQUIRE(h1_read_response(slice_of(out, (size_t)(end - out)), 100, method, websocket, &again,
                             &facts) == 0);
    REQUIRE(again.status == m->status &&
            slice_eq(again.reason, m->reason.ptr != NULL ? m->reason : SLICE("")));
    REQUIRE(again.headers.n <= m->headers.n + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len < 2)
        return 0;
    size_t step = (bytes[0] & 31) + 1u;
    enum method method = bytes[0] & 32 ? METHOD_HEAD : METHOD_GET;
    bool websocket = (bytes[0] & 64) != 0;
    struct slice in = slice_of((const char *)bytes + 1, len - 1);
    ssize_t n = scan(in, step);
    struct arena *a = arena_new_heap(4096);

    if (n > 0) {
        struct message m = {0};
        struct h1_facts facts = {0};
        headers_init(&m.headers, a, 8);
        int rc = h1_read_response(slice_of(in.ptr, (size_t)n), 16, method, websocket, &m, &facts);
        REQUIRE(rc <= 0 && (rc == 0 || facts.why != NULL));
        if (rc == 0) {
            REQUIRE(m.status >= 100 && m.status <= 599);
            REQUIRE(m.status >= 200 || m.body == BODY_NONE || m.body == BODY_TUNNEL);
            REQUIRE(!(facts.until_close && facts.keep_alive));
            check_message(&m);
            ask_llhttp(slice_of(in.ptr, (size_t)n), HTTP_RESPONSE, &m);
            check_again(&m, method, websocket, a);
            if (m.body == BODY_UNKNOWN && !facts.until_close)
                check_body(slice_from_index(in, (size_t)n), step);
        }
    }
    arena_free(a);
    return 0;
}
