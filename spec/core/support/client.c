/* SPDX-License-Identifier: Apache-2.0 */

#include "support/client.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer,
                      const struct addr *local)
{
    struct client *c = owner;

    inbound_accept(c->set, &(struct inbound_from){.listener = ln,
                                                  .listener_index = 3,
                                                  .fd = fd,
                                                  .peer = peer,
                                                  .local = local,
                                                  .tls = c->tls,
                                                  .is_trusted = true,
                                                  .has_proxy_header = c->has_proxy_header});
}

void client_again(struct client *c)
{
    size_t n = inbound_count(c->set);

    c->fd = loopback_connect(&c->at);
    TURN_UNTIL(c->ws.env.loop, inbound_count(c->set) == n + 1);
    c->inbox.len = 0;
    c->inbox.eof = c->inbox.reset = false;
}

int client_setup(void **state)
{
    struct client *c = calloc(1, sizeof(*c));
    int fd;

    wires_init(&c->ws);
    c->set = inbound_set_new(&c->ws.env, &ear_acceptor, &c->ear);
    c->quota.max = 10000;
    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &c->at), 0);
    assert_int_equal(listener_open(&c->at, false, &fd), 0);
    assert_int_equal(listener_address(fd, &c->at), 0);
    c->listener = listener_start(c->ws.env.loop, fd, &c->quota, on_accept, c);
    client_again(c);
    *state = c;
    return 0;
}

int client_teardown(void **state)
{
    struct client *c = *state;

    ear_done(&c->ear);
    if (c->fd >= 0)
        close(c->fd);
    inbound_set_free(c->set);
    loop_turn(c->ws.env.loop, 0);
    assert_int_equal(atomic_load(&c->quota.open), 0);
    listener_free(c->listener);
    wires_deinit(&c->ws);
    free(c);
    return 0;
}

void client_turn(struct client *c)
{
    for (int i = 0; i < 3; i++)
        loop_turn(c->ws.env.loop, 0);
    while (inbox_read(&c->inbox, c->fd))
        ;
}

void client_pass(struct client *c, int64_t ms)
{
    clock_advance_ms(ms);
    loop_turn(c->ws.env.loop, 0);
    loop_turn(c->ws.env.loop, 0);
}

bool client_got(struct client *c, const char *text)
{
    return strstr(c->inbox.text, text) != NULL;
}

void client_forget(struct client *c)
{
    c->inbox.len = 0;
    c->inbox.text[0] = '\0';
}

void client_deliver(struct client *c, const char *bytes, int mode)
{
    size_t len = strlen(bytes);

    while (len > 0) {
        size_t n = mode == 0 ? len : mode == 1 ? 1 : 1 + (size_t)rand() % 20;
        n = MIN(n, len);
        if (send(c->fd, bytes, n, MSG_NOSIGNAL) < 0)
            return; /* refused already */
        bytes += n;
        len -= n;
        loop_turn(c->ws.env.loop, 0);
    }
}
