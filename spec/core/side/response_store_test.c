/* SPDX-License-Identifier: Apache-2.0 */

#include "side/response_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "base/hash.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "support/test.h"

#define BUDGET ((size_t)8 * 64 * 1024) /* 64 KiB a shard */

static struct response_store *store;

static int set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    store = response_store_get(SLICE("test"), BUDGET);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    response_store_unref(store);
    assert_null(response_store_at(0));
    assert_int_equal(check_failures(), 0);
    return 0;
}

static struct response_body *body_of(struct slice text)
{
    struct response_body *b = response_body_new(text.len);

    assert_true(response_body_fill(b, &text, 1));
    assert_int_equal(response_body_end(b, false), RESPONSE_BODY_WHOLE);
    return b;
}

static struct stored *make(const char *key, const char *variant, const char *tags, size_t size)
{
    static char content[256 * 1024];
    struct stored of = {
        .key = response_key_of(slice_from(key)),
        .vary = *variant ? SLICE("accept") : SLICE(""),
        .variant = slice_from(variant),
        .tags = slice_from(tags),
        .head = SLICE("head"),
        .body = body_of(slice_of(content, size)),
    };

    return stored_new(&of);
}

static int put(const char *key, const char *variant, const char *tags, size_t size)
{
    struct stored *r = make(key, variant, tags, size);
    int rc = response_store_put(store, r, response_store_note(store, &r->key));

    stored_unref(r);
    return rc;
}

static enum stored_fit fits(const struct stored *r, void *arg)
{
    return slice_eq(r->variant, slice_from(arg)) ? STORED_FITS : STORED_DIFFERS;
}

static struct stored *find(struct response_store *in, const char *key, const char *variant)
{
    struct response_key k = response_key_of(slice_from(key));
    enum stored_fit fit;

    return response_store_find(in, &k, fits, (void *)variant, &fit);
}

static bool has(const char *key, const char *variant)
{
    struct stored *r = find(store, key, variant);

    if (r)
        stored_used(r);
    stored_unref(r);
    return r != NULL;
}

static void test_what_is_put_is_found(void **state)
{
    struct stored *r;
    enum response_body_state body;

    (void)state;
    assert_int_equal(put("/a", "", "x y", 3), 0);
    assert_false(has("/b", ""));
    assert_false(has("/a", "text"));
    r = find(store, "/a", "");
    assert_non_null(r);
    assert_true(slice_eq(r->key.text, SLICE("/a")) && slice_eq(r->tags, SLICE("x y")));
    assert_true(slice_eq(r->head, SLICE("head")));
    assert_int_equal(response_body_seen(r->body, &body).len, 3);
    assert_int_equal(body, RESPONSE_BODY_WHOLE);

    response_store_remove(store, r);
    response_store_remove(store, r);
    assert_false(has("/a", ""));
    assert_true(slice_eq(r->head, SLICE("head"))); /* it lives on with who holds it */
    stored_unref(r);
}

static void test_variants(void **state)
{
    char name[16];
    struct response_store_stats stats;

    (void)state;
    assert_int_equal(put("/a", "one", "", 10), 0);
    assert_int_equal(put("/a", "two", "", 10), 0);
    assert_true(has("/a", "one") && has("/a", "two"));
    assert_int_equal(put("/a", "two", "", 10), 0);
    response_store_stats(store, &stats);
    assert_int_equal(stats.responses, 2);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "v%d", i);
        assert_int_equal(put("/a", name, "", 1), 0);
    }
    response_store_stats(store, &stats);
    assert_int_equal(stats.responses, RESPONSE_VARIANTS_MAX);
    assert_true(has("/a", "v999"));
    assert_false(has("/a", "one"));
}

static void test_a_budget(void **state)
{
    char key[16];
    struct response_store_stats stats;

    (void)state;
    assert_int_equal(put("/large", "", "", 64 * 1024), ERR_LIMIT);
    assert_int_equal(put("/often", "", "", 1000), 0);
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "/%d", i);
        assert_int_equal(put(key, "", "", 1000), 0);
        assert_true(has("/often", ""));
    }
    response_store_stats(store, &stats);
    assert_true(stats.bytes <= BUDGET && stats.bytes > BUDGET / 2);
    assert_true(stats.evictions > 99000);
    store = response_store_get(SLICE("test"), 0);
    response_store_unref(store);
    response_store_stats(store, &stats);
    assert_int_equal(stats.responses, 0);
    assert_int_equal(stats.bytes, 0);
}

static enum stored_fit asks(const struct stored *r UNUSED, void *arg UNUSED)
{
    return STORED_ASKS;
}

static void test_what_asks_is_looked_at_by_the_caller(void **state)
{
    struct response_key key = response_key_of(SLICE("/a"));
    enum stored_fit fit;

    (void)state;
    assert_null(response_store_find(store, &key, asks, NULL, &fit));
    assert_int_equal(fit, STORED_ASKS);
    put("/a", "one", "", 1);
    struct stored *r = response_store_find(store, &key, asks, NULL, &fit);
    assert_non_null(r);
    assert_int_equal(fit, STORED_ASKS);
    stored_unref(r);
    assert_null(response_store_find(store, &key, fits, (void *)"two", &fit));
    assert_int_equal(fit, STORED_DIFFERS); /* something is kept of the key */
}

static void test_what_is_on_its_way_takes_room(void **state)
{
    struct response_key key = response_key_of(SLICE("/a"));
    struct response_store_stats stats;
    char name[16];

    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "/%d", i);
        put(name, "", "", 1000);
    }
    assert_true(response_store_reserve(store, &key, 30 * 1024));
    assert_false(response_store_reserve(store, &key, 3 * 1024));
    assert_true(response_store_reserve(store, &key, 1024));
    response_store_stats(store, &stats);
    assert_true(stats.bytes <= BUDGET);
    store = response_store_get(SLICE("test"), BUDGET / 2); /* all of the shard is reserved now */
    response_store_unref(store);
    assert_int_equal(put("/a", "", "", 10), 0);
    response_store_release(store, &key, 31 * 1024);
    response_store_purge_prefix(store, SLICE(""));
    response_store_stats(store, &stats);
    assert_int_equal(stats.bytes, 0);
}

static void test_purging(void **state)
{
    (void)state;
    put("/a/1", "", "red", 1);
    put("/a/2", "x", "green blue", 1);
    put("/a/2", "y", "", 1);
    put("/b", "", "bluegreen", 1);
    assert_int_equal(response_store_purge_tag(store, SLICE("blue")), 1);
    assert_false(has("/a/2", "x"));
    assert_true(has("/b", ""));
    assert_int_equal(response_store_purge_key(store, SLICE("/a/2")), 1);
    assert_int_equal(response_store_purge_key(store, SLICE("/a/2")), 0);
    assert_int_equal(response_store_purge_prefix(store, SLICE("/a")), 1);
    assert_true(has("/b", ""));
    assert_int_equal(response_store_purge_prefix(store, SLICE("")), 1);
}

static void test_a_purge_during_a_fill(void **state)
{
    static const char *const what[] = {"key", "prefix", "tag"};

    struct response_key key = response_key_of(SLICE("/a"));

    (void)state;
    for (size_t i = 0; i < COUNT_OF(what); i++) {
        struct response_note note = response_store_note(store, &key);
        struct stored *r = make("/a", "", "", 1);
        if (i == 0)
            response_store_purge_key(store, SLICE("/a"));
        else if (i == 1)
            response_store_purge_prefix(store, SLICE("/"));
        else
            response_store_purge_tag(store, SLICE("any"));
        assert_int_equal(response_store_put(store, r, note), ERR_GONE);
        note = response_store_note(store, &key);
        assert_int_equal(response_store_put(store, r, note), 0);
        assert_int_equal(response_store_put(store, r, note), 0); /* it is in already */
        stored_unref(r);
    }
}

static void test_stores_have_names(void **state)
{
    struct response_store *other, *again;

    (void)state;
    other = response_store_get(SLICE("other"), BUDGET);
    again = response_store_get(SLICE("test"), BUDGET);
    assert_ptr_equal(again, store);
    put("/a", "", "", 1);
    assert_null(find(other, "/a", ""));
    response_store_unref(again);
    again = response_store_at(1);
    assert_true(slice_eq(response_store_name(again), SLICE("other")));
    response_store_unref(again);
    response_store_unref(other);
    assert_null(response_store_at(1));
}

/* --- bodies ------------------------------------------------------------------------------------ */

static void count(void *arg)
{
    (*(int *)arg)++;
}

static void test_readers_wait_for_more(void **state)
{
    struct loop *loop = loop_new();
    struct mailbox *box = mailbox_new(loop, NULL);
    struct response_body *b = response_body_new(6);
    enum response_body_state is;
    struct slice text = SLICE("abc");
    int told = 0, told_other = 0;

    (void)state;
    assert_non_null(response_body_await(b, 0, box, count, &told));
    struct response_wait *leaves = response_body_await(b, 0, box, count, &told_other);
    response_wait_leave(leaves);
    leaves = response_body_await(b, 0, box, count, &told_other);
    assert_true(response_body_fill(b, &text, 1));
    response_wait_leave(leaves); /* its letter is on its way */
    while (told == 0)
        loop_turn(loop, 10);
    assert_int_equal(told_other, 0);
    assert_null(response_body_await(b, 0, box, count, &told)); /* there is something */
    assert_true(slice_eq(response_body_seen(b, &is), text));
    assert_int_equal(is, RESPONSE_BODY_FILLING);
    assert_non_null(response_body_await(b, SIZE_MAX, box, count, &told_other));
    assert_non_null(response_body_await(b, 3, box, count, &told));
    assert_int_equal(response_body_end(b, false), RESPONSE_BODY_BROKEN); /* three are missing */
    while (told == 1)
        loop_turn(loop, 10);
    assert_null(response_body_await(b, 3, box, count, &told));
    assert_int_equal(told_other, 1);
    response_body_unref(b);
    mailbox_free(box);
    loop_free(loop);
}

static void test_more_than_was_said_breaks_it(void **state)
{
    struct response_body *b = response_body_new(2);
    struct slice pieces[] = {SLICE("ab"), SLICE("c")};
    enum response_body_state is;

    (void)state;
    assert_false(response_body_fill(b, pieces, 2));
    response_body_seen(b, &is);
    assert_int_equal(is, RESPONSE_BODY_BROKEN);
    response_body_unref(b);
}

/* --- threads ----------------------------------------------------------------------------------- */

#define ROUNDS 3000

struct reader {
    pthread_t thread;
    struct loop *loop;
    struct mailbox *mailbox; /* freed when nobody writes to it any more */
    struct response_body *body;
    bool is_right;
};

static void *read_all(void *arg)
{
    struct reader *r = arg;
    enum response_body_state is = RESPONSE_BODY_FILLING;
    size_t seen = 0;

    r->is_right = true;
    while (is == RESPONSE_BODY_FILLING) {
        int told = 0;
        if (response_body_await(r->body, seen, r->mailbox, count, &told))
            while (!told)
                loop_turn(r->loop, 10);
        struct slice all = response_body_seen(r->body, &is);
        for (; seen < all.len; seen++)
            r->is_right = r->is_right && all.ptr[seen] == (char)('a' + seen % 26);
    }
    r->is_right = r->is_right && is == RESPONSE_BODY_WHOLE && seen == ROUNDS;
    return NULL;
}

static void test_many_read_along(void **state)
{
    struct reader readers[3];
    struct response_body *b = response_body_new(ROUNDS);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        readers[i].body = b;
        readers[i].loop = loop_new();
        readers[i].mailbox = mailbox_new(readers[i].loop, NULL);
        pthread_create(&readers[i].thread, NULL, read_all, &readers[i]);
    }
    for (int i = 0; i < ROUNDS; i++) {
        char c = (char)('a' + i % 26);
        struct slice piece = slice_of(&c, 1);
        assert_true(response_body_fill(b, &piece, 1));
    }
    assert_int_equal(response_body_end(b, false), RESPONSE_BODY_WHOLE);
    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        pthread_join(readers[i].thread, NULL);
        assert_true(readers[i].is_right);
        mailbox_free(readers[i].mailbox);
        loop_free(readers[i].loop);
    }
    response_body_unref(b);
}

static void *churn(void *arg)
{
    unsigned seed = *(unsigned *)arg;
    char key[16];

    for (unsigned i = 0; i < ROUNDS; i++) {
        seed = seed * 1103515245 + 12345;
        snprintf(key, sizeof(key), "/%u", seed >> 16 & 63);
        struct stored *r = find(store, key, "");
        if (!r) {
            (void)!put(key, "", "tag", 2000);
        } else if (i % 16 == 0) {
            response_store_remove(store, r);
        }
        stored_unref(r);
        if (i % 256 == 0)
            response_store_purge_tag(store, SLICE("tag"));
    }
    return NULL;
}

static void test_many_use_it_at_once(void **state)
{
    pthread_t threads[3];
    unsigned seeds[3] = {1, 2, 3};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_create(&threads[i], NULL, churn, &seeds[i]);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(response_store_purge_prefix(store, SLICE("/")) > 64, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_put_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_variants, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_budget, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_asks_is_looked_at_by_the_caller, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_on_its_way_takes_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_purging, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_purge_during_a_fill, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stores_have_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_readers_wait_for_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_more_than_was_said_breaks_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_read_along, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_use_it_at_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
