/* SPDX-License-Identifier: Apache-2.0 */

/* Upstream connections without sockets, for tests of who holds which connection when: the tests
 * link these instead of the real ones of http/outbound.c. A connection is made at the end of the
 * turn, or is refused, or never answers, as the test says by its port. */

#ifndef FAKE_OUTBOUND_H
#define FAKE_OUTBOUND_H

#include "http/outbound.h"

enum fake_answer { FAKE_ACCEPTS, FAKE_REFUSES, FAKE_SILENT, FAKE_LACKS /* descriptors */ };

/* How connections to this port end from now on; all ports accept at first. Before threads start. */
void fake_outbound_port(uint16_t port, enum fake_answer answer);
void fake_outbound_reset(void);

/* Open (or opening) now, and made so far, over all threads; the most that were ever open at
 * once. */
int fake_outbound_open(void);
int fake_outbound_made(void);
int fake_outbound_most(void);

/* Addresses tried so far, printed, separated by blanks. */
const char *fake_outbound_tried(void);

/* fn runs inside the next outbound_detach, once: what another worker does at just that moment. */
void fake_outbound_at_detach(void (*fn)(void));

/* One exchange is carried, and the connection is idle again. */
void fake_outbound_carry(struct outbound *o);

/* The peer closes it: noticed at once, or, on a detached one, when it is attached. */
void fake_outbound_peer_closes(struct outbound *o);

#endif
