/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NAME_SERVER_H
#define NAME_SERVER_H

/* A DNS server over UDP on a test's own loop. It knows the names of a table and counts what it is
 * asked. */

#include "base/base.h"
#include "net/watch.h"

enum name_answer { NAME_ADDRS, NAME_ABSENT, NAME_BROKEN, NAME_SILENT };

struct name_record {
    const char *name;
    enum name_answer answer; /* NAME_BROKEN: SERVFAIL */
    const char *ipv4[70];    /* up to NULL */
    const char *ipv6[4];
    uint32_t ttl_s;
};

struct name_server {
    /* owned */
    struct watch watch; /* and its descriptor */
    /* borrowed */
    struct name_record *records; /* the test may change them; ended by a name of NULL */
    /* state */
    char address[32]; /* "127.0.0.1:port" */
    int queries;      /* for A: one for each lookup */
};

void name_server_start(struct name_server *s, struct loop *l, struct name_record *records);
void name_server_stop(struct name_server *s);

#endif
