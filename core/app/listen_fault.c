/* SPDX-License-Identifier: Apache-2.0 */

/* The system's own words are kept, and what they mean for a listener is put behind them. */

#include "app/listen_fault.h"

#include <errno.h>
#include <string.h>

#include "app/privileges.h"

#define FIRST_FREE_PORT 1024

static const char *no_access(const struct addr *a)
{
    if (addr_is_unix(a))
        return "its folder may not be written to";
    if (addr_port(a) >= FIRST_FREE_PORT)
        return "the system does not let this process have it";
    return privileges_are_dropped()
               ? "the privileges for ports below 1024 were given up for `user`: a restart takes it"
               : "ports below 1024 are for root (then see `user`) and for CAP_NET_BIND_SERVICE";
}

static const char *taken(struct faults *faults, const struct addr *a)
{
    if (addr_is_unix(a))
        return "another program accepts on it: `ss -lxp` names it";
    return arena_printf(faults->arena,
                        "does another program use this port? `ss -ltnp sport = :%u` names it",
                        addr_port(a))
        .ptr;
}

static const char *hint(struct faults *faults, const struct addr *a, int error)
{
    switch (error) {
    case EADDRINUSE: return taken(faults, a);
    case EACCES:
    case EPERM: return no_access(a);
    case EADDRNOTAVAIL: return "no interface of this machine has this address";
    case EAFNOSUPPORT: return "this machine has no IPv6";
    case EMFILE: return "raise the limit of file descriptors: ulimit -n, LimitNOFILE=";
    case EEXIST: return "that file is no socket, and is left alone";
    case ENOENT:
    case ENOTDIR: return "its folder must be there";
    case EROFS: return "sockets need a folder that can be written to";
    default: return NULL;
    }
}

void listen_fault(struct faults *faults, const struct conf *node, struct slice path,
                  const struct addr *a, int error)
{
    const char *more = hint(faults, a, error);
    char text[ADDR_TEXT];

    addr_print(a, text, sizeof(text));
    fault_system(faults, node, path, "can't listen on %s: %s%s%s%s", text, strerror(error),
                 more ? " (" : "", more ? more : "", more ? ")" : "");
}
