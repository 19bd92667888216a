/* SPDX-License-Identifier: Apache-2.0 */

/* Configurations of tests: loaded from text, with their faults as a person would read them, and
 * files in a folder that is gone afterwards. */

#ifndef TEST_CONFIG_H
#define TEST_CONFIG_H

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gate/conf.h"
#include "support/test.h"

struct config {
    struct arena *arena;
    struct faults faults;
    struct buf printed;
};

static inline void config_init(struct config *c)
{
    c->arena = arena_new_heap(4 * KIB);
    faults_init(&c->faults, c->arena);
    buf_init(&c->printed, 1 * MIB);
}

static inline void config_deinit(struct config *c)
{
    faults_deinit(&c->faults);
    buf_deinit(&c->printed);
    arena_free(c->arena);
}

/* All faults so far, NUL-terminated. */
static inline const char *config_faults(struct config *c)
{
    buf_clear(&c->printed);
    faults_print(&c->faults, &c->printed, false);
    assert_int_equal(buf_add(&c->printed, slice_of("", 1)), 0);
    return buf_slice(&c->printed).ptr;
}

static inline void expect_text_at(const char *text, const char *part, const char *file, int line)
{
    if (strstr(text, part))
        return;
    print_error("expected: %s\nin:\n%s\n", part, text);
    _fail(file, line);
}
#define expect_text(text, part) expect_text_at(text, part, __FILE__, __LINE__)

static inline void expect_no_text_at(const char *text, const char *part, const char *file, int line)
{
    if (!strstr(text, part))
        return;
    print_error("not expected: %s\nin:\n%s\n", part, text);
    _fail(file, line);
}
#define expect_no_text(text, part) expect_no_text_at(text, part, __FILE__, __LINE__)

/* A folder of its own. */
struct folder {
    char path[64];
};

static inline void folder_init(struct folder *f)
{
    strcpy(f->path, "/tmp/dml-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
}

static inline int folder_remove_one(const char *path, const struct stat *st UNUSED, int type UNUSED,
                                    struct FTW *at UNUSED)
{
    return remove(path);
}

static inline void folder_deinit(struct folder *f)
{
    nftw(f->path, folder_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Writes folder/name, with the folders that it needs; returns its path, valid until the next call
 * but three. */
static inline const char *folder_write(const struct folder *f, const char *name, const char *text)
{
    static char paths[4][256];
    static int turn;
    char *path = paths[turn++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", f->path, name);
    for (char *p = path + strlen(f->path) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
        *p = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

#endif
