/* SPDX-License-Identifier: Apache-2.0 */

/* The list is a plain array in order of arrival: a request has some ten fields, and walking them
 * beats any index.
 *
 * header_id hashes the length and three letters into a small table, then compares eight bytes at
 * a time: against the lower-case name, ignoring at its letters (and only there) the bit that
 * makes a letter a capital. The table is made from header.def before main runs. */

#include "http/headers.h"

#include <string.h>

#include "base/check.h"

enum { NAME_MAX_LEN = 32, SLOTS = 512 };

struct known {
    char lower[NAME_MAX_LEN];
    char fold[NAME_MAX_LEN]; /* 0x20 where lower has a letter */
    uint8_t len;
    uint8_t flags;
    const char *name;
};

static struct known known[HEADER_COUNT] = {
#define HEADER(id, text, bits) [HEADER_##id] = {.name = text, .flags = (bits)},
#include "http/header.def"
#undef HEADER
};

static uint8_t slots[SLOTS]; /* ids, 0 = free */

_Static_assert(HEADER_COUNT <= 256, "ids fit a byte");

static unsigned slot_of(const char *p, size_t len)
{
    /* Or-ing 0x20 makes letters small; what it does to other bytes only costs a miss. */
    unsigned first = (uint8_t)p[0] | 0x20u;
    unsigned middle = (uint8_t)p[len / 2] | 0x20u;
    unsigned last = (uint8_t)p[len - 1] | 0x20u;

    return ((unsigned)len * 37 + first * 5 + middle * 23 + last * 83) & (SLOTS - 1);
}

__attribute__((constructor)) static void make_slots(void)
{
    for (unsigned id = 1; id < HEADER_COUNT; id++) {
        struct known *k = &known[id];
        size_t len = strlen(k->name);

        REQUIRE(len <= NAME_MAX_LEN);
        k->len = (uint8_t)len;
        for (size_t i = 0; i < len; i++) {
            bool letter = (k->name[i] | 0x20) >= 'a' && (k->name[i] | 0x20) <= 'z';
            k->lower[i] = (char)(letter ? k->name[i] | 0x20 : k->name[i]);
            k->fold[i] = letter ? 0x20 : 0;
        }
        unsigned slot = slot_of(k->name, len);
        while (slots[slot] != 0)
            slot = (slot + 1) & (SLOTS - 1);
        slots[slot] = (uint8_t)id;
    }
}

static uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* s.len == k->len. */
static bool is_name(const struct known *k, struct slice s)
{
    uint64_t diff = 0;

    if (s.len < 8) {
        for (size_t i = 0; i < s.len; i++)
            diff |= (uint64_t)((s.ptr[i] ^ k->lower[i]) & ~k->fold[i]);
        return diff == 0;
    }
    for (size_t i = 0; i + 8 <= s.len; i += 8)
        diff |= (load8(s.ptr + i) ^ load8(k->lower + i)) & ~load8(k->fold + i);
    size_t tail = s.len - 8;
    diff |= (load8(s.ptr + tail) ^ load8(k->lower + tail)) & ~load8(k->fold + tail);
    return diff == 0;
}

enum header_id header_id(struct slice name)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return HEADER_OTHER;
    for (unsigned slot = slot_of(name.ptr, name.len); slots[slot] != 0;
         slot = (slot + 1) & (SLOTS - 1)) {
        const struct known *k = &known[slots[slot]];
        if (k->len == name.len && is_name(k, name))
            return (enum header_id)slots[slot];
    }
    return HEADER_OTHER;
}

const char *header_name(enum header_id id)
{
    return id > HEADER_OTHER && id < HEADER_COUNT ? known[id].name : "";
}

unsigned header_flags(enum header_id id)
{
    return known[id].flags;
}

static struct slice name_of(enum header_id id)
{
    return slice_of(known[id].name, known[id].len);
}

void headers_init(struct headers *h, struct arena *a, uint32_t cap)
{
    *h = (struct headers){.arena = a, .cap = cap};
    if (cap > 0)
        h->items = arena_alloc(a, cap * sizeof(h->items[0]));
}

static void grow(struct headers *h)
{
    uint32_t cap = h->cap ? h->cap * 2 : 16;
    struct field *items = arena_alloc(h->arena, cap * sizeof(items[0]));

    if (h->n > 0)
        memcpy(items, h->items, h->n * sizeof(items[0]));
    h->items = items;
    h->cap = cap;
}

struct field *headers_add_as(struct headers *h, enum header_id id, struct slice name,
                             struct slice value)
{
    if (h->n == h->cap)
        grow(h);
    struct field *f = &h->items[h->n++];
    *f = (struct field){.name = name, .value = value, .id = (uint16_t)id};
    return f;
}

struct field *headers_add(struct headers *h, struct slice name, struct slice value)
{
    return headers_add_as(h, header_id(name), name, value);
}

struct field *headers_add_id(struct headers *h, enum header_id id, struct slice value)
{
    return headers_add_as(h, id, name_of(id), value);
}

/* A name to look for: by id when it is a known one. */
static bool matches(const struct field *f, enum header_id id, struct slice name)
{
    if (f->id != id)
        return false;
    return id != HEADER_OTHER || slice_eq_nocase(f->name, name);
}

static struct field *find_from(const struct headers *h, uint32_t from, enum header_id id,
                               struct slice name)
{
    for (uint32_t i = from; i < h->n; i++) {
        if (h->items[i].name.ptr != NULL && matches(&h->items[i], id, name))
            return &h->items[i];
    }
    return NULL;
}

struct field *headers_find(const struct headers *h, enum header_id id)
{
    return find_from(h, 0, id, name_of(id));
}

struct field *headers_find_name(const struct headers *h, struct slice name)
{
    return find_from(h, 0, header_id(name), name);
}

struct field *headers_next(const struct headers *h, const struct field *after)
{
    return find_from(h, (uint32_t)(after - h->items) + 1, (enum header_id)after->id, after->name);
}

static struct slice get(const struct headers *h, enum header_id id, struct slice name)
{
    const struct field *first = find_from(h, 0, id, name);

    if (first == NULL)
        return SLICE_NONE;
    if (known[id].flags & HEADER_SINGLE)
        return first->value;

    size_t len = first->value.len;
    const struct field *f = first;
    while ((f = headers_next(h, f)) != NULL)
        len += 2 + f->value.len;
    if (len == first->value.len)
        return first->value;

    char *text = arena_alloc(h->arena, len), *p = text;
    for (f = first; f != NULL; f = headers_next(h, f)) {
        if (f != first)
            p = mempcpy(p, ", ", 2);
        p = mempcpy(p, f->value.ptr, f->value.len);
    }
    return slice_of(text, len);
}

struct slice headers_get(const struct headers *h, struct slice name)
{
    return get(h, header_id(name), name);
}

struct slice headers_get_id(const struct headers *h, enum header_id id)
{
    return get(h, id, name_of(id));
}

static int remove_from(struct headers *h, uint32_t from, enum header_id id, struct slice name)
{
    int n = 0;

    for (uint32_t i = from; i < h->n; i++) {
        struct field *f = &h->items[i];
        if (f->name.ptr != NULL && matches(f, id, name)) {
            f->name = SLICE_NONE;
            n++;
        }
    }
    return n;
}

void headers_set_as(struct headers *h, enum header_id id, struct slice name, struct slice value)
{
    struct field *f = find_from(h, 0, id, name);

    if (f == NULL) {
        headers_add_as(h, id, name, value);
        return;
    }
    remove_from(h, (uint32_t)(f - h->items) + 1, id, name);
    f->name = name;
    f->value = value;
}

void headers_set(struct headers *h, struct slice name, struct slice value)
{
    headers_set_as(h, header_id(name), name, value);
}

void headers_set_id(struct headers *h, enum header_id id, struct slice value)
{
    headers_set_as(h, id, name_of(id), value);
}

int headers_remove_as(struct headers *h, enum header_id id, struct slice name)
{
    return remove_from(h, 0, id, name);
}

int headers_remove(struct headers *h, struct slice name)
{
    return remove_from(h, 0, header_id(name), name);
}

int headers_remove_id(struct headers *h, enum header_id id)
{
    return remove_from(h, 0, id, name_of(id));
}

static char fold_lookalike(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c | 0x20);
    return c == '_' ? '-' : c;
}

enum likeness { LIKENESS_NONE, LIKENESS_SAME, LIKENESS_LOOKS };

/* Of two names of one length. They look alike when '_' counts as '-', and yet are not the same. */
static enum likeness likeness_of(struct slice a, struct slice b)
{
    bool differs = false;

    for (size_t i = 0; i < a.len; i++) {
        if (a.ptr[i] == b.ptr[i])
            continue;
        if (fold_lookalike(a.ptr[i]) != fold_lookalike(b.ptr[i]))
            return LIKENESS_NONE;
        differs |= (a.ptr[i] == '_') != (b.ptr[i] == '_');
    }
    return differs ? LIKENESS_LOOKS : LIKENESS_SAME;
}

struct field *headers_clear(struct headers *h, enum header_id id, struct slice name,
                            bool only_those)
{
    struct field *first = NULL;

    HEADERS_EACH(f, h)
    {
        enum likeness likeness = LIKENESS_SAME;

        if (f->name.len != name.len)
            continue;
        if (id == HEADER_OTHER || f->id != id)
            likeness = likeness_of(f->name, name);
        if (likeness == LIKENESS_NONE || (likeness == LIKENESS_SAME && only_those))
            continue;
        f->name = SLICE_NONE;
        if (likeness == LIKENESS_SAME && !first)
            first = f;
    }
    return first;
}
