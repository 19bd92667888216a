/* SPDX-License-Identifier: Apache-2.0 */

/* Opening, closing, counting. Writing is in spill_write.c, what workers do in spill_port.c, reading in spill_cursor.c,
 * the files in spill_dir.c and spill_segment.c, their bytes in spill_record.c. */

#include "side/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "side/spill_parts.h"

static _Atomic(struct spill *) shared;

struct spill *spill_shared(void)
{
    return atomic_load_explicit(&shared, memory_order_acquire);
}

void spill_share(struct spill *s)
{
    atomic_store_explicit(&shared, s, memory_order_release);
}

void spill_configure(struct spill *s, const struct spill_options *o)
{
    atomic_store(&s->size, o->size);
    atomic_store(&s->fsync, o->fsync);
    atomic_store(&s->drops_oldest, o->drops_oldest);
    atomic_store(&s->dead_letters_size, o->dead_letters_size);
    atomic_store(&s->topic_patience_ms, o->topic_patience_ms);
}

static void start_writer(struct spill *s)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    REQUIRE(pthread_create(&s->writer, NULL, spill_write_main, s) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Children of one supervisor hand over from one to the other. */
static bool is_sibling(int pid)
{
    char path[32], stat[512] = "";
    int parent = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, stat, sizeof(stat) - 1);
    close(fd);
    const char *behind_name = n > 0 ? strrchr(stat, ')') : NULL;
    return behind_name && sscanf(behind_name, ") %*c %d", &parent) == 1 && parent == getppid();
}

static void tell_elder(struct spill *s, int pid)
{
    if (is_sibling(pid))
        LOG_INFO("spill.handover",
                 "the gateway before delivers from this folder until it has ended: events wait",
                 LOG_C("dir", s->dir.path), LOG_I("pid", pid));
    else
        LOG_WARN(
            "spill.shared",
            "another gateway has this folder: what is accepted here is not delivered before that "
            "one has ended; give each gateway a spill.dir of its own",
            LOG_C("dir", s->dir.path), LOG_I("pid", pid));
}

static void tell_opened(struct spill *s)
{
    uint32_t nsegments = 0;

    LIST_EACH (link, &s->segments)
        nsegments++;
    if (nsegments > 0)
        LOG_INFO("spill.found", "events that were left will be delivered first",
                 LOG_C("dir", s->dir.path), LOG_I("segments", nsegments),
                 LOG_I("bytes", atomic_load(&s->bytes)));
    if (!list_is_empty(&s->dir.elders))
        tell_elder(s, spill_dir_elder(&s->dir));
}

/* Can a file be made and written here? Told now, and not with the first event. A disk that is full is no reason not to
 * deliver what is on it, which makes room again. */
static bool is_writable(struct spill *s, const char **fault)
{
    char byte = '\n';

    if (pwrite(s->dir.mine->lock_fd, &byte, 1, 0) == 1)
        return true;
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) {
        LOG_ERROR("spill.write", "there is no room for events", LOG_C("dir", s->dir.path),
                  LOG_C("why", strerrordesc_np(errno)));
        return true;
    }
    *fault = strerrordesc_np(errno);
    return false;
}

struct spill *spill_open(struct slice dir, const struct spill_options *o, const char **fault)
{
    struct spill *s = calloc(1, sizeof(*s));
    pthread_condattr_t monotonic;

    REQUIRE(s != NULL);
    if (spill_dir_open(&s->dir, dir, fault) < 0 || !is_writable(s, fault)) {
        spill_dir_close(&s->dir);
        free(s);
        return NULL;
    }
    REQUIRE(asprintf(&s->dead_letters, "%s/dead-letters.jsonl", s->dir.path) >= 0);
    list_init(&s->segments);
    list_init(&s->dirty);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->queue_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_cond_init(&s->returned, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s->last = &s->first;
    s->active_fd = -1;
    spill_configure(s, o);
    spill_segments_adopt(s);
    tell_opened(s);
    start_writer(s);
    return s;
}

void spill_close(struct spill *s)
{
    pthread_mutex_lock(&s->queue_lock);
    s->stopping = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->queue_lock);
    pthread_join(s->writer, NULL);
    LIST_EACH (link, &s->segments) {
        struct spill_segment *seg = container_of(link, struct spill_segment, link);
        seg->owner->nsegments++; /* its files stay, and so its owner */
        spill_segment_free(s, seg);
    }
    spill_dir_close(&s->dir);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->returned);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->queue_lock);
    free(s->dead_letters);
    free(s);
}

struct slice spill_path(const struct spill *s)
{
    return slice_from(s->dir.path);
}

const char *spill_dead_letters(const struct spill *s)
{
    return s->dead_letters;
}

uint64_t spill_dead_letters_size(const struct spill *s)
{
    return atomic_load(&s->dead_letters_size);
}

uint32_t spill_topic_patience_ms(const struct spill *s)
{
    return atomic_load(&s->topic_patience_ms);
}

void spill_count(struct spill *s, struct spill_count *out)
{
    *out = (struct spill_count){
        .bytes = atomic_load(&s->bytes),
        .waiting = atomic_load(&s->waiting),
        .added = atomic_load(&s->added),
        .refused = atomic_load(&s->refused),
        .failed = atomic_load(&s->failed),
        .dropped = atomic_load(&s->dropped),
        .damaged = atomic_load(&s->damaged),
        .recovered = atomic_load(&s->recovered),
    };
}
