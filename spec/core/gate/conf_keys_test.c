/* SPDX-License-Identifier: Apache-2.0 */

/* What the table of keys takes and refuses, what it reads, and the schema that it prints. */

#include "gate/conf_keys.h"

#include "base/map.h"
#include "gate/conf_keys_table.h"
#include "gate/conf_yaml.h"
#include "support/config.h"

static struct conf *check(struct config *c, const char *text)
{
    config_init(c);
    struct conf *root = conf_yaml_parse(slice_from(text), "t", ".", c->arena, &c->faults);
    assert_non_null(root);
    conf_check(root, &c->faults);
    return root;
}

static void test_what_is_taken(void **state UNUSED)
{
    static const char *const rows[] = {
        "{}",
        "workers: auto",
        "workers: 8",
        "log: {level: off, format: text}",
        "log:",
        "listeners:",
        "drain: {delay: 0, timeout: 1.5s}",
        "drain: {delay: \"0\", timeout: 250ms}",
        "limits: {request_line: 512, request_head: 8kB, request_body: 0, buffered_body: 1GiB}",
        "limits: {headers: 0x10, idle_timeout: 24h}",
        "upstreams: [{name: a, endpoints: [], health: {passive: {max_ejected: 0.2}}}]",
        "upstreams: [{name: a, endpoints: [], health: {passive: {max_ejected: 20%}}}]",
        "upstreams: [{name: a, endpoints: [], health: {passive: {max_ejected: 1}}}]",
        "plugins: [{name: a, config: {anything: [at, all]}, on_error: continue}]",
        "plugins: [{name: a, config: }]",
        "routes: [{name: a, redirect: https}, {name: b, redirect: {to: x, status: 301}}]",
        "routes: [{name: a, respond: {headers: {a: b, c: d}}}]",
        "routes: [{name: a, headers: {x-version: \"1\"}}]",
        "consumers: [{name: alice@example.com, groups: [], credentials: {}}]",
        "stores: [{name: a, size: 64KiB}]",
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config c;
        check(&c, rows[i]);
        assert_string_equal(config_faults(&c), "");
        config_deinit(&c);
    }
}

static void test_what_is_refused(void **state UNUSED)
{
    static const struct {
        const char *yaml, *fault;
    } rows[] = {
        {"routes: [{name: a, upstream: b, rewrite: {id}}]",
         "routes[0].rewrite: expected a text, got a map (a text that begins with a brace wants quotes)"},
        {"worker: 1", "t:1:1: worker: unknown key, did you mean \"workers\"?"},
        {"zzzzzzz: 1", "t:1:1: zzzzzzz: unknown key\n"},
        {"limits: {heders: 1}", "t:1:10: limits.heders: unknown key, did you mean \"headers\"?"},
        {"workers: many", "t:1:10: workers: expected auto or a whole number, got \"many\""},
        {"workers: 0", "workers: expected at least 1, got 0"},
        {"workers: 1.5", "workers: expected auto or a whole number, got 1.5"},
        {"log: {level: debgu}",
         "log.level: expected one of \"debug\", \"info\", \"warn\", \"error\", \"off\", got \"debgu\", did you mean \"debug\"?"},
        {"log: {format: xml}", "log.format: expected one of \"json\", \"text\", got \"xml\"\n"},
        {"log: []", "t:1:6: log: expected a map, got a list"},
        {"log: x", "log: expected a map, got \"x\""},
        {"listeners: {}", "listeners: expected a list, got a map"},
        {"listeners: [x]", "listeners[0]: expected a map, got \"x\""},
        {"listeners: [{}]", "t:1:13: listeners[0]: \"address\" is missing"},
        {"listeners: [{address: }]", "listeners[0].address: expected a text, got nothing"},
        {"drain: {timeout: 30}", "drain.timeout: a duration needs a unit: 30ms, 30s, ..."},
        {"drain: {timeout: 1.5}", "a duration needs a unit"},
        {"drain: {timeout: 30sec}", "expected a duration such as 250ms, 10s or 5m, got \"30sec\""},
        {"drain: {timeout: 31d}", "drain.timeout: expected at most 30d, got \"31d\""},
        {"drain: {timeout: -1s}", "expected a duration"},
        {"limits: {header_timeout: 0}", "limits.header_timeout: expected at least 1ms, got 0"},
        {"limits: {request_line: 1}", "limits.request_line: expected at least 256, got 1"},
        {"limits: {request_line: 1X}", "expected a size such as 64KiB or 1MiB, got \"1X\""},
        {"limits: {request_line: -5}", "expected at least 256, got -5"},
        {"limits: {request_line: 2MiB}", "expected at most 1MiB, got \"2MiB\""},
        {"limits: {headers: '5'}", "limits.headers: expected a whole number, got \"5\""},
        {"limits: {headers: 1e9999}", "expected a whole number"},
        {"limits: {headers: 99999999999999999999}",
         "limits.headers: expected at most 10000, got 99999999999999999999"},
        {"trusted_proxies: 10.0.0.0/8", "trusted_proxies: expected a list of texts"},
        {"trusted_proxies: [1]", "trusted_proxies[0]: expected a text, got 1 (put it in quotes)"},
        {"routes: [{name: 12}]", "routes[0].name: expected a text, got 12 (put it in quotes)"},
        {"routes: [{name: ''}]", "routes[0].name: a name has 1 to 128 characters"},
        {"routes: [{name: ' a'}]", "no blanks around it"},
        {"routes: [{name: a/b}]", "no slash"},
        {"routes: [{name: true}]", "expected a text, got true (put it in quotes)"},
        {"routes: [{name: a, headers: [x]}]", "headers: expected a map from texts to texts"},
        {"routes: [{name: a, headers: {x: 1}}]", "routes[0].headers.x: expected a text, got 1"},
        {"routes: [{name: a, redirect: http}]", "redirect: expected https or a map with `to`"},
        {"routes: [{name: a, redirect: {}}]", "routes[0].redirect: \"to\" is missing"},
        {"routes: [{name: a, respond: {status: 100}}]", "status: expected at least 200, got 100"},
        {"plugins: [{name: a, config: [1]}]", "plugins[0].config: expected a map, got a list"},
        {"plugins: [{name: a, on_error: ignore}]",
         "on_error: expected one of \"fail\", \"continue\", got \"ignore\""},
        {"upstreams: [{name: a}]", "upstreams[0]: \"endpoints\" is missing"},
        {"upstreams: [{name: a, endpoints: [], health: {passive: {max_ejected: 2}}}]",
         "max_ejected: expected a share such as 0.2 or 20%, got 2"},
        {"upstreams: [{name: a, endpoints: [], health: {passive: {max_ejected: 120%}}}]",
         "expected a share"},
        {"stores: [{name: a, size: 1KiB}]",
         "stores[0].size: expected at least 64KiB, got \"1KiB\""},
        {"watch: on", "watch: expected true or false, got \"on\""},
        {"listeners: [{address: x, tls: {min_version: 1.2}}]",
         "min_version: expected a text, got 1.2 (put it in quotes)"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config c;
        check(&c, rows[i].yaml);
        expect_text(config_faults(&c), rows[i].fault);
        config_deinit(&c);
    }
}

static void test_all_faults_are_told_at_once(void **state UNUSED)
{
    struct config c;

    check(&c, "workers: x\nlog: {level: y}\nroutes: [{nam: a}, {name: b, x: 1}]\nfoo: 1\n");
    assert_int_equal(c.faults.nerrors, 6);
    config_deinit(&c);
}

static void test_not_yet_supported(void **state UNUSED)
{
    static const struct {
        const char *yaml, *fault;
    } rows[] = {
        {"listeners: [{address: a, http2: True}]", "t:1:33: listeners[0].http2: True is not"},
        {"listeners: [{address: a, http2: true}]", "listeners[0].http2: true is not yet supported"},
        {"upstreams: [{name: a, endpoints: [], protocol: http2}]",
         "upstreams[0].protocol: \"http2\" is not yet supported"},
        {"upstreams: [{name: a, endpoints: [], protocol: auto}]", "is not yet supported"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config c;
        check(&c, rows[i].yaml);
        expect_text(config_faults(&c), rows[i].fault);
        assert_int_equal(c.faults.nerrors, 1);
        config_deinit(&c);
    }
}

static void test_off_values_and_defaults_are_taken(void **state UNUSED)
{
    struct config c;

    check(&c, "watch: false\nuser:\nredis: []\nkafka: []\nspill:\n"
              "listeners: [{address: a, http2: false, proxy_protocol: false, tls: }]\n"
              "upstreams: [{name: a, endpoints: [], protocol: http1, balance: round_robin,\n"
              "  health: {slow_start: 0, active: }, tls: }]\n");
    assert_string_equal(config_faults(&c), "");
    config_deinit(&c);
}

static void test_what_came_from_outside_is_typed_by_its_key(void **state UNUSED)
{
    struct config c;

    setenv("DML_N", "12", 1);
    setenv("DML_YES", "true", 1);
    setenv("DML_TIME", "5s", 1);
    setenv("DML_EMPTY", "", 1);
    struct conf *root =
        check(&c, "workers: ${DML_N}\nwatch: \"${DML_EMPTY}\"\ndrain: {timeout: \"${DML_TIME}\"}\n"
                  "routes: [{name: \"${DML_N}\", methods: [\"${DML_YES}\"]}]\n"
                  "limits: {headers: \"${DML_N}\"}\n");
    assert_string_equal(config_faults(&c), "");
    const struct conf *route = conf_get(root, SLICE("routes"))->items[0];
    assert_int_equal(conf_get(route, SLICE("name"))->type, CONF_STRING);
    assert_int_equal(conf_get(route, SLICE("methods"))->items[0]->type, CONF_STRING);
    assert_int_equal(conf_int(conf_get(root, SLICE("limits")), "limits", "headers"), 12);
    config_deinit(&c);

    check(&c, "workers: ${DML_YES}\nlimits: {headers: \"x${DML_N}\"}\n");
    assert_int_equal(c.faults.nerrors, 2);
    expect_no_text(config_faults(&c), "true");
    config_deinit(&c);
}

static void test_reads(void **state UNUSED)
{
    struct config c;
    struct conf *root = check(&c, "limits: {header_timeout: 1.5s, request_body: 2MiB, headers: 7}\n"
                                  "drain: {timeout: 0, delay: 100us}\nlog: {level: warn}\n");
    const struct conf *limits = conf_get(root, SLICE("limits"));
    const struct conf *drain = conf_get(root, SLICE("drain"));

    assert_int_equal(conf_duration_ms(limits, "limits", "header_timeout"), 1500);
    assert_int_equal(conf_duration_ms(limits, "limits", "body_timeout"), 30000);
    assert_int_equal(conf_size(limits, "limits", "request_body"), 2 * MIB);
    assert_int_equal(conf_size(limits, "limits", "buffered_body"), 1 * MIB);
    assert_int_equal(conf_int(limits, "limits", "headers"), 7);
    assert_int_equal(conf_int(NULL, "limits", "headers"), 100);
    assert_int_equal(conf_duration_ms(drain, "drain", "timeout"), 0);
    assert_int_equal(conf_duration_ms(drain, "drain", "delay"), 0); /* refused: the default */
    assert_int_equal(conf_duration_ms(NULL, "limits", "idle_timeout"), 60000);
    assert_true(conf_ratio(NULL, "health_passive", "max_ejected") == 0.5);
    assert_false(conf_bool(NULL, "root", "watch"));
    assert_true(conf_bool(NULL, "listener_tls", "session_resumption"));
    assert_true(slice_eq(conf_text(conf_get(root, SLICE("log")), "log", "level"), SLICE("warn")));
    assert_true(slice_eq(conf_text(NULL, "log", "format"), SLICE("json")));
    assert_null(conf_text(NULL, "upstream", "hash_on").ptr);
    config_deinit(&c);
}

static void test_the_documented_defaults(void **state UNUSED)
{
    static const struct {
        const char *section, *key;
        double value;
    } rows[] = {
        {"drain", "delay", 0},
        {"drain", "timeout", 30000},
        {"limits", "request_line", 8 * KIB},
        {"limits", "request_head", 32 * KIB},
        {"limits", "headers", 100},
        {"limits", "request_body", 10 * MIB},
        {"limits", "buffered_body", 1 * MIB},
        {"limits", "header_timeout", 10000},
        {"limits", "body_timeout", 30000},
        {"limits", "idle_timeout", 60000},
        {"limits", "log_timeout", 10000},
        {"limits", "connections", 65536},
        {"script", "time_budget", 200},
        {"script", "hang_timeout", 2000},
        {"script", "memory", 256 * MIB},
        {"metrics", "max_series", 10000},
        {"dns", "min_ttl", 1000},
        {"dns", "max_ttl", 300000},
        {"upstream", "connect_timeout", 1000},
        {"upstream", "timeout", 15000},
        {"upstream", "idle_timeout", 60000},
        {"upstream", "max_connections", 1024},
        {"upstream", "max_pending", 1024},
        {"keepalive", "max_idle", 256},
        {"keepalive", "idle_timeout", 60000},
        {"keepalive", "max_requests", 10000},
        {"health_passive", "consecutive_errors", 5},
        {"health_passive", "eject_for", 30000},
        {"health_passive", "max_ejected", 0.5},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_true(key_fallback(key_find(section_find(rows[i].section),
                                          slice_from(rows[i].key))) == rows[i].value);
}

/* --- the schema ------------------------------------------------------------------------------- */

static void test_the_schema_is_json_whose_references_lead_somewhere(void **state UNUSED)
{
    struct json_writer w;
    struct json_reader r;
    struct buf out;
    struct map defs;
    int event, level = 0, n = 0;
    bool in_defs = false;
    const char *refs[256];

    buf_init(&out, 1 * MIB);
    json_writer_init(&w, &out, 2);
    conf_keys_schema(&w, &(struct conf_schema_parts){
                             .plugin = SLICE("{\"description\":\"of the plugins\"}"),
                             .credentials = SLICE("{\"description\":\"of the credentials\"}")});
    assert_int_equal(json_writer_end(&w), 0);
    assert_true(slice_find(buf_slice(&out), SLICE("of the plugins")) > 0);
    assert_true(slice_find(buf_slice(&out), SLICE("of the credentials")) > 0);

    map_init(&defs);
    struct arena *a = arena_new_heap(4096);
    struct slice key = SLICE("");
    json_reader_init(&r, buf_slice(&out), 64);
    while ((event = json_read(&r)) != JSON_END) {
        assert_true(event > 0);
        level += (event == JSON_OBJECT) - (event == JSON_OBJECT_END);
        if (event == JSON_KEY) {
            key = arena_dup(a, r.string);
            if (level == 1)
                in_defs = slice_eq(key, SLICE("$defs"));
            else if (level == 2 && in_defs)
                map_set(&defs, key, a);
        } else if (event == JSON_STRING && slice_eq(key, SLICE("$ref"))) {
            assert_true(slice_starts(r.string, SLICE("#/$defs/")));
            refs[n++] = arena_dup(a, slice_from_index(r.string, 8)).ptr;
        }
    }
    json_reader_deinit(&r);
    assert_true(n > 20);
    for (int i = 0; i < n; i++)
        assert_non_null(map_find(&defs, slice_from(refs[i])));
    for (size_t i = 0; i < sections_count(); i++)
        assert_true(strcmp(sections_get(i)->name, "root") == 0 ||
                    map_find(&defs, slice_from(sections_get(i)->name)));
    map_deinit(&defs);
    arena_free(a);
    buf_deinit(&out);
}

static void test_secrets_are_write_only_in_the_schema(void **state UNUSED)
{
    struct json_writer w;
    struct buf out;

    buf_init(&out, 1 * MIB);
    json_writer_init(&w, &out, 0);
    conf_keys_schema(&w, &(struct conf_schema_parts){0});
    assert_int_equal(json_writer_end(&w), 0);
    ssize_t token = slice_find(buf_slice(&out), SLICE("\"token\":{"));
    assert_true(token > 0);
    struct slice row = slice_from_index(buf_slice(&out), (size_t)token);
    row.len = (size_t)slice_find_char(row, '}');
    assert_true(slice_find(row, SLICE("\"writeOnly\":true")) > 0);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_taken),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_all_faults_are_told_at_once),
        cmocka_unit_test(test_not_yet_supported),
        cmocka_unit_test(test_off_values_and_defaults_are_taken),
        cmocka_unit_test(test_what_came_from_outside_is_typed_by_its_key),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_the_documented_defaults),
        cmocka_unit_test(test_the_schema_is_json_whose_references_lead_somewhere),
        cmocka_unit_test(test_secrets_are_write_only_in_the_schema),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
