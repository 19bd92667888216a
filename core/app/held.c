/* SPDX-License-Identifier: Apache-2.0 */

/* Short lists, looked through at starts, reloads and ends only. */

#include "app/held.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

void held_init(struct held *h)
{
    list_init(&h->groups);
}

void held_deinit(struct held *h)
{
    held_drop(h, SLICE_NONE);
}

struct held_group *held_find(struct held *h, struct slice name)
{
    LIST_EACH (link, &h->groups) {
        struct held_group *g = container_of(link, struct held_group, link);
        if (slice_eq(slice_from(g->name), name))
            return g;
    }
    return NULL;
}

void held_add(struct held *h, struct slice name, int fd, pid_t from)
{
    struct held_group *g = held_find(h, name);

    if (!g) {
        g = calloc(1, sizeof(*g));
        REQUIRE(g != NULL);
        g->name = strndup(name.ptr, name.len);
        REQUIRE(g->name != NULL);
        list_append(&h->groups, &g->link);
    }
    vec_push(&g->sockets, (struct held_socket){fd, from});
}

void held_group_free(struct held_group *g)
{
    list_remove(&g->link);
    vec_free(&g->sockets);
    free(g->name);
    free(g);
}

struct held_group *held_take(struct held *h, struct slice name)
{
    struct held_group *g = held_find(h, name);

    if (g)
        list_remove(&g->link);
    return g;
}

/* from 0: all of them. */
static void drop(struct held_group *g, pid_t from)
{
    size_t kept = 0;

    for (size_t i = 0; i < g->sockets.n; i++) {
        struct held_socket s = g->sockets.items[i];
        if (from && s.from != from)
            g->sockets.items[kept++] = s;
        else
            close(s.fd);
    }
    g->sockets.n = kept;
    if (kept == 0)
        held_group_free(g);
}

void held_drop(struct held *h, struct slice name)
{
    LIST_EACH (link, &h->groups) {
        struct held_group *g = container_of(link, struct held_group, link);
        if (name.len == 0 || slice_eq(slice_from(g->name), name))
            drop(g, 0);
    }
}

void held_drop_from(struct held *h, pid_t from)
{
    LIST_EACH (link, &h->groups)
        drop(container_of(link, struct held_group, link), from);
}

void held_settle(struct held *h)
{
    LIST_EACH (link, &h->groups) {
        struct held_group *g = container_of(link, struct held_group, link);
        for (size_t i = 0; i < g->sockets.n; i++)
            g->sockets.items[i].from = 0;
    }
}

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof(on);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

int held_receive(struct held *h, struct note *note, pid_t from)
{
    bool is_fine = note->len > 0 && note->nfds > 0 && !memchr(note->text, '\0', note->len);

    for (int i = 0; i < note->nfds; i++)
        is_fine = is_fine && is_listening(note->fds[i]);
    if (!is_fine) {
        note_close_fds(note);
        return ERR_PROTOCOL;
    }
    for (int i = 0; i < note->nfds; i++)
        held_add(h, note_text(note), note->fds[i], from);
    note->nfds = 0;
    return 0;
}

int held_send_fds(int fd, struct slice name, const int *fds, size_t n, int timeout_ms)
{
    int rc = 0;

    for (size_t at = 0; rc == 0 && at < n; at += NOTE_FDS_MAX)
        rc = note_send(fd, NOTE_SOCKET, (uint32_t)at, name, fds + at,
                       (int)MIN(n - at, (size_t)NOTE_FDS_MAX), timeout_ms);
    return rc;
}

int held_send(const struct held *h, int fd, int timeout_ms)
{
    LIST_EACH (link, &h->groups) {
        const struct held_group *g = container_of(link, struct held_group, link);
        int *fds = calloc(g->sockets.n, sizeof(*fds));
        REQUIRE(fds != NULL);
        for (size_t i = 0; i < g->sockets.n; i++)
            fds[i] = g->sockets.items[i].fd;
        int rc = held_send_fds(fd, slice_from(g->name), fds, g->sockets.n, timeout_ms);
        free(fds);
        if (rc < 0)
            return rc;
    }
    return 0;
}
