/* SPDX-License-Identifier: Apache-2.0 */

/* Both directions go through the numbers in the same order; a reader that has run out of bytes gives zeros and says so in
 * the end. */

#include "gate/cache_record.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/text.h"

#define MAGIC SLICE("DMR1")
#define SUM_SIZE 8
#define FLAG_VALIDATE 1u
#define FLAG_NEVER_STALE 2u
#define FLAG_SHARED 4u

/* --- writing --------------------------------------------------------------------------------------------------------- */

static int put_number(struct buf *out, uint64_t n, size_t size)
{
    char bytes[8];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(n >> (8 * i));
    return buf_add(out, slice_of(bytes, size));
}

static int put_text(struct buf *out, struct slice text)
{
    int rc = text.len > UINT32_MAX ? ERR_LIMIT : put_number(out, text.len, 4);

    return rc < 0 ? rc : buf_add(out, text);
}

static int put_numbers(struct buf *out, const struct cache_record *r, uint32_t nfields)
{
    const struct cache_life *life = &r->life;
    uint32_t flags = (life->always_validate ? FLAG_VALIDATE : 0) |
                     (life->never_stale ? FLAG_NEVER_STALE : 0) |
                     (life->is_shared ? FLAG_SHARED : 0);
    const uint64_t numbers[] = {
        (uint64_t)r->came_wall_ms,        (uint64_t)life->initial_age_s,
        (uint64_t)life->lifetime_s,       (uint64_t)life->stale_while_revalidate_s,
        (uint64_t)life->stale_if_error_s,
    };
    int rc = put_number(out, (uint64_t)r->head.status, 4);

    if (rc == 0)
        rc = put_number(out, nfields, 4);
    if (rc == 0)
        rc = put_number(out, flags, 4);
    for (size_t i = 0; i < COUNT_OF(numbers) && rc == 0; i++)
        rc = put_number(out, numbers[i], 8);
    return rc;
}

int cache_record_write(const struct cache_record *r, struct buf *out)
{
    size_t from = buf_len(out);
    uint32_t nfields = 0;

    HEADERS_EACH(f, &r->head.headers)
    nfields++;
    if (nfields > CACHE_RECORD_FIELDS_MAX)
        return ERR_LIMIT;
    int rc = buf_add(out, MAGIC);
    if (rc == 0)
        rc = put_numbers(out, r, nfields);
    if (rc == 0)
        rc = put_text(out, r->key);
    if (rc == 0)
        rc = put_text(out, r->variant);
    HEADERS_EACH(f, &r->head.headers)
    {
        if (rc == 0)
            rc = put_text(out, f->name);
        if (rc == 0)
            rc = put_text(out, f->value);
    }
    if (rc == 0)
        rc = put_text(out, r->body);
    if (rc == 0)
        rc = put_number(out, hash_stable(slice_from_index(buf_slice(out), from), 0), SUM_SIZE);
    return rc;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

struct reader {
    struct slice rest;
    bool is_short;
};

static struct slice get_bytes(struct reader *r, size_t n)
{
    if (n > r->rest.len) {
        r->is_short = true;
        return SLICE("");
    }
    struct slice bytes = slice_sub(r->rest, 0, n);
    r->rest = slice_from_index(r->rest, n);
    return bytes;
}

static uint64_t get_number(struct reader *r, size_t size)
{
    struct slice bytes = get_bytes(r, size);
    uint64_t n = 0;

    for (size_t i = 0; i < bytes.len; i++)
        n |= (uint64_t)(unsigned char)bytes.ptr[i] << (8 * i);
    return n;
}

static struct slice get_text(struct reader *r)
{
    return get_bytes(r, (size_t)get_number(r, 4));
}

/* Seconds as cacheable.h has them. */
static bool get_seconds(struct reader *r, int64_t *out)
{
    uint64_t n = get_number(r, 8);

    *out = (int64_t)n;
    return n <= CACHE_SECONDS_MAX;
}

static bool get_life(struct reader *r, uint32_t flags, struct cache_record *out)
{
    uint64_t came = get_number(r, 8);

    out->came_wall_ms = (int64_t)came;
    out->life = (struct cache_life){
        .always_validate = flags & FLAG_VALIDATE,
        .never_stale = flags & FLAG_NEVER_STALE,
        .is_shared = flags & FLAG_SHARED,
    };
    bool is_good = came <= INT64_MAX && get_seconds(r, &out->life.initial_age_s);
    is_good = is_good && get_seconds(r, &out->life.lifetime_s);
    is_good = is_good && get_seconds(r, &out->life.stale_while_revalidate_s);
    return is_good && get_seconds(r, &out->life.stale_if_error_s);
}

static bool is_field(enum header_id id, struct slice name, struct slice value)
{
    return text_is_token(name) && text_is_field_value(value) &&
           !(header_flags(id) & (HEADER_HOP | HEADER_FRAMING));
}

static bool get_fields(struct reader *r, uint64_t n, struct arena *a, struct headers *out)
{
    if (n > CACHE_RECORD_FIELDS_MAX)
        return false;
    headers_init(out, a, (uint32_t)n);
    for (uint64_t i = 0; i < n; i++) {
        struct slice name = get_text(r), value = get_text(r);
        enum header_id id = header_id(name);
        if (r->is_short || !is_field(id, name, value))
            return false;
        headers_add_as(out, id, name, value);
    }
    return true;
}

static bool is_status(uint64_t status)
{
    return status >= 200 && status <= 599 && status != 206 && status != 304;
}

int cache_record_read(struct slice bytes, struct arena *a, struct cache_record *out)
{
    size_t whole = bytes.len < SUM_SIZE ? 0 : bytes.len - SUM_SIZE;
    struct reader r = {.rest = slice_sub(bytes, 0, whole)};
    struct reader sum = {.rest = slice_from_index(bytes, whole)};

    *out = (struct cache_record){.head.version = HTTP_11};
    if (get_number(&sum, SUM_SIZE) != hash_stable(r.rest, 0) || sum.is_short ||
        !slice_eq(get_bytes(&r, MAGIC.len), MAGIC))
        return ERR_SYNTAX;
    uint64_t status = get_number(&r, 4), nfields = get_number(&r, 4);
    if (!is_status(status) || !get_life(&r, (uint32_t)get_number(&r, 4), out))
        return ERR_SYNTAX;
    out->head.status = (int)status;
    out->key = get_text(&r);
    out->variant = get_text(&r);
    if (!get_fields(&r, nfields, a, &out->head.headers))
        return ERR_SYNTAX;
    out->body = get_text(&r);
    return r.is_short || r.rest.len > 0 ? ERR_SYNTAX : 0;
}
