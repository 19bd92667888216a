/* SPDX-License-Identifier: Apache-2.0 */

#include "support/lua_gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "net/mailbox.h"
#include "script/hooks.h"
#include "script/plugin.h"

static char text[256 * 1024];

static void note_log(void *arg, enum log_level level UNUSED, struct slice line)
{
    struct lua_gate *l = arg;

    l->log = realloc(l->log, (l->nlog + 1) * sizeof(l->log[0]));
    l->log[l->nlog++] = slice_dup(line);
}

void lua_gate_init(struct lua_gate *l)
{
    *l = (struct lua_gate){.quota = {.max = 100}};
    strcpy(l->folder, "/tmp/demilune-test-XXXXXX");
    assert_non_null(mkdtemp(l->folder));
    metric_init(2, 1000);
    log_configure(LOG_INFO, LOG_JSON);
    log_capture(note_log, l);
    clock_advance_ms(1100); /* the log holds repeats of one second back */
    l->arena = arena_new_heap(4 * KIB);
    faults_init(&l->faults, l->arena);
}

void lua_gate_file(struct lua_gate *l, const char *path, const char *content)
{
    char whole[512];

    snprintf(whole, sizeof(whole), "%s/%s", l->folder, path);
    for (char *slash = whole + strlen(l->folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fputs(content, f);
    fclose(f);
}

void lua_gate_plugin(struct lua_gate *l, const char *name, const char *source)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/init.lua", name);
    snprintf(text, sizeof(text),
             "local P = { name = \"%s\", version = \"1.0.0\" }\nP.__index = P\n%s\nreturn P\n",
             name, source);
    lua_gate_file(l, path, text);
}

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer,
                      const struct addr *local)
{
    struct lua_gate *l = owner;

    gateway_accept(&l->gateway, ln, 0, fd, peer, local);
}

static struct vm *new_vm(struct lua_gate *l, int worker)
{
    char *error = NULL;
    struct vm_options o = {.lua_dir = "lua",
                           .plugin_dirs = l->folder,
                           .shipped_dir = "plugins",
                           .gateway = &l->gateway,
                           .worker = worker};
    struct vm *vm = vm_new(&o, &error);

    if (!vm)
        fail_msg("%s", error);
    return vm;
}

struct checking {
    struct lua_gate *l;
    struct vm *vm;
    struct plugin_host *host;
};

static struct plugin_host *give_host(void *arg, const struct snapshot *partly)
{
    struct checking *c = arg;

    c->vm = new_vm(c->l, 0);
    c->host = plugin_host_new(c->vm, partly);
    return c->host;
}

static bool load(struct lua_gate *l, const char *yaml, int port)
{
    struct checking c = {.l = l};
    char number[8];
    bool has_listeners = strstr(yaml, "listeners:") != NULL;
    size_t n = (size_t)snprintf(text, sizeof(text), "plugin_path: [%s]\n", l->folder);

    snprintf(number, sizeof(number), "%d", port);
    while (*yaml) {
        bool is_port = strncmp(yaml, "PORT", 4) == 0;
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s", is_port ? 8 : 1,
                              is_port ? number : yaml);
        yaml += is_port ? 4 : 1;
    }
    if (!has_listeners)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "\nlisteners: [{ address: 127.0.0.1:%d }]\n", port);
    struct snapshot_source source = {.text = slice_of(text, n),
                                     .name = "test.yaml",
                                     .dir = ".",
                                     .workers = 1,
                                     .plugin_host = give_host,
                                     .arg = &c};
    l->snapshot = snapshot_load(&source, &l->faults);
    if (c.host)
        plugin_host_free(c.host);
    if (c.vm)
        vm_free(c.vm);
    return l->snapshot != NULL;
}

bool lua_gate_start(struct lua_gate *l, const char *yaml)
{
    int fd;

    assert_int_equal(0, addr_parse(SLICE("127.0.0.1:0"), &l->at));
    assert_int_equal(0, listener_open(&l->at, false, &fd));
    assert_int_equal(0, listener_address(fd, &l->at));
    if (!load(l, yaml, addr_port(&l->at))) {
        close(fd);
        return false;
    }
    l->loop = loop_new();
    l->gateway.loop = l->loop;
    l->gateway.mailbox = mailbox_new(l->loop, l);
    l->gateway.writer = 1;
    l->gateway.nworkers = 1;
    gateway_init(&l->gateway, l->snapshot);
    l->vm = new_vm(l, 1);
    struct phase_host *host = hooks_new(l->vm, l->snapshot, &l->faults, NULL, NULL);
    if (!host)
        vm_free(l->vm);
    gateway_use(&l->gateway, plan_new(&l->gateway, snapshot_ref(l->snapshot), host, NULL));
    l->listener = listener_start(l->loop, fd, &l->quota, on_accept, l);
    if (!host)
        return false;
    vm_use_on_this_thread(l->vm, &l->gateway, &l->watch);
    hooks_start(host);
    return true;
}

static void stop(struct lua_gate *l)
{
    listener_free(l->listener);
    inbound_abort_all(l->gateway.inbound);
    for (int i = 0; i < 1000 && gateway_exchanges(&l->gateway) > 0; i++)
        loop_turn(l->loop, 10);
    assert_int_equal(0, (int)gateway_exchanges(&l->gateway));
    if (l->gateway.plan->host)
        hooks_stop(l->gateway.plan->host);
    loop_turn(l->loop, 0);
    gateway_deinit(&l->gateway);
    mailbox_free(l->gateway.mailbox);
    loop_free(l->loop);
}

void lua_gate_deinit(struct lua_gate *l)
{
    char command[128];

    if (l->loop)
        stop(l);
    if (l->snapshot)
        snapshot_unref(l->snapshot);
    faults_deinit(&l->faults);
    arena_free(l->arena);
    metric_deinit();
    log_capture(NULL, NULL);
    for (size_t i = 0; i < l->nlog; i++)
        free(l->log[i]);
    free(l->log);
    snprintf(command, sizeof(command), "rm -rf %s", l->folder);
    assert_int_equal(0, system(command));
}

const char *lua_gate_ask(struct lua_gate *l, const char *request)
{
    static char answer[256 * 1024];
    char made[1024];
    int fd = loopback_connect(&l->at);
    size_t len = 0;
    uint64_t give_up = clock_us_now() + 10000000;

    if (!strstr(request, "\r\n\r\n")) {
        snprintf(made, sizeof(made), "GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
                 request);
        request = made;
    }
    assert_int_equal(strlen(request), send(fd, request, strlen(request), 0));
    loopback_set_blocking(fd, false);
    for (int turns = 0;; turns++) {
        ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        len += n > 0 ? (size_t)n : 0;
        if (clock_us_now() > give_up)
            fail_msg("no end of the answer to %s", request);
        loop_turn(l->loop, turns < 20 ? 0 : 5);
    }
    close(fd);
    answer[len] = '\0';
    return answer;
}

const char *lua_gate_faults(struct lua_gate *l)
{
    struct buf out;

    buf_init(&out, sizeof(text) - 1);
    faults_print(&l->faults, &out, false);
    memcpy(text, buf_slice(&out).ptr, buf_len(&out));
    text[buf_len(&out)] = '\0';
    buf_deinit(&out);
    return text;
}

void lua_gate_forget_log(struct lua_gate *l)
{
    for (size_t i = 0; i < l->nlog; i++)
        free(l->log[i]);
    l->nlog = 0;
    clock_advance_ms(1100);
}

const char *lua_gate_logged(struct lua_gate *l, const char *wanted)
{
    for (size_t i = 0; i < l->nlog; i++) {
        if (strstr(l->log[i], wanted))
            return l->log[i];
    }
    return NULL;
}
