/* SPDX-License-Identifier: Apache-2.0 */

/* A feeder between a spill on disk and producers that a test plays itself: they take what is published, and the test says
 * what becomes of it. */

#ifndef TEST_FEED_RIG_H
#define TEST_FEED_RIG_H

#include <pthread.h>

#include "side/kafka_cluster.h"
#include "side/kafka_record.h"
#include "side/spill_feed.h"
#include "support/spill_rig.h"

/* --- the producers --------------------------------------------------------------------------------------------------- */

#define TAKEN_MAX 100000

struct taken {
    char cluster[8], topic[16], value[24], reason[64], id[8];
    struct kafka_report *report; /* NULL: it was reported */
};

struct kafka_producer {
    struct kafka_cluster *cluster;
    int uses;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kafka_producer producers[4];
static struct taken taken[TAKEN_MAX];
static size_t ntaken;
static uint32_t epoch;
static int answer; /* what kafka_publish returns instead of taking, or 0 */

struct kafka_producer *kafka_producer_use(struct kafka_cluster *c, enum kafka_patience patience)
{
    struct kafka_producer *p = producers;

    assert_int_equal(patience, KAFKA_ENDLESS);
    pthread_mutex_lock(&lock);
    while (p->cluster && !slice_eq(p->cluster->identity, c->identity))
        p++;
    p->cluster = c;
    p->uses++;
    pthread_mutex_unlock(&lock);
    return p;
}

static bool keeps_reports; /* as one that hangs */

/* The real one flushes, and then says of the rest that it is unknown. */
void kafka_producer_unuse(struct kafka_producer *p)
{
    pthread_mutex_lock(&lock);
    p->uses--;
    for (size_t i = 0; p->uses == 0 && !keeps_reports && i < ntaken; i++) {
        if (!taken[i].report || !slice_eq(p->cluster->name, slice_from(taken[i].cluster)))
            continue;
        taken[i].report->outcome = KAFKA_UNKNOWN;
        mailbox_send(taken[i].report->home, &taken[i].report->mail);
        taken[i].report = NULL;
    }
    pthread_mutex_unlock(&lock);
}

uint32_t kafka_epoch(struct kafka_producer *p UNUSED)
{
    pthread_mutex_lock(&lock);
    uint32_t now = epoch;
    pthread_mutex_unlock(&lock);
    return now;
}

static inline void on_mail(struct mail *m, void *reader)
{
    struct kafka_report *r = container_of(m, struct kafka_report, mail);

    r->fn(r, reader);
}

static inline void copy(char *out, size_t size, struct slice s)
{
    snprintf(out, size, "%.*s", SLICE_ARG(s));
}

static inline void note(struct kafka_producer *p, const struct kafka_record *record,
                        struct kafka_report *r)
{
    struct taken *t = &taken[ntaken++];

    *t = (struct taken){.report = r};
    r->mail.fn = on_mail;
    copy(t->cluster, sizeof(t->cluster), p->cluster->name);
    copy(t->topic, sizeof(t->topic), record->topic);
    copy(t->value, sizeof(t->value), record->value);
    for (size_t i = 0; i < record->nheaders; i++) {
        const struct kafka_header *h = &record->headers[i];
        if (slice_eq(h->name, SLICE("dead-letter-reason")))
            copy(t->reason, sizeof(t->reason), h->value);
        if (slice_eq(h->name, SLICE("id")))
            copy(t->id, sizeof(t->id), h->value);
    }
}

int kafka_publish(struct kafka_producer *p, const struct kafka_record *record,
                  struct kafka_report *r)
{
    pthread_mutex_lock(&lock);
    int rc = record->epoch != 0 && record->epoch != epoch ? ERR_RESET : answer;
    if (rc == 0 && ntaken < TAKEN_MAX)
        note(p, record, r);
    pthread_mutex_unlock(&lock);
    return rc;
}

static inline void report(size_t i, enum kafka_outcome outcome)
{
    pthread_mutex_lock(&lock);
    struct kafka_report *r = taken[i].report;
    taken[i].report = NULL;
    r->outcome = outcome;
    snprintf(r->why, sizeof(r->why), "%s", outcome == KAFKA_REFUSED ? "no such topic" : "");
    mailbox_send(r->home, &r->mail);
    pthread_mutex_unlock(&lock);
}

static inline void set(int *where, int value)
{
    pthread_mutex_lock(&lock);
    *where = value;
    pthread_mutex_unlock(&lock);
}

static inline size_t count_taken(void)
{
    pthread_mutex_lock(&lock);
    size_t n = ntaken;
    pthread_mutex_unlock(&lock);
    return n;
}

/* --- the rig --------------------------------------------------------------------------------------------------------- */

static struct spill_feed *feed;
static struct kafka_cluster *clusters[2];

static inline void on_fault(void *arg UNUSED, ssize_t option UNUSED, const char *text)
{
    print_error("%s\n", text);
}

static inline struct kafka_cluster *cluster_new(const char *name, const char *brokers)
{
    struct kafka_cluster_source source = {.name = slice_from(name), .brokers = slice_from(brokers)};
    struct kafka_cluster *c = kafka_cluster_new(&source, on_fault, NULL);

    assert_non_null(c);
    return c;
}

static inline void start(void)
{
    feed = spill_feed_start(spill);
    spill_feed_use(feed, clusters, 2);
}

static inline void stop(void)
{
    spill_feed_quit(feed);
    assert_true(spill_feed_free(feed, PATIENCE * 10));
}

static inline int feed_set_up(void **state)
{
    spill_set_up(state);
    memset(producers, 0, sizeof(producers));
    ntaken = 0;
    epoch = 1;
    answer = 0;
    clusters[0] = cluster_new("one", "127.0.0.1:1");
    clusters[1] = cluster_new("two", "127.0.0.1:2");
    start();
    return 0;
}

static inline int feed_tear_down(void **state)
{
    stop();
    kafka_cluster_unref(clusters[0]);
    kafka_cluster_unref(clusters[1]);
    return spill_tear_down(state);
}

#define FEED_TEST(name) cmocka_unit_test_setup_teardown(name, feed_set_up, feed_tear_down)

static inline void accept_event(const struct kafka_event *e)
{
    static char bytes[1 << 20];
    size_t size = kafka_event_size(e);

    kafka_event_write(e, bytes);
    assert_int_equal(try_add(slice_of(bytes, size)), 0);
}

static inline void accept(const char *cluster, const char *value)
{
    accept_event(&(struct kafka_event){
        .cluster = slice_from(cluster),
        .record = {.topic = SLICE("t"), .value = slice_from(value), .partition = -1}});
}

static inline void delivered(size_t n)
{
    struct spill_count c;

    for (int i = 0; i < PATIENCE; i++, loop_turn(loop, 2)) {
        spill_count(spill, &c);
        if (c.waiting == n)
            return;
    }
    assert_int_equal(c.waiting, n);
}

static inline void accept_poisons(const char *file, int n)
{
    struct answer a = {.wait.fn = on_answer};
    struct kafka_event e = {.cluster = SLICE("one"),
                            .dead_letter_file = slice_from(file),
                            .record = {.topic = SLICE("t"), .partition = -1}};
    char *out;

    spill_begin(port, &a.wait);
    while (n-- > 0) {
        assert_int_equal(spill_add(port, kafka_event_size(&e), &out), 0);
        kafka_event_write(&e, out);
    }
    assert_true(spill_commit(port, &a.wait));
    UNTIL(a.is_there);
}

/* What was published so far, once there are n. */
static inline const char *published(size_t n)
{
    static char text[4096];
    size_t at = 0;

    UNTIL(count_taken() >= n);
    text[0] = '\0';
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < ntaken && at < sizeof(text); i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s ", taken[i].value);
    pthread_mutex_unlock(&lock);
    return text;
}

static inline void turns(int n)
{
    while (n-- > 0)
        loop_turn(loop, 5);
}

static inline struct spill_feed_count counts(void)
{
    struct spill_feed_count c;

    spill_feed_count(feed, &c);
    return c;
}

#endif
