/* SPDX-License-Identifier: Apache-2.0 */

/* PCRE2 with JIT. Compiled once at configuration time, used by all threads; match data and JIT
 * stacks are per thread. A match limit bounds backtracking. */

#ifndef DML_BASE_REGEX_H
#define DML_BASE_REGEX_H

#include "base/base.h"
#include "base/slice.h"

struct regex;

enum { REGEX_CASELESS = 1, REGEX_UTF = 2 };

/* On failure NULL; message (size bytes) says what and *offset where in the pattern. */
struct regex *regex_new(struct slice pattern, unsigned flags, char *message, size_t size,
                        size_t *offset);
void regex_free(struct regex *re);

/* Number of groups set + 1 (as pcre2_match), 0 = no match, ERR_LIMIT when the match limit was hit.
 * groups[0] is the whole match; at most ngroups are filled, unset groups are absent. groups may be
 * NULL. */
int regex_match(const struct regex *re, struct slice subject, size_t from, struct slice *groups,
                int ngroups);

/* Number of a named group, or ERR_NOT_FOUND; how many groups there are. */
int regex_group(const struct regex *re, const char *name);
int regex_group_count(const struct regex *re);

#endif
