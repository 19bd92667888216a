/* SPDX-License-Identifier: Apache-2.0 */

/* A line is the fields in their order, each its quoted name, made at load, and its value. Numbers and times are written
 * straight into the buffer; texts are quoted on the way. */

#include "gate/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sink.h"
#include "base/text.h"
#include "gate/exchange.h"
#include "gate/gateway.h"

#define BUFFER_MAX (4 * ACCESS_LOG_FULL) /* one line may be long */

enum field_kind {
    FIELD_TEMPLATE,
    FIELD_STATUS,
    FIELD_DURATION,
    FIELD_TIME,
    FIELD_BYTES_SENT,
    FIELD_BYTES_RECEIVED,
    FIELD_ATTEMPTS,
    FIELD_TRIES,
    FIELD_ERROR,
    FIELD_QUERY,
    FIELD_VERSION,
};

static const struct {
    const char *word;
    enum field_kind kind;
} words[] = {
    {"{status}", FIELD_STATUS},
    {"{duration}", FIELD_DURATION},
    {"{time}", FIELD_TIME},
    {"{bytes_sent}", FIELD_BYTES_SENT},
    {"{bytes_received}", FIELD_BYTES_RECEIVED},
    {"{attempts}", FIELD_ATTEMPTS},
    {"{tries}", FIELD_TRIES},
    {"{error}", FIELD_ERROR},
    {"{query}", FIELD_QUERY},
    {"{version}", FIELD_VERSION},
};

struct log_part {
    struct slice name; /* quoted, a comma before it and a colon behind */
    enum field_kind kind;
    const struct template *template;
};

struct access_log {
    /* owned */
    struct arena *arena;
    struct buf out;
    struct later flush;
    struct log_file *file; /* a share of it */
    /* state */
    struct log_part parts[ACCESS_LOG_FIELDS];
    struct {
        int from, to;
    } ranges[ACCESS_LOG_RANGES];
    uint32_t nparts, nranges;
};

/* --- files --------------------------------------------------------------------------------------------------------- */

/* Open files by path, and the right to write: no two threads' lines get into each other, and none is written while a
 * file changes. */
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list files = {&files, &files};

struct log_file {
    struct list link;
    char *path; /* NULL: standard output */
    struct sink sink;
    int refs;
};

static _Atomic(uint64_t) lost_lines;

/* Opening a FIFO would wait for who reads it. Opened for both it is always there: its reader may come later, or go and
 * come again. */
static int open_path(const char *path)
{
    int flags = O_APPEND | O_CLOEXEC | O_NONBLOCK, fd = -1;
    struct stat st;

    if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
        fd = open(path, O_RDWR | flags);
    return fd < 0 ? open(path, O_WRONLY | O_CREAT | flags, 0640) : fd;
}

static struct log_file *find_file(const char *path)
{
    LIST_EACH (link, &files) {
        struct log_file *f = container_of(link, struct log_file, link);
        if (path == f->path || (path && f->path && strcmp(path, f->path) == 0))
            return f;
    }
    return NULL;
}

static struct log_file *new_file(const char *path)
{
    int fd = path ? open_path(path) : STDOUT_FILENO;

    if (fd < 0)
        return NULL;
    struct log_file *f = calloc(1, sizeof(*f));
    REQUIRE(f != NULL);
    sink_init(&f->sink, fd);
    f->path = path ? strdup(path) : NULL;
    list_push(&files, &f->link);
    return f;
}

static struct log_file *take_file(const char *path)
{
    pthread_mutex_lock(&files_lock);
    struct log_file *f = find_file(path);
    if (!f)
        f = new_file(path);
    if (f)
        f->refs++;
    pthread_mutex_unlock(&files_lock);
    return f;
}

static void give_file(struct log_file *f)
{
    pthread_mutex_lock(&files_lock);
    if (--f->refs == 0) {
        list_remove(&f->link);
        if (f->path)
            close(f->sink.fd);
        free(f->path);
        free(f);
    }
    pthread_mutex_unlock(&files_lock);
}

static void reopen(struct log_file *f)
{
    int fresh = open_path(f->path);

    if (fresh < 0 || dup3(fresh, f->sink.fd, O_CLOEXEC) < 0)
        LOG_ERROR("access_log.reopen", "an access log can't be reopened", LOG_C("file", f->path),
                  LOG_C("reason", strerror(errno)));
    else
        sink_init(&f->sink, f->sink.fd);
    if (fresh >= 0)
        close(fresh);
}

void access_logs_reopen(void)
{
    pthread_mutex_lock(&files_lock);
    LIST_EACH (link, &files) {
        struct log_file *f = container_of(link, struct log_file, link);
        if (f->path)
            reopen(f);
    }
    pthread_mutex_unlock(&files_lock);
}

int access_log_probe(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (access(path, F_OK) == 0)
        return access(path, W_OK) == 0 ? 0 : ERR_SYSTEM;
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    REQUIRE(folder != NULL);
    int rc = access(folder, W_OK | X_OK) == 0 ? 0 : ERR_SYSTEM;
    free(folder);
    return rc;
}

/* --- writing out --------------------------------------------------------------------------------------------------- */

static uint64_t count_lines(struct slice text)
{
    uint64_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '\n';
    return n;
}

uint64_t access_logs_lost(void)
{
    return atomic_load(&lost_lines);
}

static void flush(struct access_log *l)
{
    if (buf_len(&l->out) == 0)
        return;
    pthread_mutex_lock(&files_lock);
    struct slice lost = sink_write(&l->file->sink, buf_slice(&l->out));
    int reason = errno;
    pthread_mutex_unlock(&files_lock);
    if (lost.len > 0) {
        uint64_t n = count_lines(lost);
        atomic_fetch_add(&lost_lines, n);
        LOG_ERROR("access_log.write", "lines of an access log are lost",
                  LOG_C("reason", strerror(reason)), LOG_I("lines", n));
    }
    buf_clear(&l->out);
}

static void on_turn_end(struct later *later)
{
    flush(container_of(later, struct access_log, flush));
}

/* --- making -------------------------------------------------------------------------------------------------------- */

int access_log_open(const char *path, struct access_log **out)
{
    struct log_file *file = take_file(path);

    if (!file)
        return ERR_SYSTEM;
    struct access_log *l = calloc(1, sizeof(*l));
    REQUIRE(l != NULL);
    l->arena = arena_new_heap(1024);
    l->file = file;
    buf_init(&l->out, BUFFER_MAX);
    later_init(&l->flush, on_turn_end);
    *out = l;
    return 0;
}

void access_log_close(struct access_log *l)
{
    later_cancel(&l->flush);
    flush(l);
    give_file(l->file);
    buf_deinit(&l->out);
    arena_free(l->arena);
    free(l);
}

static struct slice quoted_name(struct arena *a, struct slice name)
{
    struct buf text;

    buf_init(&text, 4 * KIB);
    int rc = buf_add(&text, SLICE(","));
    if (rc == 0)
        rc = json_quote(&text, name);
    if (rc == 0)
        rc = buf_add(&text, SLICE(":"));
    struct slice out = rc == 0 ? arena_dup(a, buf_slice(&text)) : SLICE_NONE;
    buf_deinit(&text);
    return out;
}

int access_log_field(struct access_log *l, struct slice name, struct slice value,
                     const struct selector_scope *scope, struct slice *error)
{
    if (l->nparts == ACCESS_LOG_FIELDS)
        return ERR_LIMIT;
    struct log_part part = {.name = quoted_name(l->arena, name), .kind = FIELD_TEMPLATE};
    if (!part.name.ptr)
        return ERR_LIMIT;
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (slice_eq(value, slice_from(words[i].word)))
            part.kind = words[i].kind;
    }
    if (part.kind == FIELD_TEMPLATE) {
        part.template = template_compile(arena_dup(l->arena, value), scope, l->arena, error);
        if (!part.template)
            return ERR_SYNTAX;
    }
    l->parts[l->nparts++] = part;
    return 0;
}

int access_log_when(struct access_log *l, int from, int to)
{
    if (l->nranges == ACCESS_LOG_RANGES)
        return ERR_LIMIT;
    l->ranges[l->nranges].from = from;
    l->ranges[l->nranges++].to = to;
    return 0;
}

/* --- lines --------------------------------------------------------------------------------------------------------- */

static int status_of(const struct exchange *x)
{
    if (x->response && x->head_is_down)
        return x->response->status;
    return 0;
}

static bool is_wanted(const struct access_log *l, int status)
{
    for (uint32_t i = 0; i < l->nranges; i++) {
        if (status >= l->ranges[i].from && status <= l->ranges[i].to)
            return true;
    }
    return l->nranges == 0;
}

static struct slice version_text(enum http_version v)
{
    return v == HTTP_10 ? SLICE("1.0") : v == HTTP_2 ? SLICE("2") : SLICE("1.1");
}

static int add_number(struct buf *out, struct slice name, uint64_t n)
{
    char text[20];
    int rc = buf_add(out, name);

    return rc < 0 ? rc : buf_add(out, slice_of(text, text_from_u64(n, text)));
}

static int add_text(struct buf *out, struct slice name, struct slice text)
{
    if (!text.ptr)
        return 0;
    int rc = buf_add(out, name);
    return rc < 0 ? rc : json_quote(out, text);
}

/* Each attempt's endpoint and what it came to, in order; absent where one was enough. */
static struct slice tries_text(struct exchange *x)
{
    struct slice text = SLICE_NONE;

    if (x->attempts < 2)
        return text;
    for (const struct attempt *a = x->attempt; a; a = a->previous) {
        struct slice address = a->endpoint ? a->endpoint->address : SLICE("-");
        struct slice word = slice_from(attempt_error_word(a));
        if (!word.ptr && a->response)
            word = arena_printf(x->arena, "%d", a->response->status);
        text = arena_printf(x->arena, "%.*s %.*s%s%.*s", SLICE_ARG(address), SLICE_ARG(word),
                            text.len ? ", " : "", SLICE_ARG(text));
    }
    return text;
}

/* Seconds with six places. */
static int add_duration(struct buf *out, struct slice name, const struct exchange *x)
{
    uint64_t end = x->end_us ? x->end_us : clock_us();
    uint64_t us = end > x->start_us ? end - x->start_us : 0;
    int rc = buf_add(out, name);

    return rc < 0 ? rc
                  : buf_printf(out, "%llu.%06llu", (unsigned long long)(us / 1000000),
                               (unsigned long long)(us % 1000000));
}

static int add_part(struct buf *out, const struct log_part *p, struct exchange *x, int status)
{
    char date[32];
    struct slice text;

    switch (p->kind) {
    case FIELD_STATUS: return add_number(out, p->name, (uint64_t)status);
    case FIELD_DURATION: return add_duration(out, p->name, x);
    case FIELD_TIME:
        text_iso_date(x->start_wall_ms, date);
        return add_text(out, p->name, slice_from(date));
    case FIELD_BYTES_SENT: return add_number(out, p->name, x->bytes_down);
    case FIELD_BYTES_RECEIVED: return add_number(out, p->name, x->flows[SIDE_REQUEST].bytes);
    case FIELD_ATTEMPTS: return add_number(out, p->name, (uint64_t)x->attempts);
    case FIELD_TRIES: return add_text(out, p->name, tries_text(x));
    case FIELD_ERROR:
        return add_text(out, p->name, x->err ? slice_from(err_word(x->err)) : SLICE_NONE);
    case FIELD_QUERY: return add_text(out, p->name, x->request->query);
    case FIELD_VERSION: return add_text(out, p->name, version_text(x->request->version));
    case FIELD_TEMPLATE:
        text = template_text(p->template, x, TEMPLATE_TEXT);
        return add_text(out, p->name, text.len > 0 ? text : SLICE_NONE);
    }
    return 0;
}

static int add_line(struct access_log *l, struct exchange *x, int status)
{
    size_t before = buf_len(&l->out);
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < l->nparts; i++)
        rc = add_part(&l->out, &l->parts[i], x, status);
    if (rc == 0 && buf_len(&l->out) == before)
        rc = buf_add(&l->out, SLICE(","));
    if (rc == 0)
        rc = buf_add(&l->out, SLICE("}\n"));
    if (rc == 0)
        l->out.mem[l->out.start + before] = '{'; /* where the first field's comma stands */
    else
        l->out.end = l->out.start + before;
    return rc;
}

void access_log_write(struct access_log *l, struct exchange *x)
{
    int status = status_of(x);

    if (!is_wanted(l, status))
        return;
    if (add_line(l, x, status) < 0) {
        flush(l);
        if (add_line(l, x, status) < 0)
            LOG_ERROR("access_log.line", "a line of an access log is too long and is lost",
                      LOG_S("request_id", exchange_id(x)));
    }
    if (buf_len(&l->out) >= ACCESS_LOG_FULL)
        flush(l);
    else
        loop_later(x->gateway->loop, &l->flush);
}

bool access_log_line(struct access_log *l, struct exchange *x, struct slice *line)
{
    int status = status_of(x);

    buf_clear(&l->out);
    if (!is_wanted(l, status) || add_line(l, x, status) < 0)
        return false;
    *line = slice_of(buf_slice(&l->out).ptr, buf_len(&l->out) - 1);
    buf_clear(&l->out); /* nobody writes it out; the bytes stay where they are */
    return true;
}
