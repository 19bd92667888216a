/* SPDX-License-Identifier: Apache-2.0 */

/* flock is the kernel's: it is free the moment its process is gone, however that ended. */

#include "side/spill_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"
#include "base/vec.h"

#define LOCK_WAIT_US (5 * 1000 * 1000) /* another process that starts has it for milliseconds */
#define LOCK_LOOK_US (2 * 1000)

/* --- names ----------------------------------------------------------------------------------------------------------- */

void spill_name(const struct spill_owner *o, uint32_t number, const char *kind,
                char out[SPILL_NAME])
{
    snprintf(out, SPILL_NAME, "%s.%08" PRIx32 ".%.7s", o->name, number, kind);
}

static void lock_name(const struct spill_owner *o, char out[SPILL_NAME])
{
    snprintf(out, SPILL_NAME, "%s.lock", o->name);
}

static bool has_hex(struct slice s, size_t at, size_t n)
{
    for (size_t i = at; i < at + n; i++)
        if (!strchr("0123456789abcdef", s.ptr[i]) || s.ptr[i] == '\0')
            return false;
    return true;
}

static bool begins_with_owner(struct slice name)
{
    return name.len > SPILL_OWNER && has_hex(name, 0, 12) && name.ptr[12] == '-' &&
           has_hex(name, 13, 7) && name.ptr[20] == '-' && has_hex(name, 21, 16) &&
           name.ptr[SPILL_OWNER] == '.';
}

/* The segment's number, or -1: no name of a segment. */
static int64_t segment_number(struct slice name)
{
    uint32_t number;
    char text[9];

    if (name.len != SPILL_OWNER + 1 + 8 + 7 || !has_hex(name, SPILL_OWNER + 1, 8) ||
        !slice_ends(name, SLICE(".events")))
        return -1;
    memcpy(text, name.ptr + SPILL_OWNER + 1, 8);
    text[8] = '\0';
    number = (uint32_t)strtoul(text, NULL, 16);
    return number;
}

/* --- the folder ------------------------------------------------------------------------------------------------------ */

/* What a look at the folder finds, in the order of names. */
struct names {
    VEC(char *) all;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int names_read(struct names *n, const struct spill_dir *d)
{
    int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    *n = (struct names){0};
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return ERR_SYSTEM;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (begins_with_owner(slice_from(entry->d_name)))
            vec_push(&n->all, slice_dup(slice_from(entry->d_name)));
    }
    closedir(folder);
    if (n->all.n > 0)
        qsort(n->all.items, n->all.n, sizeof(n->all.items[0]), compare_names);
    return 0;
}

static void names_free(struct names *n)
{
    for (size_t i = 0; i < n->all.n; i++)
        free(n->all.items[i]);
    vec_free(&n->all);
}

static int lock_folder(const struct spill_dir *d)
{
    uint64_t until = clock_us_now() + LOCK_WAIT_US;

    while (flock(d->fd, LOCK_EX | LOCK_NB) < 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || clock_us_now() > until)
            return ERR_SYSTEM;
        usleep(LOCK_LOOK_US);
    }
    return 0;
}

/* --- owners ---------------------------------------------------------------------------------------------------------- */

static struct spill_owner *owner_new(struct slice name)
{
    struct spill_owner *o = calloc(1, sizeof(*o));

    REQUIRE(o != NULL);
    list_init(&o->link);
    memcpy(o->name, name.ptr, MIN(name.len, (size_t)SPILL_OWNER));
    o->lock_fd = -1;
    return o;
}

/* Its lock, held; -1 with errno EWOULDBLOCK when somebody else holds it. */
static int take_lock(const struct spill_dir *d, const struct spill_owner *o)
{
    char name[SPILL_NAME];

    lock_name(o, name);
    int fd = openat(d->fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static void list_elders(struct spill_dir *d, const struct names *n)
{
    const struct spill_owner *last = NULL;

    for (size_t i = 0; i < n->all.n; i++) {
        if (last && strncmp(last->name, n->all.items[i], SPILL_OWNER) == 0)
            continue;
        struct spill_owner *o = owner_new(slice_from(n->all.items[i]));
        list_append(&d->elders, &o->link);
        last = o;
    }
}

/* The name that comes after all there are. */
static struct spill_owner *name_mine(const struct spill_dir *d)
{
    char name[SPILL_OWNER + 1], first[13];
    uint64_t now = clock_wall_ms_now(), number;

    if (!list_is_empty(&d->elders)) {
        memcpy(first, container_of(d->elders.prev, struct spill_owner, link)->name, 12);
        first[12] = '\0';
        now = MAX(now, strtoull(first, NULL, 16) + 1);
    }
    rand_secure(&number, sizeof(number));
    snprintf(name, sizeof(name), "%012" PRIx64 "-%07x-%016" PRIx64, now & 0xffffffffffff,
             (unsigned)getpid() & 0xfffffff, number);
    return owner_new(slice_of(name, SPILL_OWNER));
}

static int look_around(struct spill_dir *d)
{
    struct names n;

    if (lock_folder(d) < 0 || names_read(&n, d) < 0)
        return ERR_SYSTEM;
    list_elders(d, &n);
    names_free(&n);
    d->mine = name_mine(d);
    d->mine->lock_fd = take_lock(d, d->mine);
    if (d->mine->lock_fd < 0)
        return ERR_SYSTEM;
    (void)!spill_dir_adopt(d);
    flock(d->fd, LOCK_UN);
    return 0;
}

int spill_dir_open(struct spill_dir *d, struct slice path, const char **fault)
{
    *d = (struct spill_dir){.path = slice_dup(path), .fd = -1};
    list_init(&d->elders);
    list_init(&d->adopted);
    if (mkdir(d->path, 0700) < 0 && errno != EEXIST)
        goto fail;
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0 || look_around(d) < 0)
        goto fail;
    return 0;
fail:
    *fault = errno == EWOULDBLOCK ? "another process holds its lock" : strerrordesc_np(errno);
    spill_dir_close(d);
    return ERR_SYSTEM;
}

int spill_dir_elder(const struct spill_dir *d)
{
    char pid[8] = "";

    if (!list_is_empty(&d->elders))
        memcpy(pid, container_of(d->elders.next, struct spill_owner, link)->name + 13, 7);
    return (int)strtol(pid, NULL, 16);
}

static void owner_free(struct spill_owner *o)
{
    list_remove(&o->link);
    if (o->lock_fd >= 0)
        close(o->lock_fd);
    free(o);
}

/* The lock goes with its file; who waits for it finds it free. */
void spill_dir_drop(struct spill_dir *d, struct spill_owner *o)
{
    char name[SPILL_NAME];

    lock_name(o, name);
    unlinkat(d->fd, name, 0);
    owner_free(o);
}

void spill_dir_close(struct spill_dir *d)
{
    struct list *link;

    if (d->mine)
        list_append(&d->adopted, &d->mine->link);
    while ((link = list_first(&d->adopted)) != NULL) {
        struct spill_owner *o = container_of(link, struct spill_owner, link);
        o->nsegments == 0 && o->lock_fd >= 0 ? spill_dir_drop(d, o) : owner_free(o);
    }
    while ((link = list_first(&d->elders)) != NULL)
        owner_free(container_of(link, struct spill_owner, link));
    if (d->fd >= 0)
        close(d->fd);
    free(d->path);
    *d = (struct spill_dir){.fd = -1};
    list_init(&d->elders);
    list_init(&d->adopted);
}

bool spill_dir_adopt(struct spill_dir *d)
{
    LIST_EACH (link, &d->elders) {
        struct spill_owner *o = container_of(link, struct spill_owner, link);
        o->lock_fd = take_lock(d, o);
        if (o->lock_fd < 0)
            break; /* those behind it wait for it as well */
        list_remove(&o->link);
        list_append(&d->adopted, &o->link);
    }
    return list_is_empty(&d->elders);
}

/* Strikes of a segment that was removed, by a process that ended before it could remove them, too. */
static void remove_orphan(const struct spill_dir *d, const char *name)
{
    struct slice stem = slice_from(name);
    char events[SPILL_NAME + 1];
    struct stat st;

    if (!slice_ends(stem, SLICE(".struck")) || stem.len != SPILL_OWNER + 1 + 8 + 7)
        return;
    snprintf(events, sizeof(events), "%.*s.events", SPILL_OWNER + 9, name);
    if (fstatat(d->fd, events, &st, 0) < 0 && errno == ENOENT)
        unlinkat(d->fd, name, 0);
}

void spill_dir_segments(struct spill_dir *d, struct spill_owner *o, spill_segment_fn fn, void *arg)
{
    struct names n;
    struct stat st;

    if (names_read(&n, d) < 0)
        return;
    for (size_t i = 0; i < n.all.n; i++) {
        int64_t number = segment_number(slice_from(n.all.items[i]));
        if (strncmp(o->name, n.all.items[i], SPILL_OWNER) != 0)
            continue;
        remove_orphan(d, n.all.items[i]);
        if (number < 0)
            continue;
        uint64_t bytes = fstatat(d->fd, n.all.items[i], &st, 0) == 0 ? (uint64_t)st.st_size : 0;
        char strikes[SPILL_NAME];
        spill_name(o, (uint32_t)number, "struck", strikes);
        bytes += fstatat(d->fd, strikes, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
        fn(arg, o, (uint32_t)number, bytes);
    }
    names_free(&n);
}
