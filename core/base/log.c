/* SPDX-License-Identifier: Apache-2.0 */

/* One line per event, made in one piece of memory and written by one write(2), so that lines of
 * several threads and of the supervisor do not mix. A place that repeats itself is held back after
 * ten lines a second; places that ever were are on a list, for what they still have to tell. Nothing a client sent can forge a line: values are quoted as JSON as soon as
 * they hold anything but plain characters. */

#include "base/log.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/sink.h"
#include "base/text.h"

#define LINES_PER_SECOND 10
#define QUIET_MS 2000 /* no line for so long: nothing will tell what was held back */
#define MAX_VALUE (8 * KIB)
#define MAX_VALUES (64 * KIB)
/* A byte takes at most six when quoted; the rest is for numbers and punctuation. */
#define MAX_LINE (8 * MAX_VALUES)

static const struct {
    const char *name, *shout, *colour;
} levels[] = {
    [LOG_DEBUG] = {"debug", "DEBUG", "\033[2m"},
    [LOG_INFO] = {"info", "INFO", "\033[32m"},
    [LOG_WARN] = {"warn", "WARN", "\033[33m"},
    [LOG_ERROR] = {"error", "ERROR", "\033[31m"},
    [LOG_OFF] = {"off", "OFF", ""},
};

static atomic_int current_level = LOG_INFO;
static atomic_int current_format = LOG_JSON;
static atomic_bool has_colours;

static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sink sink = {.fd = -1};
static _Atomic(uint64_t) lost, untold;

static struct log_site *_Atomic held_back; /* the list of them */

static pthread_mutex_t capture_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool is_captured;
static void (*capture_fn)(void *arg, enum log_level level, struct slice line);
static void *capture_arg;

void log_configure(enum log_level level, enum log_format format)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&current_format, (int)format, memory_order_relaxed);
    atomic_store_explicit(&has_colours, format == LOG_TEXT && isatty(STDERR_FILENO),
                          memory_order_relaxed);
}

enum log_level log_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

int log_level_parse(struct slice s)
{
    for (size_t i = 0; i < COUNT_OF(levels); i++)
        if (slice_eq(s, slice_from(levels[i].name)))
            return (int)i;
    return ERR_SYNTAX;
}

void log_capture(void (*fn)(void *arg, enum log_level level, struct slice line), void *arg)
{
    pthread_mutex_lock(&capture_lock);
    capture_fn = fn;
    capture_arg = arg;
    atomic_store(&is_captured, fn != NULL);
    pthread_mutex_unlock(&capture_lock);
}

/* The first time puts the place on the list, from which it never goes. */
static void hold_back(struct log_site *site, enum log_level level, const char *event)
{
    const char *none = NULL;

    __atomic_fetch_add(&site->suppressed, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&site->event, __ATOMIC_RELAXED) ||
        !__atomic_compare_exchange_n(&site->event, &none, event, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    site->level = level;
    site->next = atomic_load(&held_back);
    while (!atomic_compare_exchange_weak(&held_back, &site->next, site))
        ;
}

/* May this place write now? *suppressed: how many lines it held back before. Threads may race here;
 * then a line more or less gets through. The clocks are read afresh: not every thread that logs has
 * a loop. */
static bool is_allowed(struct log_site *site, enum log_level level, const char *event,
                       uint32_t *suppressed)
{
    uint64_t now = clock_us_now() / 1000;

    if ((int64_t)(now - __atomic_load_n(&site->window_ms, __ATOMIC_RELAXED)) >= 1000) {
        __atomic_store_n(&site->window_ms, now, __ATOMIC_RELAXED);
        __atomic_store_n(&site->count, 0, __ATOMIC_RELAXED);
    }
    if (__atomic_fetch_add(&site->count, 1, __ATOMIC_RELAXED) >= LINES_PER_SECOND) {
        hold_back(site, level, event);
        return false;
    }
    *suppressed = __atomic_exchange_n(&site->suppressed, 0, __ATOMIC_RELAXED);
    return true;
}

/* s, cut to what one value may have and the line has left, not inside a character. */
static struct slice cut(struct slice s, size_t *left)
{
    size_t n = MIN(MIN(s.len, MAX_VALUE), *left);

    if (n < s.len)
        while (n > 0 && ((uint8_t)s.ptr[n] & 0xc0) == 0x80)
            n--;
    *left -= n;
    return slice_sub(s, 0, n);
}

static void json_field(struct json_writer *w, const struct log_field *field, size_t *left)
{
    json_key_lossy(w, cut(slice_from(field->key), left));
    switch (field->type) {
    case LOG_FIELD_STR:
        if (field->s.ptr)
            json_string_lossy(w, cut(field->s, left));
        else
            json_null(w);
        break;
    case LOG_FIELD_INT: json_int(w, field->i); break;
    case LOG_FIELD_NUM:
        if (isfinite(field->d))
            json_number(w, field->d);
        else
            json_null(w);
        break;
    case LOG_FIELD_BOOL: json_bool(w, field->i); break;
    }
}

struct line {
    enum log_level level;
    const char *event;
    struct slice text;
    const struct log_field *fields;
    size_t nfields;
    uint32_t suppressed;
};

static int write_json(struct buf *out, const struct line *line, const char *date)
{
    struct json_writer w;
    size_t left = MAX_VALUES;

    json_writer_init(&w, out, 0);
    json_object(&w);
    json_key(&w, SLICE("ts"));
    json_string(&w, slice_from(date));
    json_key(&w, SLICE("level"));
    json_string(&w, slice_from(levels[line->level].name));
    json_key(&w, SLICE("event"));
    json_string_lossy(&w, slice_from(line->event));
    json_key(&w, SLICE("msg"));
    json_string_lossy(&w, cut(line->text, &left));
    for (size_t i = 0; i < line->nfields; i++)
        json_field(&w, &line->fields[i], &left);
    if (line->suppressed) {
        json_key(&w, SLICE("suppressed"));
        json_int(&w, line->suppressed);
    }
    json_object_end(&w);
    return json_writer_end(&w);
}

/* Is s readable as it stands, without quotes? In a value a blank or "=" would look like the next
 * field. */
static bool is_plain(struct slice s, bool is_value)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.ptr[i];
        if (c < ' ' || c == 0x7f || (is_value && (c == ' ' || c == '"' || c == '=')))
            return false;
    }
    return (s.len > 0 || !is_value) && text_is_utf8(s);
}

static int text_value(struct buf *out, struct slice s, bool is_value)
{
    return is_plain(s, is_value) ? buf_add(out, s) : json_quote(out, s);
}

static int text_field(struct buf *out, const struct log_field *field, size_t *left)
{
    int rc = buf_add(out, SLICE(" "));

    if (rc == 0)
        rc = text_value(out, cut(slice_from(field->key), left), true);
    if (rc == 0)
        rc = buf_add(out, SLICE("="));
    if (rc < 0)
        return rc;
    switch (field->type) {
    case LOG_FIELD_STR:
        return field->s.ptr ? text_value(out, cut(field->s, left), true) : buf_add(out, SLICE("-"));
    case LOG_FIELD_INT: return buf_printf(out, "%lld", (long long)field->i);
    case LOG_FIELD_NUM: return buf_printf(out, "%g", field->d);
    default: return buf_add(out, field->i ? SLICE("true") : SLICE("false"));
    }
}

static int write_text(struct buf *out, const struct line *line, const char *date)
{
    bool colours = atomic_load_explicit(&has_colours, memory_order_relaxed);
    size_t left = MAX_VALUES;

    int rc = buf_printf(out, "%s %s%s%s ", date, colours ? levels[line->level].colour : "",
                        levels[line->level].shout, colours ? "\033[0m" : "");
    if (rc == 0)
        rc = text_value(out, cut(slice_from(line->event), &left), true);
    if (rc == 0)
        rc = buf_add(out, SLICE(": "));
    if (rc == 0)
        rc = text_value(out, cut(line->text, &left), false);
    for (size_t i = 0; rc == 0 && i < line->nfields; i++)
        rc = text_field(out, &line->fields[i], &left);
    if (rc == 0 && line->suppressed)
        rc = buf_printf(out, " suppressed=%u", line->suppressed);
    return rc;
}

/* Lines that can't be written are counted, and told of by the next one that can. */
static bool write_stderr(struct slice s)
{
    pthread_mutex_lock(&sink_lock);
    if (sink.fd != STDERR_FILENO)
        sink_init(&sink, STDERR_FILENO);
    bool fine = sink_write(&sink, s).len == 0;
    pthread_mutex_unlock(&sink_lock);
    if (!fine) {
        atomic_fetch_add(&lost, 1);
        atomic_fetch_add(&untold, 1);
    }
    return fine;
}

uint64_t log_lost(void)
{
    return atomic_load(&lost);
}

/* True when the line went to a test's function. */
static bool give_to_capture(enum log_level level, struct slice text)
{
    bool is_given = false;

    if (!atomic_load(&is_captured))
        return false;
    pthread_mutex_lock(&capture_lock);
    if (capture_fn) {
        capture_fn(capture_arg, level, text);
        is_given = true;
    }
    pthread_mutex_unlock(&capture_lock);
    return is_given;
}

static bool write_line(const struct line *line)
{
    char date[25];
    struct buf out;
    bool fine = true;

    text_iso_date(clock_wall_ms_now(), date);
    buf_init(&out, MAX_LINE);
    bool is_json = atomic_load_explicit(&current_format, memory_order_relaxed) == LOG_JSON;
    int rc = is_json ? write_json(&out, line, date) : write_text(&out, line, date);
    /* The newline is not part of what a test sees. */
    if (rc == 0 && !give_to_capture(line->level, buf_slice(&out)) &&
        buf_add(&out, SLICE("\n")) == 0)
        fine = write_stderr(buf_slice(&out));
    buf_deinit(&out);
    return fine;
}

static void tell_lost(void)
{
    uint64_t n = atomic_exchange(&untold, 0);
    struct log_field fields[] = {LOG_I("lines", n)};
    struct line line = {
        LOG_ERROR, "log.lost",       SLICE("lines of this log could not be written"),
        fields,    COUNT_OF(fields), 0};

    if (n > 0 && !write_line(&line))
        atomic_fetch_add(&untold, n - 1); /* and itself */
}

void log_write(struct log_site *site, enum log_level level, const char *event, struct slice text,
               const struct log_field *fields, size_t nfields)
{
    struct line line = {level, event, text, fields, nfields, 0};

    if (site && !is_allowed(site, level, event, &line.suppressed))
        return;
    if (write_line(&line) && UNLIKELY(atomic_load(&untold) > 0))
        tell_lost();
}

void log_tell_suppressed(bool is_end)
{
    uint64_t now = clock_us_now() / 1000;

    for (struct log_site *site = atomic_load(&held_back); site; site = site->next) {
        struct line line = {.level = site->level,
                            .event = site->event,
                            .text = SLICE("more of these were held back")};
        uint64_t window = __atomic_load_n(&site->window_ms, __ATOMIC_RELAXED);
        if (!is_end && (int64_t)(now - window) < QUIET_MS)
            continue;
        line.suppressed = __atomic_exchange_n(&site->suppressed, 0, __ATOMIC_RELAXED);
        if (line.suppressed && (int)line.level >= (int)log_level())
            write_line(&line);
    }
}
