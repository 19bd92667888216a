/* SPDX-License-Identifier: Apache-2.0 */

/* The list is a plain array in order of arrival: a request has some ten fields, and walking them
 * beats any index.
 *
 * header_id looks at a name as two words, its first and its last eight bytes (which overlap in
 * most names, and are the same in short ones). They are hashed into a small table, and compared
 * with the known name, ignoring at its letters (and only there) the bit that makes a letter small.
 * The table is made from header.def before main runs. */

#include "http/headers.h"

#include <string.h>

#include "base/check.h"

enum { NAME_MAX_LEN = 32, SLOTS = 512 };

static const struct slice names[HEADER_COUNT] = {
#define HEADER(id, text, bits) [HEADER_##id] = {text, sizeof(text) - 1},
#include "http/header.def"
#undef HEADER
};

static const uint8_t flags[HEADER_COUNT] = {
#define HEADER(id, text, bits) [HEADER_##id] = (bits),
#include "http/header.def"
#undef HEADER
};

struct words {
    uint64_t first, last;
};

struct known {
    struct words bits; /* of the name under the mask */
    struct words mask; /* all but the bit that makes a letter small */
};

static struct known known[HEADER_COUNT];

static uint8_t slots[SLOTS]; /* ids, 0 = free */

_Static_assert(HEADER_COUNT <= 256, "ids fit a byte");

static uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* All of 1 to 7 bytes. */
static uint64_t load_short(const char *p, size_t len)
{
    uint32_t first, last;

    if (len < 4)
        return (uint8_t)p[0] | (uint64_t)(uint8_t)p[len / 2] << 8 |
               (uint64_t)(uint8_t)p[len - 1] << 16;
    memcpy(&first, p, sizeof(first));
    memcpy(&last, p + len - 4, sizeof(last));
    return first | (uint64_t)last << 32;
}

static struct words words_of(const char *p, size_t len)
{
    if (len >= 8)
        return (struct words){load8(p), load8(p + len - 8)};
    uint64_t all = load_short(p, len);
    return (struct words){all, all};
}

static unsigned slot_of(struct words w, size_t len)
{
    /* Or-ing 0x20 makes letters small; what it does to other bytes only costs a miss. */
    uint64_t small = 0x2020202020202020u;
    uint64_t sum = (w.first | small) + (w.last | small) * 3 + len;

    return (unsigned)((sum * 0xc2b2ae3d27d4eb4fu) >> 48) & (SLOTS - 1);
}

__attribute__((constructor)) static void make_slots(void)
{
    for (unsigned id = 1; id < HEADER_COUNT; id++) {
        struct slice name = names[id];
        char bits[NAME_MAX_LEN], mask[NAME_MAX_LEN];

        REQUIRE(name.len <= NAME_MAX_LEN);
        for (size_t i = 0; i < name.len; i++) {
            char small = name.ptr[i] | 0x20;
            mask[i] = (char)(small >= 'a' && small <= 'z' ? ~0x20 : ~0);
            bits[i] = name.ptr[i] & mask[i];
        }
        known[id] = (struct known){words_of(bits, name.len), words_of(mask, name.len)};
        unsigned slot = slot_of(known[id].bits, name.len);
        while (slots[slot] != 0)
            slot = (slot + 1) & (SLOTS - 1);
        slots[slot] = (uint8_t)id;
    }
}

/* Of at most sixteen bytes the words are all there is. */
static bool has_words(enum header_id id, size_t len, struct words w)
{
    const struct known *k = &known[id];

    return names[id].len == len && (w.first & k->mask.first) == k->bits.first &&
           (w.last & k->mask.last) == k->bits.last;
}

static NOINLINE enum header_id probe(unsigned slot, struct slice name, struct words w)
{
    for (; slots[slot] != 0; slot = (slot + 1) & (SLOTS - 1)) {
        enum header_id id = slots[slot];
        if (has_words(id, name.len, w) && slice_eq_nocase(name, names[id]))
            return id;
    }
    return HEADER_OTHER;
}

enum header_id header_id(struct slice name)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return HEADER_OTHER;
    struct words w = words_of(name.ptr, name.len);
    unsigned slot = slot_of(w, name.len);
    if (LIKELY(name.len <= 16 && has_words(slots[slot], name.len, w)))
        return slots[slot];
    return probe(slot, name, w);
}

const char *header_name(enum header_id id)
{
    return id > HEADER_OTHER && id < HEADER_COUNT ? names[id].ptr : "";
}

unsigned header_flags(enum header_id id)
{
    return flags[id];
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
    if (UNLIKELY(h->n == h->cap))
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
    return headers_add_as(h, id, names[id], value);
}

/* A name to look for: by id when it is a known one. */
static bool matches(const struct field *f, enum header_id id, struct slice name)
{
    if (f->id != id)
        return false;
    return id != HEADER_OTHER || (f->name.len == name.len && slice_eq_nocase(f->name, name));
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
    HEADERS_EACH(f, h)
    {
        if (f->id == id)
            return f;
    }
    return NULL;
}

struct field *headers_find_name(const struct headers *h, struct slice name)
{
    return find_from(h, 0, header_id(name), name);
}

struct field *headers_next(const struct headers *h, const struct field *after)
{
    return find_from(h, (uint32_t)(after - h->items) + 1, (enum header_id)after->id, after->name);
}

/* The value, with those of the lines of the same name behind it. */
static struct slice joined(const struct headers *h, const struct field *first)
{
    if (first == NULL)
        return SLICE_NONE;
    if (flags[first->id] & HEADER_SINGLE)
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
    return joined(h, find_from(h, 0, header_id(name), name));
}

struct slice headers_get_id(const struct headers *h, enum header_id id)
{
    return joined(h, headers_find(h, id));
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
    headers_set_as(h, id, names[id], value);
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
    return remove_from(h, 0, id, names[id]);
}

static char fold_lookalike(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c | 0x20);
    return c == '_' ? '-' : c;
}

enum likeness { LIKENESS_NONE, LIKENESS_SAME, LIKENESS_LOOKS };

/* Of two names of one length. They look alike when '_' counts as '-', and yet are not the same. */
static NOINLINE enum likeness likeness_of(struct slice a, struct slice b)
{
    if (slice_eq_nocase(a, b))
        return LIKENESS_SAME;
    for (size_t i = 0; i < a.len; i++) {
        if (fold_lookalike(a.ptr[i]) != fold_lookalike(b.ptr[i]))
            return LIKENESS_NONE;
    }
    return LIKENESS_LOOKS;
}

bool headers_look_alike(struct slice a, struct slice b)
{
    return a.len == b.len && likeness_of(a, b) == LIKENESS_LOOKS;
}

struct field *headers_clear(struct headers *h, enum header_id id, struct slice name,
                            bool only_those)
{
    char first_char = fold_lookalike(*name.ptr);
    struct field *first = NULL;

    HEADERS_EACH(f, h)
    {
        enum likeness likeness = LIKENESS_SAME;

        if (f->name.len != name.len || fold_lookalike(*f->name.ptr) != first_char)
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
