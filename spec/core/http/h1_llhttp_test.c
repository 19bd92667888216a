/* SPDX-License-Identifier: Apache-2.0 */

/* Our reading of heads against llhttp's in strict mode, over every byte in every place of some
 * heads: what we accept llhttp accepts, and sees the same fields in it. Where llhttp accepts more,
 * it is in a place for which we have a rule of our own. */

#include "support/test.h"

#include <llhttp.h>
#include <string.h>

#include "http/h1.h"

enum { FIELDS_MAX = 16 };

struct reading {
    struct slice names[FIELDS_MAX], values[FIELDS_MAX];
    int n;
    bool complete;
};

static int on_name(llhttp_t *p, const char *at, size_t len)
{
    struct reading *r = p->data;

    if (r->n == FIELDS_MAX)
        return HPE_USER;
    r->names[r->n] = slice_of(at, len);
    r->values[r->n++] = slice_of(at + len, 0);
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    struct reading *r = p->data;

    if (len > 0)
        r->values[r->n - 1] = slice_trim(slice_of(at, len));
    return 0;
}

static int on_complete(llhttp_t *p)
{
    struct reading *r = p->data;

    r->complete = true;
    p->upgrade = 0;
    return HPE_PAUSED;
}

static void read_theirs(struct slice head, llhttp_type_t type, struct reading *r)
{
    static const llhttp_settings_t settings = {
        .on_header_field = on_name,
        .on_header_value = on_value,
        .on_headers_complete = on_complete,
    };
    llhttp_t p;

    *r = (struct reading){0};
    llhttp_init(&p, type, &settings);
    p.data = r;
    llhttp_execute(&p, head.ptr, head.len);
}

static bool read_ours(struct slice bytes, bool is_request, struct message *m)
{
    static const struct h1_bounds bounds = {1024, 1024, FIELDS_MAX};
    struct h1_scan s = {0};
    struct h1_facts facts = {0};
    const char *why;

    if (h1_scan(&s, bytes, &bounds, &why) != (ssize_t)bytes.len)
        return false;
    return (is_request ? h1_read_request(bytes, FIELDS_MAX, m, &facts)
                       : h1_read_response(bytes, FIELDS_MAX, METHOD_GET, true, m, &facts)) == 0;
}

/* Ours has lost the fields of the connection; the others are in the same order. */
static bool has_same_fields(const struct message *m, const struct reading *r)
{
    int at = 0;

    HEADERS_EACH(f, &m->headers)
    {
        while (at < r->n && r->names[at].ptr != f->name.ptr)
            at++;
        if (at == r->n || !slice_eq(r->names[at], f->name) || !slice_eq(r->values[at], f->value))
            return false;
        at++;
    }
    return true;
}

/* The one thing that llhttp is stricter in than RFC 9110, 5.5: a tab behind the digits. What goes
 * on from us has none. */
static bool has_tab_behind_length(struct slice bytes)
{
    ssize_t at = slice_find(bytes, SLICE("Content-Length:"));
    struct slice rest = at < 0 ? SLICE_NONE : slice_from_index(bytes, (size_t)at);
    ssize_t end = slice_find_char(rest, '\r');

    return end > 0 && rest.ptr[end - 1] == '\t';
}

/* Returns whether we accept it. */
static bool compare(struct slice bytes, bool is_request, bool is_plain)
{
    struct arena *a = arena_new_heap(4096);
    struct message m = {0};
    struct reading theirs;

    headers_init(&m.headers, a, FIELDS_MAX);
    bool accepted = read_ours(bytes, is_request, &m);
    read_theirs(bytes, is_request ? HTTP_REQUEST : HTTP_RESPONSE, &theirs);
    if (accepted && (!theirs.complete || !has_same_fields(&m, &theirs)) &&
        !has_tab_behind_length(bytes))
        fail_msg("only we read this: %.*s", SLICE_ARG(bytes));
    if (is_plain && !accepted && theirs.complete)
        fail_msg("only llhttp reads this: %.*s", SLICE_ARG(bytes));
    arena_free(a);
    return accepted;
}

static const char *const requests[] = {
    "GET /a?b=c HTTP/1.1\r\nHost: a.example:81\r\nUser-Agent: x/1\r\nX-Test: a b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nConnection: x, close\r\nX: y\r\n\r\n",
    "PUT /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nte: trailers\r\nempty:\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection:\tkeep-alive\t\r\nX-Tab: a\tb \r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
};

static const char *const responses[] = {
    "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nX-Test: a b\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    "HTTP/1.0 200\r\nX: \xe4\xf6\xfc\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
};

/* Every byte in every place, and every byte put in between. */
static int vary(const char *text, bool is_request)
{
    char bytes[256];
    size_t len = strlen(text);
    int accepted = 0;

    for (size_t at = 0; at < len; at++) {
        for (int c = 0; c < 256; c++) {
            memcpy(bytes, text, len);
            bytes[at] = (char)c;
            accepted += compare(slice_of(bytes, len), is_request, false);
            memmove(bytes + at + 1, text + at, len - at);
            accepted += compare(slice_of(bytes, len + 1), is_request, false);
        }
    }
    return accepted;
}

static void test_what_we_accept_llhttp_accepts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(requests); i++)
        assert_true(vary(requests[i], true) > 1000);
    for (size_t i = 0; i < COUNT_OF(responses); i++)
        assert_true(vary(responses[i], false) > 1000);
}

/* Any one or two bytes, in a plain field's name or value. Line breaks are told apart by the
 * scan. */
static void test_plain_fields_are_read_as_llhttp_reads_them(void **state)
{
    static const char name[] = "GET / HTTP/1.0\r\nX##Y: z\r\n\r\n";
    static const char value[] = "GET / HTTP/1.0\r\nX: 12345678##9\r\n\r\n";
    static const char *const heads[] = {name, value};
    char bytes[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        size_t at = (size_t)(strchr(heads[i], '#') - heads[i]), len = strlen(heads[i]);
        memcpy(bytes, heads[i], len);
        for (int pair = 0; pair < 65536; pair++) {
            bytes[at] = (char)(pair >> 8);
            bytes[at + 1] = (char)pair;
            if (memchr(bytes + at, '\n', 2) == NULL)
                compare(slice_of(bytes, len), true, true);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_we_accept_llhttp_accepts),
        cmocka_unit_test(test_plain_fields_are_read_as_llhttp_reads_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
