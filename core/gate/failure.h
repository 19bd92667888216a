/* SPDX-License-Identifier: Apache-2.0 */

/* A set of outcomes of attempts: what counts as a failure for a plugin that tries again or that breaks the
 * circuit. Made once of words, then a lookup of some bits per attempt.
 *
 *     connect reset timeout protocol    kinds of failure, as attempt_error_word says them
 *     503  5xx                          statuses of a response head
 *     grpc:unavailable                  grpc-status of a response head without messages, by name
 */

#ifndef DML_GATE_FAILURE_H
#define DML_GATE_FAILURE_H

#include "base/base.h"
#include "base/slice.h"

struct attempt;

enum failure_kind { FAILURE_CONNECT, FAILURE_RESET, FAILURE_TIMEOUT, FAILURE_PROTOCOL };

struct failure_set {
    uint32_t kinds, grpc;                  /* bits */
    uint8_t statuses[(600 - 100 + 7) / 8]; /* bits, from 100 */
};

/* ERR_SYNTAX: no such word. */
MUST_CHECK int failure_add(struct failure_set *set, struct slice word);

/* What an attempt whose head or failure is known has come to. A failure of the gateway's own (a full limit, no
 * endpoint, given up) is never in a set: it says nothing of the upstream. */
bool failure_has(const struct failure_set *set, const struct attempt *a);

/* It failed by the gateway's own doing. */
bool failure_is_own(const struct attempt *a);

#endif
