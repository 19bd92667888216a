/* SPDX-License-Identifier: Apache-2.0 */

/* Stores for Lua. A value is bytes and a tag: texts as they are, numbers as a double, booleans as one byte. What is read
 * lies in a buffer of the thread until the next read; Lua copies it at once. */

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "script/api_lib.h"
#include "side/store.h"

#define VALUE_MAX (64 * MIB)
#define KEPT_MAX (256 * KIB) /* a larger buffer is not kept for the next read */

_Static_assert(DML_TAG_NUMBER == STORE_TAG_NUMBER,
               "store_incr counts in what Lua sees as a number");

static _Thread_local struct buf read_buf;

/* Frees it when its thread ends. */
static pthread_key_t thread_end;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void free_read_buf(void *arg)
{
    buf_deinit(arg);
}

static void make_key(void)
{
    REQUIRE(pthread_key_create(&thread_end, free_read_buf) == 0);
}

static void begin_reading(void)
{
    pthread_once(&key_once, make_key);
    buf_init(&read_buf, VALUE_MAX);
    pthread_setspecific(thread_end, &read_buf);
}

struct store *dml_store(const char *name, size_t len)
{
    return stores_find(slice_of(name, len));
}

static uint64_t ttl_ms(double seconds)
{
    if (!(seconds > 0))
        return 0;
    return seconds < 0.001 ? 1 : (uint64_t)MIN(seconds * 1e3, 1e15);
}

int dml_store_get(struct store *s, const char *key, size_t len, struct dml_value *out)
{
    uint8_t tag = 0;

    if (UNLIKELY(read_buf.cap == 0))
        begin_reading();
    if (read_buf.size > KEPT_MAX)
        buf_release(&read_buf);
    buf_clear(&read_buf);
    int rc = store_get(s, slice_of(key, len), &read_buf, &tag);
    if (rc < 0)
        return rc;

    if (tag == STORE_TAG_RECORD)
        return ERR_ARG;
    struct slice text = buf_slice(&read_buf);
    out->tag = tag;
    if (tag == DML_TAG_NUMBER && text.len == sizeof(out->number))
        memcpy(&out->number, text.ptr, sizeof(out->number));
    else if (tag == DML_TAG_BOOLEAN && text.len == 1)
        out->number = text.ptr[0];
    out->text = (struct dml_slice){text.ptr, (int32_t)text.len};
    return 0;
}

static struct slice bytes_of(const struct dml_value *v, char *flag)
{
    if (v->tag == DML_TAG_NUMBER)
        return slice_of((const char *)&v->number, sizeof(v->number));
    if (v->tag == DML_TAG_BOOLEAN) {
        *flag = v->number != 0;
        return slice_of(flag, 1);
    }
    return slice_of(v->text.ptr, (size_t)v->text.len);
}

int dml_store_set(struct store *s, const char *key, size_t len, const struct dml_value *value,
                  double ttl, int only_new)
{
    char flag;
    struct slice bytes = bytes_of(value, &flag);

    if (only_new)
        return store_add(s, slice_of(key, len), bytes, (uint8_t)value->tag, ttl_ms(ttl));
    return store_set(s, slice_of(key, len), bytes, (uint8_t)value->tag, ttl_ms(ttl));
}

int dml_store_cas(struct store *s, const char *key, size_t len, const struct dml_value *old,
                  const struct dml_value *value, double ttl)
{
    char old_flag, flag;

    return store_cas(s, slice_of(key, len), bytes_of(old, &old_flag), (uint8_t)old->tag,
                     bytes_of(value, &flag), (uint8_t)value->tag, ttl_ms(ttl));
}

int dml_store_incr(struct store *s, const char *key, size_t len, double by, double ttl, double *out)
{
    if (!isfinite(by))
        return ERR_ARG;
    return store_incr(s, slice_of(key, len), by, 0, ttl_ms(ttl), out);
}

int dml_store_delete(struct store *s, const char *key, size_t len)
{
    return store_delete(s, slice_of(key, len));
}

/* Seconds left, 0 = none; a negative code. */
double dml_store_ttl(struct store *s, const char *key, size_t len)
{
    int64_t ms = store_ttl(s, slice_of(key, len));

    return ms > 0 ? (double)ms / 1e3 : (double)ms;
}
