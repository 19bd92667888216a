/* SPDX-License-Identifier: Apache-2.0 */

/* The admin endpoint: HTTP on the control thread's loop, by the core's own server wires. admin.c is the listener and says
 * who may ask for what; the pages are in admin_pages.c, admin_upstreams.c, admin_breakers.c and metrics_page.c. */

#ifndef DML_APP_ADMIN_H
#define DML_APP_ADMIN_H

#include "base/arena.h"
#include "base/buf.h"
#include "http/message.h"

struct admin;
struct control;
struct faults;
struct json_writer;
struct reload_report;
struct snapshot;

/* Opens the address of a snapshot (in a round of sockets.h) for admin_change: *fd is -1 when it has none. False and a
 * fault when it can't be had. */
bool admin_open(struct control *c, const struct snapshot *s, int *fd, struct faults *faults);

/* The endpoint of c->snapshot: a, changed, or a new one (NULL: off, and it never was on). fd is taken over. Connections to
 * an address that is left end with the answer under way. */
struct admin *admin_change(struct admin *a, struct control *c, int fd);
/* Another gateway answers here now: accepts no more, and what is open ends with its next answer. */
void admin_retire(struct admin *a);
void admin_free(struct admin *a);

/* The address that was bound, or "off". */
const char *admin_address(const struct admin *a);

/* --- pages ----------------------------------------------------------------------------------------------------------- */

/* One answer while it is made. */
struct admin_answer {
    /* borrowed */
    const struct control *control;
    const struct message *request;
    struct arena *arena;
    const struct reload_report *report; /* of the reload that was asked for; NULL: there is none */
    struct slice content;               /* of the request, where the page reads it */
    /* owned */
    struct buf body;
    /* state */
    int status;       /* 200 unless the page says otherwise */
    const char *type; /* application/json unless the page says otherwise */
};

/* In place of a page: application/problem+json (RFC 9457). */
void admin_problem(struct admin_answer *answer, int status, const char *detail);
/* The same, for a page that has more to say: its members, into the object that w has begun. */
void admin_put_problem(struct json_writer *w, struct admin_answer *answer, int status,
                       const char *detail);

/* Writes the body. ERR_FULL when it is too long. */
typedef int (*admin_page_fn)(struct admin_answer *answer);

MUST_CHECK int admin_page_live(struct admin_answer *answer);
MUST_CHECK int admin_page_ready(struct admin_answer *answer);
MUST_CHECK int admin_page_config(struct admin_answer *answer);
MUST_CHECK int admin_page_routes(struct admin_answer *answer);
MUST_CHECK int admin_page_upstreams(struct admin_answer *answer);
MUST_CHECK int admin_page_drain(struct admin_answer *answer);
MUST_CHECK int admin_page_enable(struct admin_answer *answer);
MUST_CHECK int admin_page_breaker_open(struct admin_answer *answer);
MUST_CHECK int admin_page_breaker_close(struct admin_answer *answer);
MUST_CHECK int admin_page_breaker_auto(struct admin_answer *answer);
MUST_CHECK int admin_page_plugins(struct admin_answer *answer);
MUST_CHECK int admin_page_purge(struct admin_answer *answer);
MUST_CHECK int admin_page_reload(struct admin_answer *answer);
MUST_CHECK int metrics_page(struct admin_answer *answer);

/* The n-th segment of the path, decoded; absent when it can't be. */
struct slice admin_segment(const struct admin_answer *answer, int n);

/* For /upstreams: the list of circuit breakers. */
void admin_put_breakers(struct json_writer *w);

/* For /config: why the last reload failed. */
void admin_put_last_reload(struct json_writer *w, const struct control *c);

#endif
