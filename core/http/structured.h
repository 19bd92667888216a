/* SPDX-License-Identifier: Apache-2.0 */

/* Dictionaries of structured fields (RFC 8941, 3.2), as far as a cache reads them: the members one after another. A
 * field that breaks the grammar anywhere counts as absent (RFC 8941, 4.2), so it is gone through once as a whole before
 * its members are looked at. */

#ifndef DML_HTTP_STRUCTURED_H
#define DML_HTTP_STRUCTURED_H

#include "base/base.h"
#include "base/slice.h"

enum structured_kind {
    STRUCTURED_INTEGER,
    STRUCTURED_TRUE, /* a bare key, too */
    STRUCTURED_FALSE,
    STRUCTURED_OTHER, /* decimals, texts, tokens, bytes, inner lists */
};

struct structured_member {
    struct slice key;
    enum structured_kind kind;
    int64_t integer; /* STRUCTURED_INTEGER: at most 15 digits */
};

bool structured_is_dictionary(struct slice field);

/* The next member of what is one. False at the end. */
bool structured_next(struct slice *rest, struct structured_member *out);

#endif
