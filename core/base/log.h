/* SPDX-License-Identifier: Apache-2.0 */

/* The operator's log: one line per event with level, text and key=value fields, as JSON or text, to
 * stderr. Thread-safe: a line is one write(2), or as few as a pipe allows; a reader that is stuck costs
 * lines, not time (base/sink.h). Repeats of one place are rate-limited (10 a second
 * for each call site; what was held back is counted in the next line's "suppressed", or in one of
 * its own when no other comes). Texts share
 * 64 KiB a line, 8 KiB each; what is longer is cut. Access logs are another thing (gate).
 *   {"ts":"2026-11-21T13:39:35.123Z","level":"warn","event":"tls","msg":"old file","days":80}
 *   2026-11-21T13:39:35.123Z WARN tls: old file days=80 */

#ifndef DML_BASE_LOG_H
#define DML_BASE_LOG_H

#include "base/base.h"
#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_JSON, LOG_TEXT };

/* Process-wide; before threads start or at a reload (atomics). Colours are used for LOG_TEXT on a
 * terminal. */
void log_configure(enum log_level level, enum log_format format);
enum log_level log_level(void);
int log_level_parse(struct slice s); /* level or ERR_SYNTAX */

/* Tests: lines go to this function (any thread, serialised) instead of stderr; NULL = back. */
void log_capture(void (*fn)(void *arg, enum log_level level, struct slice line), void *arg);

/* One field. Made by the macros below, used only inside LOG_x(...). */
struct log_field {
    const char *key;
    enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_NUM, LOG_FIELD_BOOL } type;
    struct slice s;
    int64_t i;
    double d;
};

#define LOG_S(key, slice) ((struct log_field){key, LOG_FIELD_STR, slice, 0, 0})
#define LOG_C(key, cstr) ((struct log_field){key, LOG_FIELD_STR, slice_from(cstr), 0, 0})
#define LOG_I(key, n) ((struct log_field){key, LOG_FIELD_INT, SLICE_NONE, (int64_t)(n), 0})
#define LOG_D(key, n) ((struct log_field){key, LOG_FIELD_NUM, SLICE_NONE, 0, (double)(n)})
#define LOG_B(key, b) ((struct log_field){key, LOG_FIELD_BOOL, SLICE_NONE, (b), 0})

struct log_site {
    uint64_t window_ms; /* start of the current second */
    uint32_t count;     /* lines in it */
    uint32_t suppressed;
    enum log_level level; /* of what was held back first, */
    const char *event;    /* and its event; NULL: nothing ever was */
    struct log_site *next;
};

/* LOG_WARN("upstream.connect", "can't connect", LOG_S("upstream", name), LOG_I("port", port));
 * The first argument is the stable event name (dotted, lower case), the second the text for
 * people. */
#define LOG_AT(level, event, text, ...) \
    do { \
        if ((level) >= log_level()) { \
            static struct log_site log_site_; \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__}; \
            log_write(&log_site_, level, event, slice_from(text), log_fields_ + 1, \
                      COUNT_OF(log_fields_) - 1); \
        } \
    } while (0)
#define LOG_DEBUG(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define LOG_INFO(...) LOG_AT(LOG_INFO, __VA_ARGS__)
#define LOG_WARN(...) LOG_AT(LOG_WARN, __VA_ARGS__)
#define LOG_ERROR(...) LOG_AT(LOG_ERROR, __VA_ARGS__)

/* site NULL = never suppressed (plugins' own lines). With a site, event lives as long as it does. */
void log_write(struct log_site *site, enum log_level level, const char *event, struct slice text,
               const struct log_field *fields, size_t nfields);

/* Lines that could not be written, since the start. */
uint64_t log_lost(void);

/* Says how many lines were held back at each place that has been quiet since; now and then, by one thread. is_end: at
 * every place, for no line follows. */
void log_tell_suppressed(bool is_end);

#endif
