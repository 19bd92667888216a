/* SPDX-License-Identifier: Apache-2.0 */

/* hosts(5): an address and its names per line. A name maps to a chain of addresses; all of a
 * file's content lives in one arena, so reading it again is dropping that and starting over. Lines
 * that make no sense are skipped, as every resolver does. */

#include "net/hosts.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/vec.h"

#define LOOK_AGAIN_MS 1000
#define LARGEST_FILE (16 * MIB) /* lists of blocked names are that long */

struct host_addr {
    struct host_addr *next;
    struct addr addr;
};

struct hosts {
    /* owned */
    struct arena *arena;
    struct map names; /* to struct host_addr */
    VEC(struct addr) found;
    /* borrowed */
    const char *path;
    /* state */
    uint64_t looked_ms; /* 0: not yet */
    struct stat seen;   /* as the file was when it was read */
};

static void empty(struct hosts *h)
{
    map_deinit(&h->names);
    map_init(&h->names);
    if (h->arena)
        arena_free(h->arena);
    h->arena = arena_new_heap(4 * KIB);
}

struct hosts *hosts_new(const char *path)
{
    struct hosts *h = calloc(1, sizeof(*h));

    REQUIRE(h != NULL);
    h->path = path;
    map_init(&h->names);
    empty(h);
    return h;
}

void hosts_free(struct hosts *h)
{
    map_deinit(&h->names);
    arena_free(h->arena);
    vec_free(&h->found);
    free(h);
}

/* The next word of a line. */
static bool next_word(struct slice *rest, struct slice *word)
{
    size_t i = 0, start;

    while (i < rest->len && isspace((unsigned char)rest->ptr[i]))
        i++;
    start = i;
    while (i < rest->len && !isspace((unsigned char)rest->ptr[i]))
        i++;
    *word = slice_sub(*rest, start, i - start);
    *rest = slice_from_index(*rest, i);
    return word->len > 0;
}

static void add(struct hosts *h, struct slice name, const struct addr *addr)
{
    struct host_addr *ha = arena_alloc(h->arena, sizeof(*ha)), *chain;
    char *lower;

    if (name.ptr[name.len - 1] == '.')
        name.len--;
    name = arena_dup(h->arena, name);
    lower = (char *)name.ptr;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = (char)tolower((unsigned char)lower[i]);

    *ha = (struct host_addr){.addr = *addr};
    chain = map_find(&h->names, name);
    if (!chain) {
        map_set(&h->names, name, ha);
        return;
    }
    while (chain->next)
        chain = chain->next;
    chain->next = ha;
}

static void parse_line(struct hosts *h, struct slice line)
{
    ssize_t comment = slice_find_char(line, '#');
    struct slice word;
    struct addr addr;

    if (comment >= 0)
        line.len = (size_t)comment;
    if (!next_word(&line, &word) || addr_parse_ip(word, 0, &addr) != 0)
        return;
    while (next_word(&line, &word))
        add(h, word, &addr);
}

void hosts_parse(struct hosts *h, struct slice text)
{
    struct slice line;

    empty(h);
    while (slice_split(&text, '\n', &line))
        parse_line(h, line);
}

/* The whole file, or nothing. */
static void read_file(struct hosts *h, int fd, size_t size)
{
    char *mem = malloc(size + 1);
    size_t len = 0;
    ssize_t n;

    REQUIRE(mem != NULL);
    while (len < size && (n = read(fd, mem + len, size - len)) > 0)
        len += (size_t)n;
    hosts_parse(h, slice_of(mem, len));
    free(mem);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void look_at_file(struct hosts *h)
{
    struct stat now = {0};
    int fd;

    if (h->looked_ms && clock_ms() - h->looked_ms < LOOK_AGAIN_MS)
        return;
    h->looked_ms = clock_ms();
    if (stat(h->path, &now) == 0 && same_file(&now, &h->seen))
        return;
    fd = open(h->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &now) != 0 || now.st_size > LARGEST_FILE)
        empty(h);
    else
        read_file(h, fd, (size_t)now.st_size);
    if (fd >= 0)
        close(fd);
    h->seen = now;
}

static void collect(struct hosts *h, const struct host_addr *chain, int family)
{
    for (; chain; chain = chain->next)
        if (chain->addr.sa.sa_family == family)
            vec_push(&h->found, chain->addr);
}

size_t hosts_find(struct hosts *h, struct slice name, const struct addr **addrs)
{
    const struct host_addr *chain;

    look_at_file(h);
    chain = map_find(&h->names, name);
    h->found.n = 0;
    collect(h, chain, AF_INET);
    collect(h, chain, AF_INET6);
    *addrs = h->found.items;
    return h->found.n;
}
