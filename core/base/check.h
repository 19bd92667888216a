/* SPDX-License-Identifier: Apache-2.0 */

/* A bug is not an error. REQUIRE: cannot go on, the process ends with the place. CHECK: logs the
 * place once, counts it, and is an expression that is false when the condition failed, so that the
 * caller can recover:
 *     if (!CHECK(x->state == EXCHANGE_WAIT)) return ERR_ARG; */

#ifndef DML_BASE_CHECK_H
#define DML_BASE_CHECK_H

#include "base/base.h"

#define REQUIRE(cond) \
    ((void)(LIKELY(cond) || (check_abort(__FILE__, __LINE__, __func__, #cond), 0)))
#define CHECK(cond) (LIKELY(cond) || check_failed(__FILE__, __LINE__, __func__, #cond))

NORETURN void check_abort(const char *file, int line, const char *func, const char *cond);

/* Returns false always. Any thread. */
bool check_failed(const char *file, int line, const char *func, const char *cond);

/* How many CHECKs have failed in this process, over all threads. */
uint64_t check_failures(void);

#endif
