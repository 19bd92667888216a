/* SPDX-License-Identifier: Apache-2.0 */

/* Error codes. An operation returns 0 (or a count) or one of these negative values; the texts and
 * the HTTP statuses come from err.def. */

#ifndef DML_BASE_ERR_H
#define DML_BASE_ERR_H

#include "base/base.h"

enum err_ordinal {
#define ERR(name, word, status) ERR_ORDINAL_##name,
#include "base/err.def"
#undef ERR
    ERR_COUNT
};

enum err {
    ERR_NONE = 0,
#define ERR(name, word, status) ERR_##name = -1 - ERR_ORDINAL_##name,
#include "base/err.def"
#undef ERR
};

/* The stable word of a code ("timeout"); "ok" for 0 and above, "unknown" for a code that does not
 * exist. */
const char *err_word(int code);

/* The status that the gateway answers when this code ends an exchange; 500 for a code that does not
 * exist. */
int err_status(int code);

/* Translates an errno value of a socket call (ECONNREFUSED, EPIPE, ...) into a code. */
int err_from_errno(int errno_value);

#endif
