/* SPDX-License-Identifier: Apache-2.0 */

/* What a message says about being kept: Cache-Control of requests and responses (RFC 9111, 5.2; RFC 5861) and
 * CDN-Cache-Control of responses (RFC 9213), read once into numbers.
 *
 * Names are compared without case. A number that is none counts as 0, so that what is written wrongly is stale rather
 * than fresh (RFC 9111, 4.2.1); of several the smallest holds; one too large is CACHE_SECONDS_MAX. */

#ifndef DML_HTTP_CACHE_CONTROL_H
#define DML_HTTP_CACHE_CONTROL_H

#include "base/base.h"
#include "base/slice.h"
#include "http/headers.h"

/* RFC 9111, 1.2.2. */
#define CACHE_SECONDS_MAX 2147483648

struct cache_control {
    bool is_there; /* the field was */
    bool no_store, no_cache, no_transform, must_understand, only_if_cached;
    bool must_revalidate, proxy_revalidate, is_public, is_private;
    bool max_stale_any; /* max-stale without a number */

    /* "no-cache" and "private" with names: only those fields are meant; a list field, or absent. Point into the field. */
    struct slice no_cache_names, private_names;

    /* Seconds; -1: not there. */
    int64_t max_age, s_maxage, min_fresh, max_stale, stale_while_revalidate, stale_if_error;
};

/* From all Cache-Control fields of a message. */
void cache_control_read(const struct headers *h, struct cache_control *out);

/* From CDN-Cache-Control, a structured field. False when there is none that keeps its grammar; then Cache-Control holds. */
bool cache_control_read_targeted(const struct headers *h, struct cache_control *out);

/* Delta-seconds (RFC 9111, 1.2.2): -1 when it is no number. */
int64_t cache_seconds(struct slice text);

#endif
