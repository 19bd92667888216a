/* SPDX-License-Identifier: Apache-2.0 */

/* The cluster stands first, so that who looks for the events of one reads no more of the others. */

#include "side/kafka_record.h"

#include "base/err.h"

#define VERSION 1
#define ABSENT UINT32_MAX /* as a length */

struct numbers {
    int64_t timestamp_ms;
    int32_t partition;
    uint32_t nheaders;
};
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they are");

/* --- writing --------------------------------------------------------------------------------------------------------- */

static size_t text_size(struct slice s)
{
    return sizeof(uint32_t) + (s.ptr ? s.len : 0);
}

size_t kafka_event_size(const struct kafka_event *e)
{
    const struct kafka_record *r = &e->record;
    size_t size = 1 + text_size(e->cluster) + text_size(e->id) + text_size(e->dead_letter_topic) +
                  text_size(e->dead_letter_file) + text_size(r->topic) + text_size(r->key) +
                  text_size(r->value) + sizeof(struct numbers);

    for (size_t i = 0; i < r->nheaders; i++)
        size += text_size(r->headers[i].name) + text_size(r->headers[i].value);
    return size;
}

static char *put_text(char *out, struct slice s)
{
    uint32_t len = s.ptr ? (uint32_t)s.len : ABSENT;

    memcpy(out, &len, sizeof(len));
    out += sizeof(len);
    return s.ptr ? slice_put(out, s) : out;
}

void kafka_event_write(const struct kafka_event *e, char *out)
{
    const struct kafka_record *r = &e->record;
    struct numbers n = {r->timestamp_ms, r->partition, (uint32_t)r->nheaders};

    *out++ = VERSION;
    out = put_text(out, e->cluster);
    out = put_text(out, e->id);
    out = put_text(out, e->dead_letter_topic);
    out = put_text(out, e->dead_letter_file);
    out = put_text(out, r->topic);
    out = put_text(out, r->key);
    out = put_text(out, r->value);
    memcpy(out, &n, sizeof(n));
    out += sizeof(n);
    for (size_t i = 0; i < r->nheaders; i++) {
        out = put_text(out, r->headers[i].name);
        out = put_text(out, r->headers[i].value);
    }
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

static bool take(struct slice *bytes, void *out, size_t len)
{
    if (bytes->len < len)
        return false;
    memcpy(out, bytes->ptr, len);
    *bytes = slice_from_index(*bytes, len);
    return true;
}

static bool take_text(struct slice *bytes, struct slice *out)
{
    uint32_t len;

    *out = SLICE_NONE;
    if (!take(bytes, &len, sizeof(len)))
        return false;
    if (len == ABSENT)
        return true;
    if (bytes->len < len)
        return false;
    *out = slice_of(bytes->ptr, len);
    *bytes = slice_from_index(*bytes, len);
    return true;
}

int kafka_event_cluster(struct slice bytes, struct slice *cluster)
{
    uint8_t version;

    if (!take(&bytes, &version, 1) || version != VERSION || !take_text(&bytes, cluster))
        return ERR_SYNTAX;
    return cluster->ptr ? 0 : ERR_SYNTAX;
}

int kafka_event_topic(struct slice bytes, struct slice *topic)
{
    if (kafka_event_cluster(bytes, topic) < 0)
        return ERR_SYNTAX;
    bytes = slice_from_index(bytes, 1);
    for (int i = 0; i < 5; i++) /* cluster, id, two dead-letter places, topic */
        if (!take_text(&bytes, topic))
            return ERR_SYNTAX;
    return topic->ptr ? 0 : ERR_SYNTAX;
}

int kafka_event_read(struct slice bytes, struct kafka_event *out,
                     struct kafka_header headers[KAFKA_HEADERS_MAX])
{
    struct slice cluster;
    struct numbers n;

    *out = (struct kafka_event){0};
    if (kafka_event_cluster(bytes, &cluster) < 0)
        return ERR_SYNTAX;
    bytes = slice_from_index(bytes, 1);
    struct kafka_record *r = &out->record;
    struct slice *const texts[] = {
        &out->cluster, &out->id, &out->dead_letter_topic, &out->dead_letter_file, &r->topic,
        &r->key,       &r->value};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (!take_text(&bytes, texts[i]))
            return ERR_SYNTAX;
    if (!take(&bytes, &n, sizeof(n)) || n.nheaders > KAFKA_HEADERS_MAX || n.partition < -1)
        return ERR_SYNTAX;
    for (uint32_t i = 0; i < n.nheaders; i++)
        if (!take_text(&bytes, &headers[i].name) || !headers[i].name.ptr ||
            !take_text(&bytes, &headers[i].value))
            return ERR_SYNTAX;
    r->timestamp_ms = n.timestamp_ms;
    r->partition = n.partition;
    r->headers = headers;
    r->nheaders = n.nheaders;
    return bytes.len == 0 && r->topic.ptr ? 0 : ERR_SYNTAX;
}
