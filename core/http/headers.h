/* SPDX-License-Identifier: Apache-2.0 */

/* Header fields: an ordered list in an arena. Names that the gateway itself looks at have an id
 * (header.def), so that finding them is a compare of small integers. Names and values are
 * slices: of a receive buffer, of the arena, or of constants; whoever adds one guarantees that
 * it lives as long as the arena.
 *
 * A removed field leaves a hole (name.ptr NULL) that walks must skip: use HEADERS_EACH. */

#ifndef DML_HTTP_HEADERS_H
#define DML_HTTP_HEADERS_H

#include "base/arena.h"
#include "base/base.h"
#include "base/slice.h"

/* header.def: HEADER(NAME, "Canonical-Name", flags). HEADER_OTHER is 0. */
enum header_id {
    HEADER_OTHER,
#define HEADER(name, text, flags) HEADER_##name,
#include "http/header.def"
#undef HEADER
    HEADER_COUNT
};

enum {
    HEADER_HOP = 1, /* of one connection (RFC 9110, 7.6.1): never gets past the codec */
    HEADER_FRAMING =
        2, /* the codec writes it by itself: content-length, transfer-encoding, trailer... */
    HEADER_SINGLE = 4,     /* not a list: several lines of it are not joined (set-cookie, ...) */
    HEADER_NO_TRAILER = 8, /* may not stand in a trailer section (RFC 9110, 6.5.1) */
    HEADER_TARGET = 16,    /* host: the codec reads it, and in requests it writes it */
};

struct field {
    struct slice name;  /* as received or set; ptr NULL = removed */
    struct slice value; /* without blanks around it */
    uint16_t id;        /* enum header_id */
    uint16_t note;      /* of who owns the list; 0 at first */
};

struct headers {
    /* borrowed */
    struct arena *arena;
    /* owned (by the arena) */
    struct field *items;
    /* state */
    uint32_t n, cap;
};

#define HEADERS_EACH(f, h) \
    for (struct field *f = (h)->items, *f##_end = (h)->n > 0 ? f + (h)->n : f; f < f##_end; f++) \
        if (f->name.ptr != NULL)

void headers_init(struct headers *h, struct arena *a, uint32_t cap);

/* Id of a name in any case; HEADER_OTHER when unknown. A few nanoseconds. */
enum header_id header_id(struct slice name);
const char *header_name(enum header_id id); /* canonical spelling, "Content-Type" */
unsigned header_flags(enum header_id id);

/* Appends; borrows both slices. */
struct field *headers_add(struct headers *h, struct slice name, struct slice value);
struct field *headers_add_id(struct headers *h, enum header_id id, struct slice value);

/* First one, or NULL. */
struct field *headers_find(const struct headers *h, enum header_id id);
struct field *headers_find_name(const struct headers *h, struct slice name);
struct field *headers_next(const struct headers *h,
                           const struct field *after); /* the next with after's name */

/* All values of a list field joined by ", " (in the arena when there are several); absent when
 * there is none. The first value only for HEADER_SINGLE fields. */
struct slice headers_get(const struct headers *h, struct slice name);
struct slice headers_get_id(const struct headers *h, enum header_id id);

/* Replaces all of that name by one, where the first stood; appends when there was none. */
void headers_set(struct headers *h, struct slice name, struct slice value);
void headers_set_id(struct headers *h, enum header_id id, struct slice value);

/* The same for a name whose id is known already. */
struct field *headers_add_as(struct headers *h, enum header_id id, struct slice name,
                             struct slice value);
void headers_set_as(struct headers *h, enum header_id id, struct slice name, struct slice value);
int headers_remove_as(struct headers *h, enum header_id id, struct slice name);

/* Are they one name but for '_' in the place of '-'? */
bool headers_look_alike(struct slice a, struct slice b);

/* In one pass: removes the spellings of a name that differ from it in '_' for '-' (X_Consumer), since many servers can't
 * tell the two apart, and, unless `only_those`, the fields of that name too. Returns the first of these, which is left
 * as it was but for its name, or NULL. */
struct field *headers_clear(struct headers *h, enum header_id id, struct slice name,
                            bool only_those);

/* Returns how many there were. */
int headers_remove(struct headers *h, struct slice name);
int headers_remove_id(struct headers *h, enum header_id id);

#endif
