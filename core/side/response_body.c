/* SPDX-License-Identifier: Apache-2.0 */

/* `filled` is stored with release after the bytes and loaded with acquire before they are read; the lock is for the
 * list of those who wait alone. A wait gets one letter in its life, which is a part of it: while that is on its way
 * the wait can't be freed, and who leaves meanwhile only marks it. */

#include "side/response_body.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "net/mailbox.h"

struct response_body {
    /* state */
    atomic_uint refs;
    atomic_size_t filled;
    atomic_int state;
    pthread_mutex_t lock;
    struct list waits;
    size_t size;
    char bytes[];
};

struct response_wait {
    struct mail mail;
    /* borrowed */
    struct response_body *body; /* counted */
    struct mailbox *mailbox;
    response_wait_fn fn;
    void *arg;
    /* state, under the body's lock */
    struct list link;
    size_t seen;
    bool is_mailed;
    bool has_left;
};

struct response_body *response_body_new(size_t size)
{
    struct response_body *b = malloc(sizeof(*b) + size);

    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    atomic_init(&b->filled, 0);
    atomic_init(&b->state, RESPONSE_BODY_FILLING);
    pthread_mutex_init(&b->lock, NULL);
    list_init(&b->waits);
    b->size = size;
    return b;
}

struct response_body *response_body_ref(struct response_body *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void response_body_unref(struct response_body *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    (void)CHECK(list_is_empty(&b->waits)); /* each holds a reference */
    pthread_mutex_destroy(&b->lock);
    free(b);
}

size_t response_body_size(const struct response_body *b)
{
    return b->size;
}

struct slice response_body_seen(const struct response_body *b, enum response_body_state *state)
{
    /* The state first: what is whole by then is all there. */
    *state = (enum response_body_state)atomic_load_explicit(&b->state, memory_order_acquire);
    return slice_of(b->bytes, atomic_load_explicit(&b->filled, memory_order_acquire));
}

/* --- the filler -------------------------------------------------------------------------------- */

static bool has_news(const struct response_body *b, size_t seen)
{
    enum response_body_state state;

    return response_body_seen(b, &state).len > seen || state != RESPONSE_BODY_FILLING;
}

static void tell(struct response_body *b)
{
    pthread_mutex_lock(&b->lock);
    LIST_EACH (link, &b->waits) {
        struct response_wait *w = container_of(link, struct response_wait, link);
        if (!has_news(b, w->seen))
            continue;
        list_remove(&w->link);
        w->is_mailed = true;
        mailbox_send(w->mailbox, &w->mail);
    }
    pthread_mutex_unlock(&b->lock);
}

bool response_body_fill(struct response_body *b, const struct slice *pieces, int n)
{
    size_t filled = atomic_load_explicit(&b->filled, memory_order_relaxed);

    for (int i = 0; i < n; i++) {
        if (pieces[i].len > b->size - filled) {
            response_body_end(b, true);
            return false;
        }
        if (pieces[i].len)
            memcpy(b->bytes + filled, pieces[i].ptr, pieces[i].len);
        filled += pieces[i].len;
    }
    atomic_store_explicit(&b->filled, filled, memory_order_release);
    tell(b);
    return true;
}

enum response_body_state response_body_end(struct response_body *b, bool is_broken)
{
    bool is_full = atomic_load_explicit(&b->filled, memory_order_relaxed) == b->size;
    enum response_body_state state =
        is_full && !is_broken ? RESPONSE_BODY_WHOLE : RESPONSE_BODY_BROKEN;

    atomic_store_explicit(&b->state, state, memory_order_release);
    tell(b);
    return state;
}

/* --- readers ----------------------------------------------------------------------------------- */

static void wait_free(struct response_wait *w)
{
    response_body_unref(w->body);
    free(w);
}

static void on_letter(struct mail *m, void *reader UNUSED)
{
    struct response_wait *w = container_of(m, struct response_wait, mail);

    pthread_mutex_lock(&w->body->lock);
    bool has_left = w->has_left;
    pthread_mutex_unlock(&w->body->lock);
    if (!has_left)
        w->fn(w->arg);
    wait_free(w);
}

struct response_wait *response_body_await(struct response_body *b, size_t seen,
                                          struct mailbox *mailbox, response_wait_fn fn, void *arg)
{
    struct response_wait *w = NULL;

    pthread_mutex_lock(&b->lock);
    if (!has_news(
            b,
            seen)) { /* the filler tells after it has filled: what it says from now on is heard */
        w = calloc(1, sizeof(*w));
        REQUIRE(w != NULL);
        w->mail.fn = on_letter;
        w->body = response_body_ref(b);
        w->mailbox = mailbox;
        w->fn = fn;
        w->arg = arg;
        w->seen = seen;
        list_append(&b->waits, &w->link);
    }
    pthread_mutex_unlock(&b->lock);
    return w;
}

void response_wait_leave(struct response_wait *w)
{
    struct response_body *b = w->body;

    pthread_mutex_lock(&b->lock);
    bool is_mailed = w->is_mailed;
    w->has_left = true;
    if (!is_mailed)
        list_remove(&w->link);
    pthread_mutex_unlock(&b->lock);
    if (!is_mailed)
        wait_free(w);
}
