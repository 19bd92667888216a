/* SPDX-License-Identifier: Apache-2.0 */

/* A mock cluster lives in a producer of its own, which publishes nothing. */

#include "side/kafka_mock.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>

#include "base/check.h"

#define ERRORS_MAX 100000

struct kafka_mock {
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
};

static void be_quiet(const rd_kafka_t *rk UNUSED, int level UNUSED, const char *facility UNUSED,
                     const char *text UNUSED)
{
}

struct kafka_mock *kafka_mock_new(int brokers)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct kafka_mock *m = calloc(1, sizeof(*m));
    char why[256];

    REQUIRE(m != NULL);
    rd_kafka_conf_set_log_cb(conf, be_quiet);
    m->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    REQUIRE(m->host != NULL);
    m->cluster = rd_kafka_mock_cluster_new(m->host, brokers);
    if (m->cluster)
        return m;
    rd_kafka_destroy(m->host);
    free(m);
    return NULL;
}

void kafka_mock_free(struct kafka_mock *m)
{
    rd_kafka_mock_cluster_destroy(m->cluster);
    rd_kafka_destroy(m->host);
    free(m);
}

const char *kafka_mock_brokers(const struct kafka_mock *m)
{
    return rd_kafka_mock_cluster_bootstraps(m->cluster);
}

bool kafka_mock_error(struct slice name, int *error)
{
    const struct rd_kafka_err_desc *descs;
    size_t n;

    rd_kafka_get_err_descs(&descs, &n);
    for (size_t i = 0; i < n; i++) {
        if (!descs[i].name || !slice_eq(slice_from(descs[i].name), name))
            continue;
        *error = descs[i].code;
        return true;
    }
    return false;
}

bool kafka_mock_make_topic(struct kafka_mock *m, const char *topic, int partitions)
{
    return rd_kafka_mock_topic_create(m->cluster, topic, partitions, 1) == 0;
}

void kafka_mock_fail_topic(struct kafka_mock *m, const char *topic, int error)
{
    rd_kafka_mock_topic_set_error(m->cluster, topic, (rd_kafka_resp_err_t)error);
}

bool kafka_mock_fail(struct kafka_mock *m, struct slice kind, const int *errors, size_t n)
{
    /* by the number of the protocol */
    static const struct {
        const char *name;
        int16_t number;
    } kinds[] = {
        {"Produce", 0}, {"Fetch", 1}, {"Metadata", 3}, {"ApiVersion", 18}, {"InitProducerId", 22},
    };
    rd_kafka_resp_err_t *codes = calloc(n + 1, sizeof(codes[0]));
    bool is_known = false;

    REQUIRE(codes != NULL && n < ERRORS_MAX);
    for (size_t i = 0; i < n; i++)
        codes[i] = (rd_kafka_resp_err_t)errors[i];
    for (size_t i = 0; i < COUNT_OF(kinds) && !is_known; i++) {
        is_known = slice_eq(kind, slice_from(kinds[i].name));
        if (is_known)
            rd_kafka_mock_push_request_errors_array(m->cluster, kinds[i].number, n, codes);
    }
    free(codes);
    return is_known;
}

bool kafka_mock_set_down(struct kafka_mock *m, int broker, bool is_down)
{
    rd_kafka_resp_err_t err = is_down ? rd_kafka_mock_broker_set_down(m->cluster, broker)
                                      : rd_kafka_mock_broker_set_up(m->cluster, broker);

    return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

bool kafka_mock_set_delay(struct kafka_mock *m, int broker, int ms)
{
    return rd_kafka_mock_broker_set_rtt(m->cluster, broker, ms) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* --- reading back -------------------------------------------------------------------------------------------------- */

#define METADATA_MS 10000

struct kafka_reader {
    rd_kafka_t *rk;
    rd_kafka_message_t *last;
};

static rd_kafka_t *make_consumer(const char *brokers, const char *const *options, char *why,
                                 size_t size)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool fine =
        rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, size) == RD_KAFKA_CONF_OK &&
        rd_kafka_conf_set(conf, "group.id", "reader", why, size) == RD_KAFKA_CONF_OK &&
        rd_kafka_conf_set(conf, "enable.auto.commit", "false", why, size) == RD_KAFKA_CONF_OK &&
        rd_kafka_conf_set(conf, "fetch.wait.max.ms", "50", why, size) == RD_KAFKA_CONF_OK;

    for (; fine && options[0]; options += 2)
        fine = rd_kafka_conf_set(conf, options[0], options[1], why, size) == RD_KAFKA_CONF_OK;
    rd_kafka_conf_set_log_cb(conf, be_quiet);
    rd_kafka_t *rk = fine ? rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, size) : NULL;
    if (!rk)
        rd_kafka_conf_destroy(conf);
    return rk;
}

/* How many partitions the topic has; 0 and why. */
static int count_partitions(rd_kafka_t *rk, const char *topic, char *why, size_t size)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *all;
    int n = 0;

    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, rkt, &all, METADATA_MS);
    if (err == 0) {
        n = all->topic_cnt > 0 ? all->topics[0].partition_cnt : 0;
        if (n == 0 && all->topic_cnt > 0)
            err = all->topics[0].err;
        rd_kafka_metadata_destroy(all);
    }
    if (n == 0)
        snprintf(why, size, "%s", rd_kafka_err2str(err));
    rd_kafka_topic_destroy(rkt);
    return n;
}

struct kafka_reader *kafka_reader_new(const char *brokers, const char *topic,
                                      const char *const *options, char *why, size_t size)
{
    rd_kafka_t *rk = make_consumer(brokers, options, why, size);

    if (!rk)
        return NULL;
    int n = count_partitions(rk, topic, why, size);
    if (n == 0) {
        rd_kafka_destroy(rk);
        return NULL;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);
    for (int i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_poll_set_consumer(rk);
    REQUIRE(rd_kafka_assign(rk, list) == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    struct kafka_reader *r = calloc(1, sizeof(*r));
    REQUIRE(r != NULL);
    r->rk = rk;
    return r;
}

static void drop_last(struct kafka_reader *r)
{
    if (r->last)
        rd_kafka_message_destroy(r->last);
    r->last = NULL;
}

void kafka_reader_free(struct kafka_reader *r)
{
    drop_last(r);
    rd_kafka_consumer_close(r->rk);
    rd_kafka_destroy(r->rk);
    free(r);
}

bool kafka_reader_next(struct kafka_reader *r, struct kafka_read *out)
{
    do {
        drop_last(r);
        r->last = rd_kafka_consumer_poll(r->rk, 0);
    } while (r->last && r->last->err); /* what it says of brokers that are away */
    if (!r->last)
        return false;
    *out = (struct kafka_read){
        .partition = r->last->partition,
        .offset = r->last->offset,
        .timestamp_ms = rd_kafka_message_timestamp(r->last, NULL),
        .key = slice_of(r->last->key, r->last->key_len),
        .value = slice_of(r->last->payload, r->last->len),
        .message = r->last,
    };
    return true;
}

bool kafka_read_header(const struct kafka_read *read, size_t i, const char **name,
                       struct slice *value)
{
    rd_kafka_headers_t *headers;
    const void *ptr;

    if (rd_kafka_message_headers(read->message, &headers) != 0 ||
        rd_kafka_header_get_all(headers, i, name, &ptr, &value->len) != 0)
        return false;
    value->ptr = ptr;
    return true;
}
