/* SPDX-License-Identifier: Apache-2.0 */

/* demilune health: one GET /health/ready to the admin address, answered within two seconds or not at all. It reads no more
 * of the configuration than that address, so that asking every few seconds costs nothing. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/load.h"
#include "base/clock.h"
#include "gate/conf_yaml.h"
#include "net/addr.h"

#define PATIENCE_US 2000000

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "demilune health: %s%s%s\n", what, why ? ": " : "", why ? why : "");
    return CLI_FAULT;
}

/* A gateway that listens on all addresses listens on this one, too. */
static int to_loopback(struct addr *a)
{
    struct slice ip = a->sa.sa_family == AF_INET6 ? SLICE("::1") : SLICE("127.0.0.1");

    return addr_parse_ip(ip, addr_port(a), a) == 0 ? 0 : complain("no loopback address", NULL);
}

static int read_address(const char *file, struct arena *a, struct addr *out)
{
    struct faults faults;

    faults_init(&faults, a);
    struct conf *root = conf_yaml_load(file, a, &faults);
    int status = load_report(&faults);
    faults_deinit(&faults);
    if (status != CLI_FINE)
        return status;
    const struct conf *address = conf_get(conf_get(root, SLICE("admin")), SLICE("address"));
    if (!address)
        return complain("the configuration has no admin address to ask", NULL);
    struct slice text = address->text;
    if (slice_starts(text, SLICE("localhost:")))
        text = arena_printf(a, "127.0.0.1%.*s", (int)(text.len - 9), text.ptr + 9);
    if (addr_parse(text, out) < 0)
        return complain("admin.address is no address", NULL);
    if (!addr_is_unix(out) && addr_port(out) == 0)
        return complain("admin.address has port 0: nobody knows which one the gateway got", NULL);
    return addr_is_wildcard(out) ? to_loopback(out) : 0;
}

/* What connecting and each sending or receiving may still take. */
static bool limit_waiting(int fd, uint64_t until_us)
{
    uint64_t now = clock_us_now(), left = until_us > now ? until_us - now : 0;
    struct timeval t = {.tv_sec = (time_t)(left / 1000000),
                        .tv_usec = (suseconds_t)(left % 1000000)};

    return left > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) == 0;
}

/* Reads the beginning of the answer, in which its status stands. */
static int read_status(int fd, uint64_t until_us)
{
    char answer[64] = "";
    size_t len = 0;
    int status;

    while (len < sizeof(answer) - 1 && limit_waiting(fd, until_us)) {
        ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return sscanf(answer, "HTTP/1.1 %3d", &status) == 1 ? status : 0;
}

static int ask(int fd, const struct addr *at)
{
    static const char request[] =
        "GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    uint64_t until_us = clock_us_now() + PATIENCE_US;

    if (!limit_waiting(fd, until_us) || connect(fd, &at->sa, at->len) < 0 ||
        send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
        return complain("the admin address does not answer", strerror(errno));
    int status = read_status(fd, until_us);
    if (status == 200)
        return CLI_FINE;
    return complain(status ? "not ready" : "the admin address gives no answer", NULL);
}

int cli_health(const struct cli *cli)
{
    struct arena *a = arena_new_heap(16 * KIB);
    const char *file = load_file(cli->config);
    struct addr at;
    int status = file ? read_address(file, a, &at) : load_no_file();

    if (status == CLI_FINE) {
        int fd = socket(at.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        status = fd < 0 ? complain("no socket", strerror(errno)) : ask(fd, &at);
        if (fd >= 0)
            close(fd);
    }
    arena_free(a);
    return status;
}
