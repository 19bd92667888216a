/* SPDX-License-Identifier: Apache-2.0 */

/* A line is written with one call, to the end of the file; who collects it may have moved it away meanwhile. A FIFO that
 * nobody reads must not hold up the feeder. */

#include "side/dead_letter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/text.h"

#define LINE_MAX_BYTES (256 * (size_t)MIB) /* of the largest event, in base64 */

struct kafka_record dead_letter_record(const struct kafka_event *e, struct slice why,
                                       struct kafka_header headers[KAFKA_HEADERS_MAX])
{
    struct kafka_record r = e->record;

    r.nheaders = MIN(r.nheaders, (size_t)KAFKA_HEADERS_MAX - 2);
    memcpy(headers, r.headers, r.nheaders * sizeof(headers[0]));
    headers[r.nheaders++] = (struct kafka_header){SLICE("dead-letter-reason"), why};
    headers[r.nheaders++] = (struct kafka_header){SLICE("dead-letter-topic"), r.topic};
    r.headers = headers;
    r.topic = e->dead_letter_topic;
    r.partition = -1; /* the other topic may have fewer */
    return r;
}

static void put_base64(struct json_writer *w, struct slice s)
{
    char *text = malloc(TEXT_BASE64_SIZE(s.len) + 1);

    REQUIRE(text != NULL);
    json_string(w, slice_of(text, text_base64(s.ptr, s.len, 0, text)));
    free(text);
}

static void put_bytes(struct json_writer *w, struct slice name, struct slice name64, struct slice s)
{
    bool is_text = !s.ptr || text_is_utf8(s);

    json_key(w, is_text ? name : name64);
    if (!s.ptr)
        json_null(w);
    else if (is_text)
        json_string(w, s);
    else
        put_base64(w, s);
}

static void put_text(struct json_writer *w, struct slice name, struct slice s)
{
    json_key(w, name);
    json_string_lossy(w, s);
}

static int make_line(struct buf *out, const struct kafka_event *e, struct slice why)
{
    char date[25];
    struct json_writer w;

    text_iso_date(clock_wall_ms_now(), date);
    json_writer_init(&w, out, 0);
    json_object(&w);
    put_text(&w, SLICE("time"), slice_from(date));
    put_text(&w, SLICE("cluster"), e->cluster);
    put_text(&w, SLICE("topic"), e->record.topic);
    if (e->id.ptr)
        put_text(&w, SLICE("id"), e->id);
    put_text(&w, SLICE("reason"), why);
    put_bytes(&w, SLICE("key"), SLICE("key_base64"), e->record.key);
    put_bytes(&w, SLICE("value"), SLICE("value_base64"), e->record.value);
    json_key(&w, SLICE("headers"));
    json_array(&w);
    for (size_t i = 0; i < e->record.nheaders; i++) {
        json_array(&w);
        json_string_lossy(&w, e->record.headers[i].name);
        if (e->record.headers[i].value.ptr)
            json_string_lossy(&w, e->record.headers[i].value);
        else
            json_null(&w);
        json_array_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    int rc = json_writer_end(&w);
    return rc < 0 ? rc : buf_add(out, SLICE("\n"));
}

/* Nothing is lost of what a full file holds: it is for people to take it away. */
static bool has_room(int fd, uint64_t max, size_t len)
{
    struct stat st;

    return fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
           (uint64_t)st.st_size + len <= max;
}

/* Whole, or not at all. */
static int append(const char *path, uint64_t max, struct slice line)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0640);

    if (fd < 0)
        return ERR_SYSTEM;
    if (!has_room(fd, max, line.len)) {
        close(fd);
        return ERR_FULL;
    }
    off_t before = lseek(fd, 0, SEEK_END);
    ssize_t n = write(fd, line.ptr, line.len);
    int why = n < 0 ? errno : ENOSPC;
    if (n > 0 && n < (ssize_t)line.len && before >= 0)
        (void)!ftruncate(fd, before);
    close(fd);
    errno = why;
    return n == (ssize_t)line.len ? 0 : ERR_SYSTEM;
}

int dead_letter_write(const char *path, uint64_t max, const struct kafka_event *e, struct slice why)
{
    struct buf line;
    int rc = ERR_SYSTEM;

    buf_init(&line, LINE_MAX_BYTES);
    if (make_line(&line, e, why) < 0)
        errno = EFBIG;
    else
        rc = append(path, max, buf_slice(&line));
    buf_deinit(&line);
    return rc;
}
