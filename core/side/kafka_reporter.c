/* SPDX-License-Identifier: Apache-2.0 */

/* A producer's thread. It sleeps in librdkafka's queue of events; what it finds there it takes as a whole, so that each
 * home gets few mails, however many reports there are. It also makes the producer anew after a fatal error, and ends it
 * when nobody uses it. */

#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "side/kafka_parts.h"
#include "side/kafka_token.h"

#define REPORTS_MAX 4096 /* taken before the first of them are sent */
#define HOMES_MAX 64
#define ANEW_MS 1000 /* from one fatal error to the next attempt, at least */
#define PURGE_MS 100
#define IN_FLIGHT_MS 1000

struct batch {
    struct mailbox *home;
    struct kafka_report *first, *last;
};

struct batches {
    struct batch items[HOMES_MAX];
    size_t n, nreports;
};

/* Held while reports are sent, so that who leaves one knows that no mail to its home will follow. */
static pthread_mutex_t leaving = PTHREAD_MUTEX_INITIALIZER;

/* --- reports on their way home ------------------------------------------------------------------------------------- */

static void on_mail(struct mail *m, void *reader)
{
    struct kafka_report *r = container_of(m, struct kafka_report, mail);

    while (r) {
        struct kafka_report *next = r->next; /* fn may free r */
        r->fn(r, r->was_left ? NULL : reader);
        r = next;
    }
}

/* Those of the chain that were left. */
static struct kafka_report *take_left(struct kafka_report **chain)
{
    struct kafka_report *left = NULL;

    while (*chain) {
        struct kafka_report *r = *chain;
        if (!r->was_left) {
            chain = &r->next;
            continue;
        }
        *chain = r->next;
        r->next = left;
        left = r;
    }
    return left;
}

static void send_chain(struct mailbox *home, struct kafka_report *chain)
{
    pthread_mutex_lock(&leaving);
    struct kafka_report *left = take_left(&chain);
    if (chain) {
        chain->mail.fn = on_mail;
        mailbox_send(home, &chain->mail);
    }
    pthread_mutex_unlock(&leaving);
    if (left)
        on_mail(&left->mail, NULL);
}

void kafka_report_send(struct kafka_report *r)
{
    r->next = NULL;
    send_chain(r->home, r);
}

void kafka_report_leave(struct kafka_report *r)
{
    pthread_mutex_lock(&leaving);
    r->was_left = true;
    pthread_mutex_unlock(&leaving);
}

static void add(struct batches *b, struct kafka_report *r)
{
    size_t i = 0;

    while (i < b->n && b->items[i].home != r->home)
        i++;
    if (i == HOMES_MAX) {
        kafka_report_send(r);
        return;
    }
    r->next = NULL;
    if (i == b->n)
        b->items[b->n++] = (struct batch){.home = r->home, .first = r};
    else
        b->items[i].last->next = r;
    b->items[i].last = r;
    b->nreports++;
}

static void send_all(struct batches *b)
{
    for (size_t i = 0; i < b->n; i++)
        send_chain(b->items[i].home, b->items[i].first);
    b->n = b->nreports = 0;
}

/* --- what became of a record --------------------------------------------------------------------------------------- */

static enum kafka_outcome outcome_of(const rd_kafka_message_t *m)
{
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return KAFKA_DELIVERED;
    if (kafka_is_refusal(m->err))
        return KAFKA_REFUSED;
    return rd_kafka_message_status(m) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED ? KAFKA_FAILED
                                                                           : KAFKA_UNKNOWN;
}

static void say_why(const struct kafka_producer *p, const rd_kafka_message_t *m, char *out,
                    size_t size)
{
    const char *because = p->trouble[0] ? ": " : "";

    switch (m->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: out[0] = '\0'; break;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
        snprintf(out, size, "no word from the brokers within %u ms%s%s",
                 p->cluster->message_timeout_ms, because, p->trouble);
        break;
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
        snprintf(out, size, "no word from the brokers before the producer's end%s%s", because,
                 p->trouble);
        break;
    default: snprintf(out, size, "%s", rd_kafka_err2str(m->err)); break;
    }
}

/* Brokers look at batches: this librdkafka doesn't say which record of one was at fault. */
static bool is_of_batch(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
           err == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE ||
           err == RD_KAFKA_RESP_ERR_INVALID_RECORD || err == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP ||
           err == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE || err == RD_KAFKA_RESP_ERR_POLICY_VIOLATION;
}

static void report(struct kafka_producer *p, const rd_kafka_message_t *m, struct batches *b)
{
    struct kafka_report *r = m->_private;

    r->outcome = outcome_of(m);
    r->is_shared = r->outcome == KAFKA_REFUSED && is_of_batch(m->err);
    r->is_of_topic = kafka_is_of_topic(r, m->err);
    r->partition = m->partition;
    r->offset = m->offset;
    say_why(p, m, r->why, sizeof(r->why));
    atomic_fetch_add_explicit(&p->count->records[r->outcome], 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&p->count->queued_records, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&p->count->queued_bytes, (long long)(m->len + m->key_len),
                              memory_order_relaxed);
    if (r->outcome == KAFKA_FAILED || r->outcome == KAFKA_UNKNOWN)
        p->has_gap = p->patience == KAFKA_ENDLESS;
    if (r->is_shared)
        p->may_gap = p->patience == KAFKA_ENDLESS;
    if (LIKELY(r->outcome == KAFKA_DELIVERED))
        p->trouble[0] = '\0';
    else if (p->patience == KAFKA_BOUNDED) /* the spill's feeder keeps the others, and tells */
        LOG_WARN("kafka.record", "a record was not delivered", LOG_S("cluster", p->cluster->name),
                 LOG_C("topic", rd_kafka_topic_name(m->rkt)),
                 LOG_C("outcome", kafka_outcome_word(r->outcome)), LOG_C("why", r->why));
    add(b, r);
}

/* --- events -------------------------------------------------------------------------------------------------------- */

static void take_reports(struct kafka_producer *p, rd_kafka_event_t *ev, struct batches *b)
{
    const rd_kafka_message_t *m;

    (void)atomic_load_explicit(&p->published, memory_order_acquire);
    while ((m = rd_kafka_event_message_next(ev)))
        report(p, m, b);
}

static void take_error(struct kafka_producer *p, rd_kafka_event_t *ev)
{
    if (rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) /* each was told of */
        snprintf(p->trouble, sizeof(p->trouble), "%s", rd_kafka_event_error_string(ev));
}

/* Without one it asks again every ten seconds. */
static void bring_token(struct kafka_producer *p)
{
    char text[KAFKA_TOKEN_MAX + 1], why[256];
    struct kafka_token token;

    if (!p->rk)
        return;
    const char *wrong = kafka_token_read(p->cluster->token_file, text, &token);
    if (!wrong && rd_kafka_oauthbearer_set_token(p->rk, text, token.expires_ms, token.principal,
                                                 NULL, 0, why, sizeof(why)) != 0)
        wrong = why;
    explicit_bzero(text, sizeof(text));
    if (!wrong)
        return;
    LOG_ERROR("kafka.token", "there is no token for the brokers",
              LOG_S("cluster", p->cluster->name), LOG_C("file", p->cluster->token_file),
              LOG_C("why", wrong));
    rd_kafka_oauthbearer_set_token_failure(p->rk, wrong);
}

static void take_event(struct kafka_producer *p, rd_kafka_event_t *ev, struct batches *b)
{
    switch (rd_kafka_event_type(ev)) {
    case RD_KAFKA_EVENT_DR: take_reports(p, ev, b); break;
    case RD_KAFKA_EVENT_ERROR: take_error(p, ev); break;
    case RD_KAFKA_EVENT_STATS:
        kafka_count_statistics(p->count, slice_from(rd_kafka_event_stats(ev)), p->told);
        break;
    case RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH: bring_token(p); break;
    default: break;
    }
}

/* Asked, for the event that tells of it is not always there. A record that an endless producer could
 * not deliver is as bad: what stands behind it must not go first. */
static bool is_fatal(struct kafka_producer *p)
{
    char why[256] = "a record was not delivered, and nothing may overtake it";

    if (!p->rk || p->was_purged)
        return false;
    if (rd_kafka_fatal_error(p->rk, why, sizeof(why)) == RD_KAFKA_RESP_ERR_NO_ERROR && !p->has_gap)
        return false;
    LOG_ERROR("kafka.fatal", "the producer is made anew", LOG_S("cluster", p->cluster->name),
              LOG_C("why", why));
    return true;
}

/* Nobody publishes to it any more. */
static void set_aside(struct kafka_producer *p)
{
    pthread_rwlock_wrlock(&p->lock);
    p->aside = p->rk;
    p->rk = NULL;
    atomic_fetch_add_explicit(&p->epoch, 1, memory_order_release);
    pthread_rwlock_unlock(&p->lock);
}

/* Waits for events and takes all that there are. */
static void collect(struct kafka_producer *p, int wait_ms)
{
    struct batches b = {.n = 0};
    rd_kafka_event_t *ev = rd_kafka_queue_poll(p->queue, wait_ms);

    while (ev) {
        take_event(p, ev, &b);
        rd_kafka_event_destroy(ev);
        ev = b.nreports < REPORTS_MAX ? rd_kafka_queue_poll(p->queue, 0) : NULL;
    }
    if (p->may_gap)
        p->has_gap = p->has_gap || (p->rk && rd_kafka_outq_len(p->rk) > 0);
    p->may_gap = false;
    if (is_fatal(p))
        set_aside(p); /* before anybody can act on the reports */
    send_all(&b);
}

/* --- made anew ----------------------------------------------------------------------------------------------------- */

static void drop_rk(struct kafka_producer *p, rd_kafka_t *rk)
{
    pthread_mutex_lock(&kafka_all.lock);
    rd_kafka_queue_t *queue = p->queue;
    p->queue = NULL;
    pthread_mutex_unlock(&kafka_all.lock);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

/* All that it has gets its reports. What other brokers have in their hands may come yet: the less of it is unknown, the
 * less is published twice. */
static void give_up(struct kafka_producer *p)
{
    uint64_t until = kafka_now_ms() + IN_FLIGHT_MS;

    rd_kafka_purge(p->aside, RD_KAFKA_PURGE_F_QUEUE);
    while (rd_kafka_outq_len(p->aside) > 0 && kafka_now_ms() < until)
        collect(p, PURGE_MS);
    rd_kafka_purge(p->aside, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    while (rd_kafka_outq_len(p->aside) > 0)
        collect(p, PURGE_MS);
    drop_rk(p, p->aside);
    p->aside = NULL;
    p->has_gap = false;
    p->told[0] = p->told[1] = 0;
    atomic_fetch_add_explicit(&p->count->anew, 1, memory_order_relaxed);
}

/* When its time has come; until then, sleeps. */
static void start_anew(struct kafka_producer *p)
{
    uint64_t due = p->anew_ms + ANEW_MS;
    char why[256];

    if (kafka_now_ms() < due) {
        pthread_mutex_lock(&kafka_all.lock);
        kafka_wait_until(due);
        pthread_mutex_unlock(&kafka_all.lock);
        return;
    }
    p->anew_ms = kafka_now_ms();
    rd_kafka_t *rk = kafka_make_rk(p, why, sizeof(why));
    if (!rk) {
        LOG_ERROR("kafka.start", "no producer can be made", LOG_S("cluster", p->cluster->name),
                  LOG_C("why", why));
        return;
    }
    pthread_mutex_lock(&kafka_all.lock);
    p->queue = rd_kafka_queue_get_main(rk);
    pthread_mutex_unlock(&kafka_all.lock);
    pthread_rwlock_wrlock(&p->lock);
    p->rk = rk;
    pthread_rwlock_unlock(&p->lock);
}

/* --- its life ------------------------------------------------------------------------------------------------------ */

void kafka_reporter_wake(struct kafka_producer *p)
{
    if (p->queue)
        rd_kafka_queue_yield(p->queue);
    pthread_cond_broadcast(&kafka_all.changed);
}

/* Nobody can publish to it any more: has all that it had its report? Else until when to wait for one. At its deadline
 * what is left is given up. */
static bool is_empty(struct kafka_producer *p, int *wait_ms)
{
    uint64_t now = kafka_now_ms();

    if (!p->rk || rd_kafka_outq_len(p->rk) == 0)
        return true;
    if (now >= p->deadline_ms && !p->was_purged) {
        rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        p->was_purged = true;
    }
    *wait_ms = p->was_purged ? PURGE_MS : (int)(p->deadline_ms - now);
    return false;
}

/* Its last look at whether it is wanted: when it is not, nobody finds it any more. */
static bool is_over(struct kafka_producer *p, int *wait_ms)
{
    bool over = false;

    *wait_ms = -1;
    pthread_mutex_lock(&kafka_all.lock);
    if (p->users == 0 || kafka_all.is_ending)
        over = is_empty(p, wait_ms);
    else
        p->was_purged = false;
    if (over)
        list_remove(&p->link);
    pthread_mutex_unlock(&kafka_all.lock);
    return over;
}

static void end(struct kafka_producer *p)
{
    pthread_rwlock_wrlock(&p->lock);
    rd_kafka_t *rk = p->rk;
    p->rk = NULL;
    pthread_rwlock_unlock(&p->lock);
    if (rk)
        drop_rk(p, rk);
    pthread_mutex_lock(&kafka_all.lock);
    p->is_over = true;
    if (p->users == 0)
        kafka_free(p);
    kafka_all.nthreads--;
    pthread_cond_broadcast(&kafka_all.changed);
    pthread_mutex_unlock(&kafka_all.lock);
}

void *kafka_reporter_main(void *producer)
{
    struct kafka_producer *p = producer;
    int wait_ms;

    while (!is_over(p, &wait_ms)) {
        if (p->queue)
            collect(p, wait_ms);
        else
            start_anew(p);
        if (p->aside)
            give_up(p);
    }
    end(p);
    return NULL;
}
