/* SPDX-License-Identifier: Apache-2.0 */

/* Which producers there are, and publishing. A producer is found by what its cluster's options say, lives as long as
 * anybody uses it and until what was given to it has its reports, and is ended by its own thread (kafka_reporter.c), so
 * that nobody waits for brokers. */

#include "side/kafka.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "side/kafka_parts.h"

#define END_MS \
    2000 /* what ending takes at most when nothing is left, before the process goes without it */

#define GAPLESS "enable.gapless.guarantee"

struct kafka_all kafka_all = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .changed = PTHREAD_COND_INITIALIZER,
    .producers = {&kafka_all.producers, &kafka_all.producers},
};

/* --- making -------------------------------------------------------------------------------------------------------- */

/* librdkafka's words, from its own threads. Most of what it calls an error is a broker that is away for a while. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    const struct kafka_producer *p = rd_kafka_opaque(rk);
    struct slice cluster = p ? p->cluster->name : SLICE("");

    if (strcmp(facility, "CONFWARN") == 0 && strstr(text, GAPLESS)) /* that it is experimental */
        return;
    if (level <= 2)
        LOG_ERROR("kafka", text, LOG_S("cluster", cluster), LOG_C("facility", facility));
    else if (level <= 4)
        LOG_WARN("kafka", text, LOG_S("cluster", cluster), LOG_C("facility", facility));
    else if (level <= 6)
        LOG_INFO("kafka", text, LOG_S("cluster", cluster), LOG_C("facility", facility));
    else
        LOG_DEBUG("kafka", text, LOG_S("cluster", cluster), LOG_C("facility", facility));
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];

    REQUIRE(rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK);
}

/* As little as can be overtakes what has failed: one request at a time, for a broker takes a second one of a producer that it
 * does not know yet whatever has become of the first; and after a failure librdkafka itself sends no more but the
 * batch that it has already formed. A broker that knows the producer refuses that one too. */
static void be_endless(const struct kafka_cluster *c, rd_kafka_conf_t *conf)
{
    set(conf, "message.timeout.ms", "0");
    set(conf, "message.send.max.retries", "2147483647");
    set(conf, "max.in.flight.requests.per.connection", "1");
    if (c->is_idempotent)
        set(conf, GAPLESS, "true");
}

rd_kafka_t *kafka_make_rk(struct kafka_producer *p, char *why, size_t size)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(p->cluster->conf);

    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_events(
        conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS |
                  (p->cluster->token_file ? RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH : 0));
    if (p->patience == KAFKA_ENDLESS)
        be_endless(p->cluster, conf);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, size);
    if (!rk)
        rd_kafka_conf_destroy(conf);
    return rk;
}

static void start_thread(struct kafka_producer *p)
{
    sigset_t all, before;
    pthread_t thread;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    REQUIRE(pthread_create(&thread, NULL, kafka_reporter_main, p) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_setname_np(thread, "dml-kafka");
    pthread_detach(thread);
}

/* However many publish, its thread gets in. */
static void init_lock(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attr;

    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    REQUIRE(pthread_rwlock_init(lock, &attr) == 0);
    pthread_rwlockattr_destroy(&attr);
}

/* NULL when librdkafka can't. Under kafka_all.lock. */
static struct kafka_producer *start(struct kafka_cluster *cluster, enum kafka_patience patience,
                                    struct kafka_count *count)
{
    struct kafka_producer *p = calloc(1, sizeof(*p));
    char why[256];

    REQUIRE(p != NULL);
    p->cluster = kafka_cluster_ref(cluster);
    p->count = count;
    p->patience = patience;
    atomic_init(&p->epoch, 1);
    p->rk = kafka_make_rk(p, why, sizeof(why));
    if (!p->rk) {
        LOG_ERROR("kafka.start", "no producer can be made", LOG_S("cluster", cluster->name),
                  LOG_C("why", why));
        kafka_cluster_unref(p->cluster);
        free(p);
        return NULL;
    }
    p->queue = rd_kafka_queue_get_main(p->rk);
    init_lock(&p->lock);
    list_append(&kafka_all.producers, &p->link);
    kafka_all.nthreads++;
    start_thread(p);
    return p;
}

static struct kafka_producer *find(const struct kafka_cluster *cluster,
                                   enum kafka_patience patience)
{
    LIST_EACH (it, &kafka_all.producers) {
        struct kafka_producer *p = container_of(it, struct kafka_producer, link);
        if (p->patience == patience && slice_eq(p->cluster->identity, cluster->identity))
            return p;
    }
    return NULL;
}

struct kafka_producer *kafka_producer_use(struct kafka_cluster *cluster,
                                          enum kafka_patience patience)
{
    struct kafka_count *count = kafka_count_of(cluster->name);
    struct kafka_producer *p = NULL;

    pthread_mutex_lock(&kafka_all.lock);
    if (!kafka_all.is_ending) {
        p = find(cluster, patience);
        if (!p)
            p = start(cluster, patience, count);
    }
    if (p) {
        p->users++;
        p->deadline_ms = 0;
    }
    pthread_mutex_unlock(&kafka_all.lock);
    return p;
}

void kafka_producer_unuse(struct kafka_producer *p)
{
    pthread_mutex_lock(&kafka_all.lock);
    if (--p->users == 0) {
        if (p->deadline_ms == 0)
            p->deadline_ms = kafka_now_ms() + p->cluster->message_timeout_ms + END_MS;
        if (p->is_over)
            kafka_free(p);
        else
            kafka_reporter_wake(p);
    }
    pthread_mutex_unlock(&kafka_all.lock);
}

/* --- publishing ---------------------------------------------------------------------------------------------------- */

const char *kafka_outcome_word(enum kafka_outcome o)
{
    static const char *const words[KAFKA_OUTCOMES] = {"delivered", "refused", "failed", "unknown"};

    return words[o];
}

/* What Kafka allows, so that a name never comes back as an error of a batch that others share. */
static bool is_topic(struct slice s)
{
    if (s.len == 0 || s.len > KAFKA_TOPIC_MAX || slice_eq(s, SLICE(".")) ||
        slice_eq(s, SLICE("..")))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

int kafka_check(const struct kafka_cluster *c, const struct kafka_record *record)
{
    size_t size = record->key.len + record->value.len;

    if (UNLIKELY(!is_topic(record->topic)))
        return ERR_SYNTAX;
    if (UNLIKELY(record->nheaders > KAFKA_HEADERS_MAX))
        return ERR_LIMIT;
    for (size_t i = 0; i < record->nheaders; i++)
        size += record->headers[i].name.len + record->headers[i].value.len;
    return size > c->message_max ? ERR_LIMIT : 0;
}

bool kafka_is_refusal(rd_kafka_resp_err_t err)
{
    switch (err) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT: return true;
    default: return false;
    }
}

/* That a partition is not there is what librdkafka says of a topic in the moment in which it is deleted. */
bool kafka_is_of_topic(const struct kafka_report *r, rd_kafka_resp_err_t err)
{
    return (err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION && !r->is_placed) ||
           err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
}

static rd_kafka_headers_t *headers_of(const struct kafka_record *record)
{
    if (record->nheaders == 0)
        return NULL;
    rd_kafka_headers_t *out = rd_kafka_headers_new(record->nheaders);
    REQUIRE(out != NULL);
    for (size_t i = 0; i < record->nheaders; i++) {
        const struct kafka_header *h = &record->headers[i];
        REQUIRE(rd_kafka_header_add(out, h->name.ptr, (ssize_t)h->name.len, h->value.ptr,
                                    (ssize_t)h->value.len) == 0);
    }
    return out;
}

static rd_kafka_resp_err_t produce(rd_kafka_t *rk, const struct kafka_record *record,
                                   struct kafka_report *r)
{
    rd_kafka_headers_t *headers = headers_of(record);
    char topic[KAFKA_TOPIC_MAX + 1];
    rd_kafka_vu_t vus[8];
    size_t n = 0;

    *slice_put(topic, record->topic) = '\0';
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic};
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = record->partition};
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY};
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = r};
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp_ms};
    vus[n++] = (rd_kafka_vu_t){
        .vtype = RD_KAFKA_VTYPE_KEY,
        .u.mem = {.ptr = (void *)(uintptr_t)record->key.ptr, .size = record->key.len}};
    vus[n++] = (rd_kafka_vu_t){
        .vtype = RD_KAFKA_VTYPE_VALUE,
        .u.mem = {.ptr = (void *)(uintptr_t)record->value.ptr, .size = record->value.len}};
    if (headers)
        vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers};
    rd_kafka_error_t *error = rd_kafka_produceva(rk, vus, n);
    if (LIKELY(!error))
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (headers)
        rd_kafka_headers_destroy(headers);
    return code;
}

/* What the producer knows at once. */
static void send_own(struct kafka_producer *p, struct kafka_report *r, enum kafka_outcome outcome,
                     const char *why)
{
    r->outcome = outcome;
    snprintf(r->why, sizeof(r->why), "%s", why);
    atomic_fetch_add_explicit(&p->count->records[outcome], 1, memory_order_relaxed);
    kafka_report_send(r);
}

static int refuse_for_now(struct kafka_producer *p, const struct kafka_record *record,
                          struct kafka_report *r)
{
    if (record->epoch)
        return ERR_RESET;
    send_own(p, r, KAFKA_FAILED, "the producer is being made anew");
    return 0;
}

static int publish_to(struct kafka_producer *p, rd_kafka_t *rk, const struct kafka_record *record,
                      struct kafka_report *r)
{
    long long bytes = (long long)(record->key.len + record->value.len);

    atomic_fetch_add_explicit(&p->count->queued_records, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->count->queued_bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->published, 1, memory_order_release);
    rd_kafka_resp_err_t err = produce(rk, record, r);
    if (LIKELY(err == RD_KAFKA_RESP_ERR_NO_ERROR))
        return 0;
    atomic_fetch_sub_explicit(&p->count->queued_records, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&p->count->queued_bytes, bytes, memory_order_relaxed);
    if (rd_kafka_fatal_error(rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return refuse_for_now(p, record, r);
    switch (err) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL: return ERR_FULL;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: return ERR_LIMIT;
    default:
        r->is_of_topic = kafka_is_of_topic(r, err);
        send_own(p, r, kafka_is_refusal(err) ? KAFKA_REFUSED : KAFKA_FAILED, rd_kafka_err2str(err));
        return 0;
    }
}

int kafka_publish(struct kafka_producer *p, const struct kafka_record *record,
                  struct kafka_report *r)
{
    int rc = kafka_check(p->cluster, record);

    r->why[0] = '\0';
    r->partition = -1;
    r->offset = -1;
    r->is_placed = record->partition >= 0;
    r->was_left = r->is_shared = r->is_of_topic = false;
    pthread_rwlock_rdlock(&p->lock);
    if (rc < 0)
        ; /* said below */
    else if (UNLIKELY(atomic_load_explicit(&p->is_closed, memory_order_relaxed)))
        rc = ERR_CLOSED;
    else if (record->epoch && record->epoch != kafka_epoch(p))
        rc = ERR_RESET;
    else if (UNLIKELY(!p->rk))
        rc = refuse_for_now(p, record, r);
    else
        rc = publish_to(p, p->rk, record, r);
    pthread_rwlock_unlock(&p->lock);
    if (UNLIKELY(rc == ERR_FULL || rc == ERR_LIMIT || rc == ERR_SYNTAX))
        atomic_fetch_add_explicit(&p->count->turned_away, 1, memory_order_relaxed);
    return rc;
}

uint32_t kafka_epoch(struct kafka_producer *p)
{
    return atomic_load_explicit(&p->epoch, memory_order_acquire);
}

/* --- the end ------------------------------------------------------------------------------------------------------- */

uint64_t kafka_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool kafka_wait_until(uint64_t end_ms)
{
    struct timespec at = {.tv_sec = (time_t)(end_ms / 1000),
                          .tv_nsec = (long)(end_ms % 1000) * 1000000};

    return pthread_cond_clockwait(&kafka_all.changed, &kafka_all.lock, CLOCK_MONOTONIC, &at) !=
           ETIMEDOUT;
}

void kafka_free(struct kafka_producer *p)
{
    kafka_cluster_unref(p->cluster);
    pthread_rwlock_destroy(&p->lock);
    free(p);
}

void kafka_hurry(void)
{
    pthread_mutex_lock(&kafka_all.lock);
    LIST_EACH (it, &kafka_all.producers) {
        struct kafka_producer *p = container_of(it, struct kafka_producer, link);
        if (p->users > 0 || p->patience != KAFKA_ENDLESS)
            continue;
        p->deadline_ms = kafka_now_ms();
        kafka_reporter_wake(p);
    }
    pthread_mutex_unlock(&kafka_all.lock);
}

void kafka_end(uint32_t flush_ms)
{
    uint64_t until = kafka_now_ms() + flush_ms;

    pthread_mutex_lock(&kafka_all.lock);
    kafka_all.is_ending = true;
    LIST_EACH (it, &kafka_all.producers) {
        struct kafka_producer *p = container_of(it, struct kafka_producer, link);
        pthread_rwlock_wrlock(&p->lock);
        atomic_store_explicit(&p->is_closed, true, memory_order_relaxed);
        pthread_rwlock_unlock(&p->lock);
        p->deadline_ms = until;
        kafka_reporter_wake(p);
    }
    while (kafka_all.nthreads > 0 && kafka_wait_until(until + END_MS))
        ;
    if (kafka_all.nthreads > 0)
        LOG_WARN("kafka.end", "a producer does not end: the process goes without it");
    kafka_all.is_ending = false;
    pthread_mutex_unlock(&kafka_all.lock);
}
