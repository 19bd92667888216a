/* SPDX-License-Identifier: Apache-2.0 */

/* The connection is counted by the worker's listener from the moment that it takes it; here it is let go at once. */

#include "app/stragglers.h"

#include <stdlib.h>

#include "app/control.h"
#include "app/sockets.h"
#include "app/worker.h"
#include "base/check.h"
#include "base/vec.h"

struct straggler {
    struct listener *listener; /* owned; NULL once it has ended */
    struct control *control;
    int number; /* of the listener in the snapshot */
};

struct stragglers {
    VEC(struct straggler *) all;
    struct control *control;
    int turn; /* the worker that gets the next one */
};

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer,
                      const struct addr *local UNUSED)
{
    struct straggler *one = owner;
    struct control *c = one->control;
    struct stragglers *s = c->stragglers;

    listener_released(ln);
    worker_take(c->workers[s->turn++ % c->nworkers], one->number, fd, peer);
}

static void on_surplus(void *arg, int nth, int fd)
{
    struct stragglers *s = arg;
    struct straggler *one = calloc(1, sizeof(*one));

    REQUIRE(one != NULL);
    one->control = s->control;
    one->number = nth;
    one->listener = listener_start(s->control->loop, fd, &s->control->quota, on_accept, one);
    vec_push(&s->all, one);
}

struct stragglers *stragglers_start(struct control *c)
{
    struct stragglers *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    s->control = c;
    sockets_surplus(c->sockets, on_surplus, s);
    if (s->all.n > 0)
        return s;
    free(s);
    return NULL;
}

void stragglers_end(struct stragglers *s)
{
    for (size_t i = 0; s && i < s->all.n; i++) {
        struct straggler *one = s->all.items[i];
        if (!one->listener)
            continue;
        listener_drain(one->listener);
        listener_free(one->listener);
        one->listener = NULL;
    }
}

void stragglers_free(struct stragglers *s)
{
    if (!s)
        return;
    stragglers_end(s);
    for (size_t i = 0; i < s->all.n; i++)
        free(s->all.items[i]);
    vec_free(&s->all);
    free(s);
}
