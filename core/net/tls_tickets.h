/* SPDX-License-Identifier: Apache-2.0 */

/* The keys under which sessions travel as tickets: one ring for the whole process, outside of any
 * configuration, so that sessions live through reloads, and as bytes to a new binary. A key is used
 * for an hour; those before it are kept for as long as a ticket of theirs may come. Any thread. */

#ifndef DML_NET_TLS_TICKETS_H
#define DML_NET_TLS_TICKETS_H

#include "base/base.h"
#include "base/slice.h"

#define TLS_TICKET_LIFETIME_S 7200

struct tls_ticket_key {
    uint64_t made_s; /* since 1970 */
    uint8_t name[16];
    uint8_t cipher[32];
    uint8_t mac[32];
};

/* The key for new tickets. */
void tls_tickets_current(struct tls_ticket_key *out);

enum tls_ticket_found { TLS_TICKET_NONE, TLS_TICKET_CURRENT, TLS_TICKET_OLD };

/* The key of this name. */
enum tls_ticket_found tls_tickets_find(const uint8_t name[16], struct tls_ticket_key *out);

#define TLS_TICKETS_BYTES 512 /* at most */

/* The ring as bytes, for a process that follows on this machine; how many. They are secret. */
size_t tls_tickets_export(uint8_t out[TLS_TICKETS_BYTES]);

/* In place of the ring there was. ERR_SYNTAX: it is none, and nothing has changed. */
MUST_CHECK int tls_tickets_import(struct slice bytes);

#endif
