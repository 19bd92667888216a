/* SPDX-License-Identifier: Apache-2.0 */

/* A listener of the configuration before is found by its address; of several with the same (port 0) each counts once. */

#include "app/listening.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/listen_fault.h"
#include "app/sockets.h"
#include "base/buf.h"
#include "base/check.h"
#include "gate/snapshot.h"

static int *new_ints(size_t n)
{
    int *ints = calloc(n + 1, sizeof(*ints));

    REQUIRE(ints != NULL);
    for (size_t i = 0; i < n; i++)
        ints[i] = -1;
    return ints;
}

static bool is_kept(const struct listening *l, int old)
{
    for (uint32_t i = 0; i < l->nlisteners; i++)
        if (l->old[i] == old)
            return true;
    return false;
}

static int find_old(const struct listening *l, const struct addr *a, const struct snapshot *before)
{
    for (uint32_t k = 0; before && k < before->nlisteners; k++)
        if (addr_eq(&before->listeners[k].addr, a) && !is_kept(l, (int)k))
            return (int)k;
    return -1;
}

/* Those that stay need no other descriptors, but tell where they are bound. */
static bool open_one(struct listening *l, struct sockets *s, const struct listener_conf *c,
                     struct addr *at)
{
    int *own = new_ints((size_t)l->nworkers);
    bool is_open = sockets_open(s, &c->addr, own, at) == 0;
    int error = errno;

    for (int n = 0; is_open && n < l->nworkers; n++) {
        if (l->old[c->index] < 0)
            listening_fds(l, n)[c->index] = own[n];
        else
            close(own[n]);
    }
    free(own);
    errno = error;
    return is_open;
}

static void note_address(struct buf *text, const struct addr *at)
{
    char address[ADDR_TEXT];

    addr_print(at, address, sizeof(address));
    int rc = buf_printf(text, "%s%s", buf_len(text) ? " " : "", address);
    (void)rc; /* a list too long for a log line */
}

bool listening_open(struct listening *l, struct sockets *s, int nworkers,
                    const struct snapshot *now, const struct snapshot *before,
                    struct faults *faults)
{
    size_t errors = faults->nerrors, len;
    struct buf text;

    *l = (struct listening){.nlisteners = now->nlisteners, .nworkers = nworkers};
    l->fds = new_ints((size_t)nworkers * l->nlisteners);
    l->old = new_ints(l->nlisteners);
    buf_init(&text, MIB);
    for (uint32_t i = 0; i < l->nlisteners; i++) {
        const struct listener_conf *c = &now->listeners[i];
        struct addr at;
        l->old[i] = find_old(l, &c->addr, before);
        if (open_one(l, s, c, &at))
            note_address(&text, &at);
        else
            listen_fault(faults, conf_get(c->place, SLICE("address")),
                         arena_printf(faults->arena, "listeners[%u].address", i), &c->addr, errno);
    }
    l->text = buf_take(&text, &len);
    return faults->nerrors == errors;
}

int *listening_fds(struct listening *l, int worker)
{
    return l->fds + (size_t)worker * l->nlisteners;
}

char *listening_take_text(struct listening *l)
{
    char *text = l->text;

    l->text = NULL;
    return text;
}

void listening_deinit(struct listening *l)
{
    for (size_t i = 0; i < (size_t)l->nworkers * l->nlisteners; i++)
        if (l->fds[i] >= 0)
            close(l->fds[i]);
    free(l->fds);
    free(l->old);
    free(l->text);
}
