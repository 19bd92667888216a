/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RIG_H
#define RIG_H

/* A whole gateway on one loop for tests of the gate: a configuration, a listener, an origin that the test plays with raw
 * sockets, a client, and hooks that are C functions instead of Lua. */

#include "gate/exchange.h"
#include "gate/gateway.h"
#include "support/loopback.h"
#include "support/wires.h"

struct rig;

typedef enum phase_result (*rig_hook_fn)(struct rig *rig, struct exchange *x);

struct rig {
    struct gateway gateway;
    struct listener_quota quota;
    struct listener *listener;
    struct addr at; /* where it listens */
    int origin;     /* listening socket of the upstream "origin" */
    struct addr origin_at;
    struct phase_host host;
    struct plugin_host plugins;
    rig_hook_fn hooks[PHASE_COUNT];
    uint32_t mask;            /* phases that the plugin "fake" has, set before rig_start */
    struct exchange *waiting; /* whose hook has said PHASE_WAITS: set by the hook */
    int calls[PHASE_COUNT];
    int rests[PHASE_COUNT]; /* how often the hooks behind one that failed were to run */
    int cancelled, forgotten;
    int last_status, last_err;   /* seen at the log phase */
    struct inbox client, server; /* what the client and the origin have read */
};

/* more: YAML behind the upstream "origin" and the routes' beginning, see rig.c; routes: the items of `routes:`. */
void rig_start(struct rig *rig, const char *routes);
void rig_stop(struct rig *rig);

int rig_connect(struct rig *rig);
/* Turns until the gateway has connected to the origin. */
int rig_accept(struct rig *rig);

/* Turns until what was read from fd into in has text in it. */
void rig_expect(struct rig *rig, struct inbox *in, int fd, const char *text);
/* ... until fd is at its end. */
void rig_expect_end(struct rig *rig, struct inbox *in, int fd);

void inbox_clear(struct inbox *in);

#endif
