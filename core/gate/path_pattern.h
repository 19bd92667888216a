/* SPDX-License-Identifier: Apache-2.0 */

/* The patterns that stand in a route's `paths`: exact text, {name} one segment, {name...} the rest,
 * "/x/" and a star = "/x" and all below it, "~ ^/re$" a regular expression. */

#ifndef DML_GATE_PATH_PATTERN_H
#define DML_GATE_PATH_PATTERN_H

#include "base/arena.h"
#include "base/slice.h"
#include "gate/route.h"

#define PATTERN_SEGMENTS_MAX 64

enum segment_kind {
    SEGMENT_TEXT,
    SEGMENT_PARAM, /* {name}: one segment that is not empty */
    SEGMENT_REST,  /* {name...}: what follows the slash, slashes included, perhaps nothing */
    SEGMENT_BELOW, /* the star: nothing, or a slash and anything */
};

struct segment {
    enum segment_kind kind;
    struct slice text; /* literal, or the parameter's name */
};

/* Fills *out; false with a message in *error (in the arena). A regex is freed with the arena. */
bool path_pattern_parse(struct slice text, struct arena *a, struct route_path *out,
                        struct slice *error);

/* Takes the next segment from the front of *rest, which starts as the pattern. False at the end. */
bool path_pattern_next(struct slice *rest, struct segment *out);

/* Does the pattern take this (normalised) path? */
bool path_pattern_fits(const struct route_path *p, struct slice path);

/* Does every path that it takes begin with `prefix`, at a segment's border? */
bool path_pattern_begins(const struct route_path *p, struct slice prefix);

#endif
