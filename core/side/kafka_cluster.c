/* SPDX-License-Identifier: Apache-2.0 */

/* What a cluster's producers are made with: our defaults, the operator's options over them. Some faults show only when a
 * producer is made of them (a file that is no certificate, options that contradict each other), so one is made, without
 * brokers, and ended at once: a fraction of a millisecond. */

#include "side/kafka_cluster.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/text.h"
#include "side/kafka_option.h"
#include "side/kafka_token.h"

#define IDENTITY_MAX (16 * MIB)

/* Where librdkafka's own default does not suit a gateway. */
static const struct {
    const char *name, *value;
} defaults[] = {
    {"client.id", "demilune"},
    {"enable.idempotence", "true"}, /* and so acks=all */
    {"compression.codec", "lz4"},
    {"partitioner", "murmur2_random"}, /* as Java's clients do: keys land in the same partition */
    {"socket.keepalive.enable", "true"},
    {"message.timeout.ms", "30000"},                 /* 5 minutes is longer than anybody waits */
    {"queue.buffering.max.kbytes", "65536"},         /* 1 GiB */
    {"reconnect.backoff.max.ms", "2000"},            /* a broker that is back is found soon */
    {"topic.metadata.propagation.max.ms", "5000"},   /* until a topic is known not to be there */
    {"topic.metadata.refresh.interval.ms", "10000"}, /* until one that was made anew is found */
    {"log.connection.close", "false"},               /* brokers close what is idle */
    {"statistics.interval.ms", "5000"},
};

bool kafka_option_is_file(struct slice name)
{
    return slice_ends(name, SLICE(".location")) || slice_eq(name, SLICE("sasl.kerberos.keytab"));
}

/* --- making -------------------------------------------------------------------------------------------------------- */

static struct rd_kafka_conf_s *usual_conf(struct slice brokers)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[KAFKA_FAULT_TEXT], *text = slice_dup(brokers);

    for (size_t i = 0; i < COUNT_OF(defaults); i++)
        REQUIRE(rd_kafka_conf_set(conf, defaults[i].name, defaults[i].value, why, sizeof(why)) ==
                RD_KAFKA_CONF_OK);
    REQUIRE(rd_kafka_conf_set(conf, "bootstrap.servers", text, why, sizeof(why)) ==
            RD_KAFKA_CONF_OK);
    free(text);
    return conf;
}

static void get_text(const rd_kafka_conf_t *conf, const char *name, char *out, size_t size)
{
    REQUIRE(rd_kafka_conf_get(conf, name, out, &size) == RD_KAFKA_CONF_OK);
}

static uint64_t get_number(const rd_kafka_conf_t *conf, const char *name)
{
    char text[64];
    uint64_t n;

    get_text(conf, name, text, sizeof(text));
    REQUIRE(text_to_u64(slice_from(text), UINT64_MAX, &n) == 0);
    return n;
}

static bool get_bool(const rd_kafka_conf_t *conf, const char *name)
{
    char text[64];

    get_text(conf, name, text, sizeof(text));
    return strcmp(text, "true") == 0;
}

static void add(struct buf *out, struct slice text)
{
    (void)CHECK(buf_printf(out, "%zu:", text.len) == 0 && buf_add(out, text) == 0);
}

/* A file that has changed makes another cluster of it: certificates are read when a producer is made. */
static void add_file(struct buf *out, struct slice name)
{
    char *path = slice_dup(name), print[96];
    struct stat s = {0};

    (void)!stat(path, &s);
    int n = snprintf(print, sizeof(print), "%llu %lld %lld.%09ld", (unsigned long long)s.st_ino,
                     (long long)s.st_size, (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
    add(out, slice_of(print, (size_t)n));
    free(path);
}

static struct slice identity_of(const struct kafka_cluster_source *source)
{
    struct buf out;

    buf_init(&out, IDENTITY_MAX);
    add(&out, source->name);
    add(&out, source->brokers);
    add(&out, source->token_file);
    for (size_t i = 0; i < source->noptions; i++) {
        add(&out, source->options[i].name);
        add(&out, source->options[i].value);
        if (kafka_option_is_file(source->options[i].name))
            add_file(&out, source->options[i].value);
    }
    struct slice identity;
    identity.ptr = buf_take(&out, &identity.len);
    return identity;
}

static void be_quiet(const rd_kafka_t *rk UNUSED, int level UNUSED, const char *facility UNUSED,
                     const char *text UNUSED)
{
}

/* False with librdkafka's words when it makes no producer of it. */
static bool try(const rd_kafka_conf_t *conf, char why[KAFKA_FAULT_TEXT])
{
    rd_kafka_conf_t *copy = rd_kafka_conf_dup(conf);

    rd_kafka_conf_set_log_cb(copy, be_quiet);
    REQUIRE(rd_kafka_conf_set(copy, "bootstrap.servers", "", why, KAFKA_FAULT_TEXT) ==
            RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, copy, why, KAFKA_FAULT_TEXT);
    if (!rk) {
        rd_kafka_conf_destroy(copy);
        return false;
    }
    rd_kafka_destroy(rk);
    return true;
}

/* The operator's options into conf. How many are at fault. */
static size_t take_options(rd_kafka_conf_t *conf, const struct kafka_cluster_source *source,
                           kafka_fault_fn on_fault, void *arg)
{
    char fault[KAFKA_FAULT_TEXT];
    size_t nfaults = 0;

    for (size_t i = 0; i < source->noptions; i++) {
        if (kafka_option_set(conf, &source->options[i], fault))
            continue;
        on_fault(arg, (ssize_t)i, fault);
        nfaults++;
    }
    return nfaults;
}

/* What is wrong with who brings OAuth tokens, or NULL. */
static const char *fault_of_token(const rd_kafka_conf_t *conf,
                                  const struct kafka_cluster_source *source)
{
    char mechanism[64], text[KAFKA_TOKEN_MAX + 1];
    struct kafka_token token;

    get_text(conf, "sasl.mechanisms", mechanism, sizeof(mechanism));
    bool is_oauth = strcmp(mechanism, "OAUTHBEARER") == 0;
    if (!source->token_file.ptr)
        return is_oauth && !get_bool(conf, "enable.sasl.oauthbearer.unsecure.jwt")
                   ? "is needed for sasl.mechanism OAUTHBEARER"
                   : NULL;
    if (!is_oauth)
        return "is used with sasl.mechanism OAUTHBEARER only";
    const char *wrong = kafka_token_read(source->token_file.ptr, text, &token);
    explicit_bzero(text, sizeof(text));
    return wrong;
}

struct kafka_cluster *kafka_cluster_new(const struct kafka_cluster_source *source,
                                        kafka_fault_fn on_fault, void *arg)
{
    rd_kafka_conf_t *conf = usual_conf(source->brokers);
    char why[KAFKA_FAULT_TEXT];

    if (take_options(conf, source, on_fault, arg) > 0)
        goto fail;
    if (!try(conf, why)) {
        on_fault(arg, KAFKA_FAULT_WHOLE, why);
        goto fail;
    }
    const char *wrong = fault_of_token(conf, source);
    if (wrong) {
        on_fault(arg, KAFKA_FAULT_TOKEN, wrong);
        goto fail;
    }
    struct kafka_cluster *c = calloc(1, sizeof(*c));
    REQUIRE(c != NULL);
    atomic_init(&c->refs, 1);
    c->name = slice_of(slice_dup(source->name), source->name.len);
    c->token_file = source->token_file.ptr ? slice_dup(source->token_file) : NULL;
    c->identity = identity_of(source);
    c->conf = conf;
    c->message_max = get_number(conf, "message.max.bytes");
    c->message_timeout_ms = (uint32_t)get_number(conf, "message.timeout.ms");
    c->is_idempotent = get_bool(conf, "enable.idempotence");
    return c;

fail:
    rd_kafka_conf_destroy(conf);
    return NULL;
}

/* --- counting ------------------------------------------------------------------------------------------------------ */

struct kafka_cluster *kafka_cluster_ref(struct kafka_cluster *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void kafka_cluster_unref(struct kafka_cluster *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    rd_kafka_conf_destroy(c->conf);
    explicit_bzero((char *)(uintptr_t)c->identity.ptr, c->identity.len);
    free((char *)(uintptr_t)c->identity.ptr);
    free((char *)(uintptr_t)c->name.ptr);
    free(c->token_file);
    free(c);
}
