/* SPDX-License-Identifier: Apache-2.0 */

/* An event's offset is committed after `take` has done its work (auto commit stores it when the next one is asked for). */

#include "consumer.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REMEMBERED = 1024 };

static char ids[REMEMBERED][64];
static unsigned next_id;

static bool is_known(const char *id)
{
    for (int i = 0; i < REMEMBERED; i++)
        if (id[0] && strcmp(ids[i], id) == 0)
            return true;
    snprintf(ids[next_id++ % REMEMBERED], sizeof(ids[0]), "%s", id);
    return false;
}

static void copy_header(const rd_kafka_message_t *message, const char *name, char *out, size_t size)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t len;

    out[0] = '\0';
    if (!rd_kafka_message_headers(message, &headers) &&
        !rd_kafka_header_get_last(headers, name, &value, &len))
        snprintf(out, size, "%.*s", (int)len, (const char *)value);
}

static void take_message(const rd_kafka_message_t *message, void (*take)(const struct event *))
{
    char id[64], type[64], *data = strndup(message->payload ? message->payload : "", message->len);

    copy_header(message, "ce_id", id, sizeof(id));
    copy_header(message, "ce_type", type, sizeof(type));
    if (data && !is_known(id))
        take(&(struct event){.id = id, .type = type, .data = data});
    free(data);
}

static rd_kafka_t *join(const char *brokers, const char *group)
{
    static const char *const options[][2] = {
        {"auto.offset.reset", "earliest"},    /* events from before the first start, too */
        {"reconnect.backoff.max.ms", "1000"}, /* a broker that comes back is found soon */
        {"log_level", "2"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];

    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof(why));
    rd_kafka_conf_set(conf, "group.id", group, why, sizeof(why));
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        rd_kafka_conf_set(conf, options[i][0], options[i][1], why, sizeof(why));
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    if (!consumer) {
        fprintf(stderr, "%s: %s\n", group, why);
        exit(1);
    }
    return consumer;
}

int consume(const char *brokers, const char *group, const char *const *topics,
            void (*take)(const struct event *event))
{
    rd_kafka_t *consumer = join(brokers, group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(2);

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; topics[i]; i++)
        rd_kafka_topic_partition_list_add(list, topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_subscribe(consumer, list);
    for (;;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 1000);
        if (!message)
            continue;
        if (!message->err)
            take_message(message, take);
        rd_kafka_message_destroy(message);
    }
}
