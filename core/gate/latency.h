/* SPDX-License-Identifier: Apache-2.0 */

/* How slow an endpoint is, in one word that all workers share: the peak of its latency, which
 * decays. A slower answer is believed at once, faster ones with time (half of the difference after
 * about 7 s), and one that is not asked counts as faster the longer that lasts, so that it is
 * tried again in the end.
 *
 * The word holds microseconds (as a float) above the millisecond of the last note; 0 = never
 * noted. Any thread. */

#ifndef DML_GATE_LATENCY_H
#define DML_GATE_LATENCY_H

#include <stdatomic.h>

#include "base/base.h"

/* Time in which what was known fades to 1/e. */
#define LATENCY_DECAY_MS 10000

/* An attempt took so long, at this moment (clock_ms). */
void latency_note(atomic_ullong *cell, uint64_t us, uint64_t now_ms);

/* Microseconds; 0 = nothing is known. */
double latency_at(const atomic_ullong *cell, uint64_t now_ms);

#endif
