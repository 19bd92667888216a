/* SPDX-License-Identifier: Apache-2.0 */

/* What has been purged here and is still to be told to a tier that others share: in order, each until it has been taken
 * over. When there are too many, one that means everything stands for all. Any thread. */

#ifndef DML_SIDE_RESPONSE_PURGES_H
#define DML_SIDE_RESPONSE_PURGES_H

#include "base/base.h"
#include "base/slice.h"

enum response_purge { RESPONSE_PURGE_KEY, RESPONSE_PURGE_PREFIX, RESPONSE_PURGE_TAG };

struct response_purges;

#define RESPONSE_PURGES_MAX 1024
#define RESPONSE_PURGE_TEXT_MAX 16384 /* what is longer means nothing that is kept */

struct response_purges *response_purges_new(void);
void response_purges_free(struct response_purges *p);

void response_purges_add(struct response_purges *p, enum response_purge what, struct slice text);

/* The oldest; text has room for RESPONSE_PURGE_TEXT_MAX, number is for response_purges_done. False: there is none. */
MUST_CHECK bool response_purges_first(struct response_purges *p, uint64_t *number,
                                      enum response_purge *what, char *text, size_t *len);
void response_purges_done(struct response_purges *p, uint64_t number);

/* May one of those that are left be about a response of this key? Whose tags are not known. */
bool response_purges_mean(struct response_purges *p, struct slice key);

#endif
