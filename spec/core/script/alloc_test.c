/* SPDX-License-Identifier: Apache-2.0 */

/* What a hook asks of C allocates nothing there: malloc of this program counts, between two calls that the hook makes
 * itself. What is set goes into the exchange's arena, which grows by blocks. (LuaJIT's own memory is not from malloc.) */

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/lua_gate.h"

#ifdef DML_SANITIZER
#define COUNTS false /* malloc is the sanitizer's */
#else
#define COUNTS true

static unsigned allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    allocations++;
    return __libc_realloc(old, size);
}

/* For the hook. */
__attribute__((visibility("default"))) unsigned allocations_so_far(void);
unsigned allocations_so_far(void)
{
    return allocations;
}
#endif

#define ROUNDS 1000

struct sample {
    const char *code;
    unsigned most; /* allocations in ROUNDS calls */
};

static const struct sample samples[] = {
    {"local v = r.headers['x-one']", 0},
    {"local v = r.headers['x-none']", 0},
    {"local v = r.headers:all('x-one')", 0},
    {"local v = r.path", 0},
    {"local v = r.query_value(r, 'y')", 0},
    {"local v = r.params.id", 0},
    {"local v = x.client_ip", 0},
    {"local v = x.id", 0},
    {"local v = x.ctx", 0},
    {"x.ctx.n = i", 0},
    {"local v = x.timings", 0},
    {"r.headers['x-one'] = 'set'", ROUNDS / 20},
    {"x.response.headers['x-one'] = 'set'", ROUNDS / 20},
    {"local v = kept:get 'key'", 0},
    {"kept:set('key', i)", 0},
    {"kept:incr('number', 1)", 0},
    {"kept:gcra('limit', limit)", 0},
    {"served:inc 'label'", 0},
    {"took:observe(i)", 0},
    {"local v = pattern:test 'aab'", 0},
    {"local v = pattern:match 'aab'", 0},
    {"local v = time.now()", 0},
    {"local v = time.http_date(i)", 0},
    {"local v = url.encode 'a b'", 0},
    {"local v = crypto.digest('sha256', 'text')", 0},
    {"local v = uuid.v4()", 0},
};

static const char *const plugin =
    "local ffi = require 'ffi'\n"
    "ffi.cdef 'unsigned allocations_so_far(void);'\n"
    "local crypto, store, time = require 'demilune.crypto', require 'demilune.store', require 'demilune.time'\n"
    "local url, uuid = require 'demilune.url', require 'demilune.uuid'\n"
    "local metrics = require 'demilune.metrics'\n"
    "local compile = require('demilune.regex').compile\n"
    "local pattern = compile '(a+)b'\n"
    "local kept, limit = store.use(), { limit = 1e9, window = 1 }\n"
    "local served = metrics.counter('served_total', 'Help.', { 'label' })\n"
    "local took = metrics.histogram('took_seconds', 'Help.', {}, { 1 })\n"
    "local function measure(x)\n"
    "  local r = x.request\n"
    "  local function call(i) %s end\n"
    "  for i = 1, 10 do call(i) end\n"
    "  local before = ffi.C.allocations_so_far()\n"
    "  for i = 1, %d do call(i) end\n"
    "  return ffi.C.allocations_so_far() - before\n"
    "end\n"
    "function P:access(x) x:reply(200, {}, ('%%d allocations'):format(measure(x))) end\n";

static unsigned allocations_of(const struct sample *s)
{
    struct lua_gate l;
    char source[4096];
    unsigned n = 0;

    snprintf(source, sizeof(source), plugin, s->code, ROUNDS);
    lua_gate_init(&l);
    lua_gate_plugin(&l, "it", source);
    if (!lua_gate_start(
            &l, "routes: [{ name: it, paths: ['/{id}'], plugins: [{ name: it }], respond: {} }]\n"))
        fail_msg("%s: %s", s->code, lua_gate_faults(&l));
    const char *answer =
        lua_gate_ask(&l, "GET /a?y=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-One: 1\r\n\r\n");
    const char *body = strstr(answer, "\r\n\r\n");
    if (!body || sscanf(body, " %u allocations", &n) != 1)
        fail_msg("%s: %s", s->code, answer);
    lua_gate_deinit(&l);
    return n;
}

/* Else the rest would say nothing. */
static void what_allocates_is_counted(void **state UNUSED)
{
    const struct sample compiles = {.code = "local v = compile('a' .. i)"};

    if (!COUNTS)
        skip();
    assert_in_range(allocations_of(&compiles), ROUNDS, 100 * ROUNDS);
}

static void calls_allocate_nothing(void **state UNUSED)
{
    if (!COUNTS)
        skip();
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        unsigned n = allocations_of(&samples[i]);
        if (n > samples[i].most)
            fail_msg("%s: %u allocations in %d calls", samples[i].code, n, ROUNDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_allocates_is_counted),
        cmocka_unit_test(calls_allocate_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
