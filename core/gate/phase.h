/* SPDX-License-Identifier: Apache-2.0 */

/* The phases of an exchange, and the table through which others run hooks in them. The gate knows nothing of what a
 * hook is: the script floor fills the table in with Lua, tests with C functions.
 *
 * A hook's outcome lies in the exchange: a reply (exchange_reply), an attempt's verdict, a changed chunk. What run
 * returns says only whether it has finished. */

#ifndef DML_GATE_PHASE_H
#define DML_GATE_PHASE_H

#include "base/base.h"
#include "base/slice.h"

struct exchange;
struct snapshot;
struct tls_handshake;
struct tls_hello;
struct wire_peer;
struct plugin_use;
struct conf;
struct faults;

enum phase {
    PHASE_CERTIFICATE,
    PHASE_REWRITE,
    PHASE_ACCESS,
    PHASE_BALANCE,
    PHASE_ATTEMPT,
    PHASE_RESPONSE,
    PHASE_BODY,
    PHASE_LOG,
    PHASE_START,
    PHASE_STOP,
    PHASE_COUNT,
    PHASE_NONE = PHASE_COUNT,
};

#define PHASE_BIT(p) (1u << (p))

const char *phase_name(enum phase p);

enum phase_result {
    PHASE_DONE,  /* all hooks of the phase have run, or one has replied */
    PHASE_WAITS, /* exchange_phase_done will be called, from the loop */
    PHASE_FAILED, /* a hook raised and its place does not say continue: the exchange ends in 500; no later hook ran */
};

/* One per worker and configuration (the worker's view of a snapshot: struct plan). */
struct phase_host {
    const struct phase_host_ops *ops;
};

struct phase_host_ops {
    /* Runs the chain of the exchange for p. Only called when the exchange's chains have hooks of p. */
    enum phase_result (*run)(struct phase_host *h, struct exchange *x, enum phase p);

    /* After PHASE_FAILED: runs the hooks of p behind the one that failed. What they see is the 500. */
    enum phase_result (*go_on)(struct phase_host *h, struct exchange *x, enum phase p);

    /* A client has said hello on a listener with TLS: runs the certificate hooks of the global chain, and ends in tls_go_on
     * or tls_refuse (net/tls.h). Only called when the chain has such hooks. listener: as it is written. */
    void (*certificate)(struct phase_host *h, struct tls_handshake *shaking,
                        const struct tls_hello *hello, const struct wire_peer *peer,
                        struct slice listener);

    /* The client left or a deadline passed while a hook waits: its wait and all later ones end with "cancelled".
     * exchange_phase_done follows (perhaps before this returns). */
    void (*cancel)(struct phase_host *h, struct exchange *x);

    /* The exchange ends: forget what belongs to its handle. Called only when it ever ran a hook. */
    void (*forget)(struct phase_host *h, struct exchange *x);

    /* No exchange runs a hook of it any more. What plugins do in the background must have ended at that time of
     * clock_ms. */
    void (*free)(struct phase_host *h, uint64_t by_ms);
};

/* Asked while a snapshot is built, on the building thread. Implemented by the script floor; tests and a gateway
 * without Lua have none. */
struct plugin_host {
    const struct plugin_host_ops *ops;
};

struct arena;

struct plugin_host_ops {
    /* Loads the plugin `use->name`, checks use->config against its schema and compiles its templates, which may name
     * the parameters of use->route (any where that is NULL); sets use->hooks and use->converted. Of the route what
     * stands in front of its chain is there. Faults are added; returns false when there were any. */
    bool (*check)(struct plugin_host *h, struct plugin_use *use, struct faults *faults);

    /* Is `plugin` told to stand after `other`? (plugin's `after` list) */
    bool (*stands_after)(struct plugin_host *h, const struct plugin_use *plugin,
                         const struct plugin_use *other);

    /* Does it guard (`guards = true`)? */
    bool (*guards)(struct plugin_host *h, const struct plugin_use *plugin);

    /* Does it answer CORS preflights (`answers_preflights = true`)? NULL: none does. */
    bool (*answers_preflights)(struct plugin_host *h, const struct plugin_use *plugin);

    /* May a route whose plugin it is have nothing else that answers (`answers = true`)? NULL: none may. */
    bool (*answers)(struct plugin_host *h, const struct plugin_use *plugin);

    /* Does it look at what stands beside it (`remark`)? And what it says of another plugin of its chain, or of a template
     * that a key of its route has: a warning in the arena, or absent. NULL: none does. */
    bool (*looks_around)(struct plugin_host *h, const struct plugin_use *plugin);
    struct slice (*remark)(struct plugin_host *h, const struct plugin_use *plugin,
                           const struct plugin_use *other, struct arena *a);
    struct slice (*remark_of_key)(struct plugin_host *h, const struct plugin_use *plugin,
                                  struct slice key, struct slice template, struct arena *a);

    /* What to say where credentials stand under this name and no plugin takes them ("not installed ..."); absent when one
     * does. In the arena. NULL: all can. */
    struct slice (*missing)(struct plugin_host *h, struct slice name, struct arena *a);

    /* Holds all consumers' credentials of a kind, the name of a plugin that is not missing, against what that plugin says
     * of them. Faults are added, each at its credential. NULL: all are good. */
    void (*credentials)(struct plugin_host *h, struct slice kind, struct faults *faults);

    /* Notes the files of the plugins that were asked for (faults_saw), and where those that are not there would be. NULL:
     * there are none. */
    void (*saw)(struct plugin_host *h, struct faults *faults);
};

#endif
