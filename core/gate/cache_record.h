/* SPDX-License-Identifier: Apache-2.0 */

/* A kept response as bytes, for a tier that other gateways read. Whole numbers are little endian, texts have their length
 * before them, a sum stands at the end:
 *
 *   "DMR1" status fields flags, when it came (wall clock, ms), age, lifetime, stale-while-revalidate, stale-if-error (s),
 *   key variant, name value ..., content, sum
 *
 * Reading trusts nothing: what is too short or too long, has another sum, a length beyond its end, or a head that no
 * upstream could have sent, is no record. Whether it is the one that was asked for is the caller's to compare. */

#ifndef DML_GATE_CACHE_RECORD_H
#define DML_GATE_CACHE_RECORD_H

#include "base/buf.h"
#include "http/cacheable.h"

#define CACHE_RECORD_FIELDS_MAX 256

struct cache_record {
    struct slice key, variant;
    struct message head;    /* status and headers */
    struct cache_life life; /* but for came_ms: see came_wall_ms */
    int64_t came_wall_ms;   /* since 1970 */
    struct slice body;
};

/* Appends it to out. ERR_LIMIT: too many fields; ERR_FULL: out's cap. */
MUST_CHECK int cache_record_write(const struct cache_record *r, struct buf *out);

/* Its texts point into `bytes`, the list of fields lies in the arena. ERR_SYNTAX: it is none. */
MUST_CHECK int cache_record_read(struct slice bytes, struct arena *a, struct cache_record *out);

#endif
