/* SPDX-License-Identifier: Apache-2.0 */

/* librdkafka takes an option's value as text, ignores what stands behind a number ("10s" is 10 to it), and only warns of
 * options that it has for consumers. So it is asked for its own table of options first. */

#include "side/kafka_option.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdio.h>

#include "base/check.h"
#include "base/text.h"
#include "base/vec.h"

#define VALUE_MAX 65536 /* PEM texts are among them */

/* A row of the table. */
struct property {
    const char *name;
    char role; /* '*', 'P' or 'C': producers and consumers, one of both */
    bool is_int, is_float;
};

static VEC(struct property) properties;
static VEC(const char *) names; /* of those that may be set */
static pthread_once_t properties_once = PTHREAD_ONCE_INIT;

/* --- what the gateway keeps for itself ----------------------------------------------------------------------------- */

#define IS_OURS "belongs to the gateway and can't be set"
#define IS_CODE "would load or run code, which a configuration can't"

static const struct {
    const char *name, *value, *why; /* value NULL: any */
} refused[] = {
    {"bootstrap.servers", NULL, "is what `brokers` says"},
    {"metadata.broker.list", NULL, "is what `brokers` says"},
    {"statistics.interval.ms", NULL, "belongs to the gateway: statistics are in /metrics"},
    {"transactional.id", NULL,
     "can't be set: records are published one by one, without transactions"},
    {"transaction.timeout.ms", NULL, "can't be set: there are no transactions"},
    {"delivery.report.only.error", NULL, "can't be set: each record gets its report"},
    {"message.timeout.ms", "0", "must be above 0: nobody may wait for ever"},
    {"delivery.timeout.ms", "0", "must be above 0: nobody may wait for ever"},
    {"queue.buffering.max.messages", "0", "must be above 0: what waits in memory is bounded"},
    {"acks", "0", "must be 1, all or -1: with 0 no broker says what became of a record"},
    {"request.required.acks", "0",
     "must be 1, all or -1: with 0 no broker says what became of a record"},
    {"produce.offset.report", "false", "must be true: reports carry the offset"},
    {"plugin.library.paths", NULL, IS_CODE},
    {"ssl.engine.location", NULL, IS_CODE},
    {"sasl.kerberos.kinit.cmd", NULL, IS_CODE},
    {"background_event_cb", NULL, IS_OURS},
    {"builtin.features", NULL, IS_OURS},
    {"closesocket_cb", NULL, IS_OURS},
    {"connect_cb", NULL, IS_OURS},
    {"default_topic_conf", NULL, IS_OURS},
    {"dr_cb", NULL, IS_OURS},
    {"dr_msg_cb", NULL, IS_OURS},
    {"enabled_events", NULL, IS_OURS},
    {"error_cb", NULL, IS_OURS},
    {"interceptors", NULL, IS_OURS},
    {"internal.termination.signal", NULL, IS_OURS},
    {"log.queue", NULL, IS_OURS},
    {"log.thread.name", NULL, IS_OURS},
    {"log_cb", NULL, IS_OURS},
    {"msg_order_cmp", NULL, IS_OURS},
    {"oauthbearer_token_refresh_cb", NULL, IS_OURS},
    {"opaque", NULL, IS_OURS},
    {"open_cb", NULL, IS_OURS},
    {"partitioner_cb", NULL, IS_OURS},
    {"resolve_cb", NULL, IS_OURS},
    {"socket_cb", NULL, IS_OURS},
    {"ssl.certificate.verify_cb", NULL, IS_OURS},
    {"ssl_ca", NULL, "can't be set: use ssl.ca.pem"},
    {"ssl_certificate", NULL, "can't be set: use ssl.certificate.pem"},
    {"ssl_engine_callback_data", NULL, IS_OURS},
    {"ssl_key", NULL, "can't be set: use ssl.key.pem"},
    {"stats_cb", NULL, IS_OURS},
    {"throttle_cb", NULL, IS_OURS},
};

/* Why the option may not have this value (absent: any), or NULL. */
static const char *refusal(struct slice name, struct slice value)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        if (!slice_eq(name, slice_from(refused[i].name)))
            continue;
        if (!refused[i].value || slice_eq(value, slice_from(refused[i].value)))
            return refused[i].why;
    }
    return NULL;
}

/* --- librdkafka's table -------------------------------------------------------------------------------------------- */

/* "name | role | range | ..." */
static void read_row(struct slice line)
{
    struct slice part, rest = line;

    if (!slice_split(&rest, '|', &part))
        return;
    struct slice name = slice_trim(part);
    if (!slice_split(&rest, '|', &part))
        return;
    struct slice role = slice_trim(part);
    if (role.len != 1)
        return;
    struct property p = {
        .name = slice_dup(name),
        .role = role.ptr[0],
        .is_int = slice_find(rest, SLICE("*Type: integer*")) >= 0,
        .is_float = slice_find(rest, SLICE("*Type: float*")) >= 0,
    };
    vec_push(&properties, p);
    if (p.role != 'C' && !refusal(name, SLICE_NONE))
        vec_push(&names, p.name);
}

/* It stays until the process ends. */
static void read_properties(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    struct slice line;

    REQUIRE(f != NULL);
    rd_kafka_conf_properties_show(f);
    fclose(f);
    for (struct slice rest = slice_of(text, len); slice_split(&rest, '\n', &line);)
        read_row(line);
    free(text);
}

/* NULL: there is none of that name. */
static const struct property *find_property(struct slice name)
{
    pthread_once(&properties_once, read_properties);
    for (size_t i = 0; i < properties.n; i++)
        if (slice_eq(name, slice_from(properties.items[i].name)))
            return &properties.items[i];
    return NULL;
}

/* --- one option ---------------------------------------------------------------------------------------------------- */

/* A word is librdkafka's to judge: acks may be "all". */
static bool has_unit(const struct property *p, struct slice value)
{
    double x;
    int64_t n;

    if (value.len == 0 || (value.ptr[0] != '-' && (value.ptr[0] < '0' || value.ptr[0] > '9')))
        return false;
    return (p->is_int && text_to_i64(value, &n) < 0) ||
           (p->is_float && text_to_double(value, &x) < 0);
}

static const char *check(const struct kafka_option *o, const struct property *p)
{
    const char *why = refusal(o->name, o->value);

    if (why)
        return why;
    if (p->role == 'C')
        return "is an option of consumers";
    if (memchr(o->value.ptr, '\0', o->value.len))
        return "has a NUL byte";
    if (o->value.len > VALUE_MAX)
        return "is longer than 64 KiB";
    if (has_unit(p, o->value))
        return "is a number without a unit, in the one that its name says";
    return NULL;
}

static void say(char fault[KAFKA_FAULT_TEXT], const char *text)
{
    snprintf(fault, KAFKA_FAULT_TEXT, "%s", text);
}

static void say_unknown(struct slice name, char fault[KAFKA_FAULT_TEXT])
{
    const char *near = text_nearest(name, names.items, names.n);

    if (near)
        snprintf(fault, KAFKA_FAULT_TEXT, "librdkafka has no such option, did you mean \"%s\"?",
                 near);
    else
        say(fault, "librdkafka has no such option");
}

/* In librdkafka's own words, unless they would show a secret. */
static void say_invalid(const struct kafka_option *o, const char *words,
                        char fault[KAFKA_FAULT_TEXT])
{
    struct slice text = slice_from(words);

    while (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (o->is_hidden)
        say(fault, "has a value that librdkafka does not take");
    else
        snprintf(fault, KAFKA_FAULT_TEXT, "%.*s", SLICE_ARG(text));
}

bool kafka_option_is_known(struct slice name)
{
    return find_property(name) != NULL;
}

bool kafka_option_set(struct rd_kafka_conf_s *conf, const struct kafka_option *option,
                      char fault[KAFKA_FAULT_TEXT])
{
    const struct property *p = find_property(option->name);
    char words[KAFKA_FAULT_TEXT] = "";

    if (!p) {
        say_unknown(option->name, fault);
        return false;
    }
    const char *why = check(option, p);
    if (why) {
        say(fault, why);
        return false;
    }
    char *value = slice_dup(option->value);
    bool is_set = rd_kafka_conf_set(conf, p->name, value, words, sizeof(words)) == RD_KAFKA_CONF_OK;
    explicit_bzero(value, option->value.len);
    free(value);
    if (!is_set)
        say_invalid(option, words, fault);
    return is_set;
}
