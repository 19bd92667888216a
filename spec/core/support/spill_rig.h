/* SPDX-License-Identifier: Apache-2.0 */

/* A spill on a folder of its own, with a port on the test's loop. */

#ifndef TEST_SPILL_RIG_H
#define TEST_SPILL_RIG_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "side/spill_cursor.h"
#include "side/spill_port.h"
#include "support/config.h"
#include "support/expect.h"
#include "support/test.h"

#define PATIENCE 2000 /* turns of at most 10 ms */

static struct folder folder;
static struct loop *loop;
static struct mailbox *mailbox;
static struct spill *spill;
static struct spill_port *port;
static struct spill_options options;

struct answer {
    struct spill_wait wait;
    bool is_there;
    int rc;
    uint32_t nwritten;
};

static inline void open_it(void)
{
    const char *fault = NULL;

    spill = spill_open(slice_from(folder.path), &options, &fault);
    if (!spill)
        print_error("%s\n", fault);
    assert_non_null(spill);
    port = spill_port_new(spill, loop, mailbox);
}

static inline void close_it(void)
{
    spill_port_free(port);
    spill_close(spill);
    spill = NULL;
}

static inline int spill_set_up(void **state)
{
    (void)state;
    log_configure(LOG_OFF, LOG_TEXT);
    folder_init(&folder);
    loop = loop_new();
    mailbox = mailbox_new(loop, NULL);
    options = (struct spill_options){
        .size = 16 * MIB, .fsync = SPILL_NEVER, .dead_letters_size = 64 * MIB};
    open_it();
    return 0;
}

static inline int spill_tear_down(void **state)
{
    (void)state;
    if (spill)
        close_it();
    mailbox_free(mailbox);
    loop_free(loop);
    folder_deinit(&folder);
    return 0;
}

#define SPILL_TEST(name) cmocka_unit_test_setup_teardown(name, spill_set_up, spill_tear_down)

#define UNTIL(cond) \
    do { \
        for (int turns_ = 0; !(cond) && turns_ < PATIENCE; turns_++) \
            loop_turn(loop, 10); \
        assert_true(cond); \
    } while (0)

static inline void on_answer(struct spill_wait *w, int rc, uint32_t nwritten)
{
    struct answer *a = container_of(w, struct answer, wait);

    a->is_there = true;
    a->rc = rc;
    a->nwritten = nwritten;
}

static inline int try_add(struct slice event)
{
    struct answer a = {.wait.fn = on_answer};
    char *out;

    spill_begin(port, &a.wait);
    int rc = spill_add(port, event.len, &out);
    if (rc < 0)
        return rc;
    memcpy(out, event.ptr, event.len);
    assert_true(spill_commit(port, &a.wait));
    UNTIL(a.is_there);
    return a.rc;
}

static inline void add(const char *text)
{
    assert_int_equal(try_add(slice_from(text)), 0);
}

static inline void add_large(char fill, size_t len)
{
    char *event = malloc(len);

    memset(event, fill, len);
    assert_int_equal(try_add(slice_of(event, len)), 0);
    free(event);
}

/* Reads up to n events; "a b c " of their texts (of long ones the first letter). Those whose first letter is in strike
 * are struck out. */
static inline const char *read_some(size_t n, const char *strike)
{
    static char texts[4096];
    struct spill_cursor c;
    struct spill_record r;
    struct spill_place place;
    size_t at = 0;

    assert_true(spill_adopt(spill));
    spill_cursor_init(&c, spill);
    texts[0] = '\0';
    while (n-- > 0 && spill_cursor_next(&c, &r, &place) == 0) {
        int len = r.event.len > 20 ? 1 : (int)r.event.len;
        at += (size_t)snprintf(texts + at, sizeof(texts) - at, "%.*s ", len, r.event.ptr);
        if (r.event.len > 0 && strchr(strike, r.event.ptr[0]))
            spill_strike(spill, place, r.index);
    }
    spill_cursor_deinit(&c);
    spill_flush_strikes(spill);
    return texts;
}

static inline const char *read_all(void)
{
    return read_some(SIZE_MAX, "");
}

static inline struct spill_count count(void)
{
    struct spill_count n;

    spill_count(spill, &n);
    return n;
}

/* Files whose names end so; the path of the last one in *path. */
static inline int files(const char *end, char path[400])
{
    struct dirent **entries;
    int n = scandir(folder.path, &entries, NULL, alphasort), found = 0;

    for (int i = 0; i < n; i++) {
        if (slice_ends(slice_from(entries[i]->d_name), slice_from(end))) {
            found++;
            if (path)
                snprintf(path, 400, "%s/%s", folder.path, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}

static inline struct slice read_path(const char *path)
{
    static char bytes[1 << 20];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, bytes, sizeof(bytes));

    close(fd);
    return slice_of(bytes, (size_t)MAX(n, 0));
}

static inline void write_path(const char *path, struct slice bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, bytes.ptr, bytes.len), bytes.len);
    close(fd);
}

#endif
