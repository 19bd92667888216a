/* SPDX-License-Identifier: Apache-2.0 */

/* A short list: looked through at start and at reloads only. Workers get copies, so that a worker which stops listening
 * closes its own, and the address stays ours until sockets_close.
 *
 * Sockets of a group that nobody accepts from yet (opened for a gateway that is not ready), or that no worker has, must
 * get no connections: then the group is steered to the others.
 *
 * A unix socket's file is removed when the last copy is closed, which we are not told: it is looked for at the next
 * occasion and in the end. */

#include "app/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/lifeline.h"
#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "net/listener.h"

#define NAME_SIZE (ADDR_TEXT + 16)

struct place {
    struct list link;
    struct addr asked, bound;
    int nth;        /* of those that ask for this address: only port 0 may be had more than once */
    int opened;     /* the sockets_open of this round that it belongs to; -1: none yet */
    size_t nused;   /* the sockets that somebody accepts from; the others are surplus */
    size_t nfresh;  /* opened in this round */
    bool is_single; /* of sockets_open_one */
    bool
        is_other; /* it was the other kind before, or may have been: the mode of its file is to be set */
    VEC(int) fds;
};

struct sockets {
    /* owned */
    struct list places;
    VEC(struct addr) left; /* unix addresses that were closed; the files may be there */
    /* borrowed */
    struct lifeline *lifeline; /* or NULL */
    /* state */
    int nworkers;
    int nopened; /* in this round */
};

/* --- places ---------------------------------------------------------------------------------------------------------- */

static struct slice name_of(const struct place *p, char *out)
{
    size_t len = addr_print(&p->asked, out, ADDR_TEXT);

    if (p->nth > 0)
        len += (size_t)snprintf(out + len, NAME_SIZE - len, "#%d", p->nth);
    return slice_of(out, len);
}

static struct place *place_new(struct sockets *s, const struct addr *a, int nth)
{
    struct place *p = calloc(1, sizeof(*p));

    REQUIRE(p != NULL);
    p->asked = p->bound = *a;
    p->nth = nth;
    p->opened = -1;
    list_append(&s->places, &p->link);
    return p;
}

/* The sockets behind the first n. */
static void place_cut(struct place *p, size_t n)
{
    int kept = errno;

    while (p->fds.n > n)
        close(vec_pop(&p->fds));
    errno = kept;
}

static void place_free(struct sockets *s, struct place *p)
{
    place_cut(p, 0);
    if (addr_is_unix(&p->bound))
        vec_push(&s->left, p->bound);
    vec_free(&p->fds);
    list_remove(&p->link);
    free(p);
}

static void remove_files(struct sockets *s)
{
    for (size_t i = 0; i < s->left.n; i++)
        listener_remove_file(&s->left.items[i]);
}

static bool is_shared(const struct place *p)
{
    return !addr_is_unix(&p->asked);
}

static struct place *find(struct sockets *s, const struct addr *a, int nth)
{
    LIST_EACH (link, &s->places) {
        struct place *p = container_of(link, struct place, link);
        if (addr_eq(&p->asked, a) && p->nth == nth)
            return p;
    }
    return NULL;
}

/* What the supervisor has under this name. */
static void inherit(struct sockets *s, struct place *p)
{
    char name[NAME_SIZE];
    struct held_group *g =
        s->lifeline ? held_take(lifeline_held(s->lifeline), name_of(p, name)) : NULL;

    if (!g)
        return;
    for (size_t i = 0; i < g->sockets.n; i++)
        vec_push(&p->fds, g->sockets.items[i].fd);
    held_group_free(g);
    REQUIRE(listener_address(p->fds.items[0], &p->bound) == 0);
}

/* --- opening --------------------------------------------------------------------------------------------------------- */

/* Alone first: sockets that share an address would not find out that another program of this user has it. */
static int probe(const struct place *p)
{
    int fd;

    if (!addr_port(&p->bound) || p->fds.n > 0)
        return 0;
    int rc = listener_open(&p->bound, false, &fd);
    if (rc == 0)
        close(fd);
    return rc;
}

static int open_missing(struct place *p, size_t wanted)
{
    int fd, rc = 0;

    while (rc == 0 && p->fds.n < wanted) {
        rc = p->is_single ? listener_open_private(&p->bound, &fd)
                          : listener_open(&p->bound, is_shared(p), &fd);
        if (rc < 0)
            break;
        vec_push(&p->fds, fd);
        p->nfresh++;
        if (p->fds.n == 1)
            rc = listener_address(fd, &p->bound);
    }
    return rc;
}

static int copy(const struct place *p, int n, int *fds)
{
    for (int i = 0; i < n; i++) {
        fds[i] = fcntl(p->fds.items[(size_t)i % p->fds.n], F_DUPFD_CLOEXEC, 0);
        if (fds[i] >= 0)
            continue;
        int kept = errno;
        while (i-- > 0)
            close(fds[i]);
        errno = kept;
        return ERR_SYSTEM;
    }
    return 0;
}

/* Makes room for n who accept, and gives each a copy. */
static int place_open(struct sockets *s, struct place *p, int n, int *fds)
{
    size_t had = p->fds.n, wanted = is_shared(p) ? (size_t)n : 1;
    char name[NAME_SIZE];
    int rc = probe(p);

    if (rc == 0 && had > 0 && had < wanted)
        listener_steer(p->fds.items[0], (unsigned)had);
    if (rc == 0)
        rc = open_missing(p, wanted);
    if (rc == 0)
        rc = copy(p, n, fds);
    if (rc < 0) {
        p->nfresh -= p->fds.n - had;
        place_cut(p, had);
        return rc;
    }
    if (s->lifeline && p->fds.n > had)
        lifeline_keep(s->lifeline, name_of(p, name), p->fds.items + had, p->fds.n - had);
    p->nused = wanted;
    return 0;
}

/* The next place of this address in this round. NULL with errno set: it is another's. */
static struct place *place_for(struct sockets *s, const struct addr *a, bool is_single)
{
    int nth = 0;
    struct place *p = find(s, a, 0);

    while (p && p->opened >= 0 && !addr_port(a) && !addr_is_unix(a))
        p = find(s, a, ++nth);
    if (p && p->opened >= 0 && p->is_single != is_single) {
        errno = EADDRINUSE;
        return NULL;
    }
    if (p) {
        p->is_other = p->is_single != is_single;
    } else {
        p = place_new(s, a, nth);
        inherit(s, p);
        p->is_other = is_single && p->fds.n > 0;
    }
    p->is_single = is_single;
    return p;
}

static int open_for(struct sockets *s, const struct addr *a, int n, bool is_single, int *fds,
                    struct addr *at)
{
    struct place *p = place_for(s, a, is_single);

    if (!p)
        return ERR_SYSTEM;
    int rc = place_open(s, p, n, fds);
    if (rc == 0 && p->is_other && (rc = listener_set_private(&p->bound, is_single)) < 0)
        for (int i = 0; i < n; i++)
            close(fds[i]);
    if (rc == 0) {
        p->opened = s->nopened++;
        *at = p->bound;
    } else if (p->fds.n == 0) {
        place_free(s, p);
    }
    return rc;
}

int sockets_open(struct sockets *s, const struct addr *a, int *fds, struct addr *at)
{
    return open_for(s, a, s->nworkers, false, fds, at);
}

int sockets_open_one(struct sockets *s, const struct addr *a, int *fd, struct addr *at)
{
    return open_for(s, a, 1, true, fd, at);
}

/* --- rounds ---------------------------------------------------------------------------------------------------------- */

struct sockets *sockets_new(int nworkers, struct lifeline *lifeline)
{
    struct sockets *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    s->nworkers = nworkers;
    s->lifeline = lifeline;
    list_init(&s->places);
    return s;
}

void sockets_free(struct sockets *s)
{
    LIST_EACH (link, &s->places)
        place_free(s, container_of(link, struct place, link));
    remove_files(s);
    vec_free(&s->left);
    free(s);
}

void sockets_begin(struct sockets *s)
{
    s->nopened = 0;
    remove_files(s);
    LIST_EACH (link, &s->places) {
        struct place *p = container_of(link, struct place, link);
        p->opened = -1;
        p->nfresh = 0;
    }
}

void sockets_surplus(struct sockets *s, sockets_surplus_fn fn, void *arg)
{
    LIST_EACH (link, &s->places) {
        const struct place *p = container_of(link, struct place, link);
        for (size_t i = p->nused; p->opened >= 0 && i < p->fds.n; i++) {
            int fd = fcntl(p->fds.items[i], F_DUPFD_CLOEXEC, 0);
            if (fd >= 0)
                fn(arg, p->opened, fd);
        }
    }
}

static void drop(struct sockets *s, struct place *p)
{
    char name[NAME_SIZE];

    if (s->lifeline)
        lifeline_drop(s->lifeline, name_of(p, name));
    place_free(s, p);
}

/* What the supervisor held and nobody has asked for. */
static void drop_strangers(struct lifeline *l)
{
    struct held *held = lifeline_held(l);

    LIST_EACH (link, &held->groups) {
        const struct held_group *g = container_of(link, struct held_group, link);
        lifeline_drop(l, slice_from(g->name));
    }
    held_drop(held, SLICE_NONE);
}

void sockets_keep(struct sockets *s)
{
    LIST_EACH (link, &s->places) {
        struct place *p = container_of(link, struct place, link);
        if (p->opened < 0)
            drop(s, p);
        else if (is_shared(p) && p->fds.n > 1)
            listener_steer(p->fds.items[0], p->fds.n > p->nused ? (unsigned)p->nused : 0);
    }
    if (s->lifeline)
        drop_strangers(s->lifeline);
}

void sockets_undo(struct sockets *s)
{
    LIST_EACH (link, &s->places) {
        struct place *p = container_of(link, struct place, link);
        if (p->nfresh == p->fds.n)
            drop(s, p);
    }
}

void sockets_close(struct sockets *s, const struct addr *a)
{
    if (!a && s->lifeline)
        lifeline_drop(s->lifeline, SLICE_NONE);
    LIST_EACH (link, &s->places) {
        struct place *p = container_of(link, struct place, link);
        if (!a)
            place_free(s, p);
        else if (addr_eq(&p->asked, a))
            drop(s, p);
    }
}
