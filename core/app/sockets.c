/* SPDX-License-Identifier: Apache-2.0 */

/* A short list: looked through at start and at reloads only. Workers get copies, so that a worker which stops listening
 * closes its own, and the address stays ours until sockets_close. A unix socket's file is removed when the last copy is
 * closed, which we are not told: it is looked for at the next occasion and in the end. */

#include "app/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "net/listener.h"

struct place {
    struct list link;
    struct addr asked, bound;
    int fds[]; /* one per worker */
};

struct sockets {
    /* owned */
    struct list places;
    struct list left; /* places on unix sockets that were closed; the files may be there */
    /* state */
    int nworkers;
};

static struct place *find(struct sockets *s, const struct addr *a)
{
    LIST_EACH (link, &s->places) {
        struct place *p = container_of(link, struct place, link);
        if (addr_eq(&p->asked, a))
            return p;
    }
    return NULL;
}

static void place_close(struct sockets *s, struct place *p)
{
    int kept = errno;

    for (int n = 0; n < s->nworkers; n++)
        if (p->fds[n] >= 0)
            close(p->fds[n]);
    list_remove(&p->link);
    errno = kept;
}

static void place_free(struct sockets *s, struct place *p)
{
    place_close(s, p);
    free(p);
}

static void remove_files(struct sockets *s)
{
    LIST_EACH (link, &s->left)
        listener_remove_file(&container_of(link, struct place, link)->bound);
}

static void free_left(struct sockets *s)
{
    struct list *link;

    while ((link = list_pop(&s->left)) != NULL)
        free(container_of(link, struct place, link));
}

/* Alone first: sockets that share an address would not find out that another program of this user has it. */
static int probe(const struct addr *a)
{
    int fd;

    if (!addr_port(a))
        return 0;
    int rc = listener_open(a, false, &fd);
    if (rc == 0)
        close(fd);
    return rc;
}

/* One for all, since a path can't be bound twice. */
static int open_unix(struct sockets *s, struct place *p)
{
    int rc = listener_open(&p->bound, false, &p->fds[0]);

    for (int n = 1; rc == 0 && n < s->nworkers; n++) {
        p->fds[n] = fcntl(p->fds[0], F_DUPFD_CLOEXEC, 0);
        rc = p->fds[n] < 0 ? ERR_SYSTEM : 0;
    }
    return rc;
}

static int open_all(struct sockets *s, struct place *p)
{
    if (addr_is_unix(&p->bound))
        return open_unix(s, p);
    for (int n = 0; n < s->nworkers; n++) {
        int rc = listener_open(&p->bound, true, &p->fds[n]);
        if (rc == 0 && n == 0)
            rc = listener_address(p->fds[n], &p->bound);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static struct place *place_new(struct sockets *s, const struct addr *a)
{
    struct place *p = calloc(1, sizeof(*p) + (size_t)s->nworkers * sizeof(p->fds[0]));

    REQUIRE(p != NULL);
    p->asked = p->bound = *a;
    for (int n = 0; n < s->nworkers; n++)
        p->fds[n] = -1;
    list_append(&s->places, &p->link);
    if (probe(a) == 0 && open_all(s, p) == 0)
        return p;
    place_free(s, p);
    return NULL;
}

static int copy_all(const struct sockets *s, const struct place *p, int *fds)
{
    for (int n = 0; n < s->nworkers; n++) {
        fds[n] = fcntl(p->fds[n], F_DUPFD_CLOEXEC, 0);
        if (fds[n] >= 0)
            continue;
        int kept = errno;
        while (n-- > 0)
            close(fds[n]);
        errno = kept;
        return ERR_SYSTEM;
    }
    return 0;
}

struct sockets *sockets_new(int nworkers)
{
    struct sockets *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    s->nworkers = nworkers;
    list_init(&s->places);
    list_init(&s->left);
    return s;
}

void sockets_free(struct sockets *s)
{
    sockets_close(s, NULL);
    remove_files(s);
    free_left(s);
    free(s);
}

int sockets_open(struct sockets *s, const struct addr *a, int *fds, struct addr *at)
{
    struct place *p = find(s, a);
    bool is_new = !p;

    remove_files(s);
    if (is_new)
        p = place_new(s, a);
    if (!p)
        return ERR_SYSTEM;
    *at = p->bound;
    int rc = copy_all(s, p, fds);
    if (rc < 0 && is_new)
        place_free(s, p);
    return rc;
}

void sockets_close(struct sockets *s, const struct addr *a)
{
    LIST_EACH (link, &s->places) {
        struct place *p = container_of(link, struct place, link);
        if (a && !addr_eq(&p->asked, a))
            continue;
        place_close(s, p);
        if (addr_is_unix(&p->bound))
            list_append(&s->left, &p->link);
        else
            free(p);
    }
}
