/* SPDX-License-Identifier: Apache-2.0 */

/* Symbolic links are followed: a link that is turned to another folder, as Kubernetes does it, changes all files
 * behind it at once. */

#include "gate/conf_seen.h"

#include <glob.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "gate/conf.h"

static uint64_t print_of_file(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return 0;
    const int64_t facts[] = {(int64_t)st.st_dev, (int64_t)st.st_ino, st.st_size,
                             st.st_mtim.tv_sec,  st.st_mtim.tv_nsec, st.st_ctim.tv_sec,
                             st.st_ctim.tv_nsec};
    return hash_stable(slice_of((const char *)facts, sizeof(facts)), 1);
}

static uint64_t print_of_pattern(const char *pattern)
{
    uint64_t print = 0;
    glob_t found;

    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            print = hash_stable(slice_from(found.gl_pathv[i]), print + 1);
    globfree(&found);
    return print;
}

uint64_t conf_seen_print(const char *path, bool is_pattern)
{
    return is_pattern ? print_of_pattern(path) : print_of_file(path);
}

void faults_saw(struct faults *f, const char *path, bool is_pattern)
{
    if (!map_find(&f->seen_paths, slice_from(path)))
        faults_saw_print(f, (struct conf_seen){.path = slice_from(path),
                                               .is_pattern = is_pattern,
                                               .print = conf_seen_print(path, is_pattern)});
}

void faults_saw_print(struct faults *f, struct conf_seen seen)
{
    if (map_find(&f->seen_paths, seen.path))
        return;
    seen.path = arena_dup(f->arena, seen.path);
    map_set(&f->seen_paths, seen.path, f);
    vec_push(&f->seen, seen);
}
