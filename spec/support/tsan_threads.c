/* SPDX-License-Identifier: Apache-2.0 */

/* What ThreadSanitizer does not watch, by way of what it does, for preset tsan. A program's functions come before libc's.
 *
 * C11's threads: librdkafka uses them, and glibc's own go past pthread_create, so that threads come up that nobody has
 * seen. In glibc a mtx_t is a pthread_mutex_t, and so on.
 *
 * pthread_clockjoin_np: what the thread has done would seem to race with who joins it.
 *
 * openat: its descriptor would be taken for whatever had that number before, and closing it for a race with that. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SEEN __attribute__((visibility("default"), used))

/* What librdkafka counts references with is not seen either. */
SEEN const char *__tsan_default_suppressions(void);

SEEN const char *__tsan_default_suppressions(void)
{
    return "race:librdkafka.so\n";
}

struct start {
    thrd_start_t fn;
    void *arg;
};

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;

    free(arg);
    return (void *)(intptr_t)start.fn(start.arg);
}

static int result(int err)
{
    return err == 0 ? thrd_success : err == ETIMEDOUT ? thrd_timedout : thrd_error;
}

SEEN int thrd_create(thrd_t *thread, thrd_start_t fn, void *arg)
{
    struct start *start = malloc(sizeof(*start));

    if (!start)
        return thrd_nomem;
    *start = (struct start){fn, arg};
    return result(pthread_create(thread, NULL, run, start));
}

SEEN int thrd_join(thrd_t thread, int *out)
{
    void *value;
    int err = pthread_join(thread, &value);

    if (out)
        *out = (int)(intptr_t)value;
    return result(err);
}

SEEN int mtx_init(mtx_t *m, int type)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    if (type & mtx_recursive)
        pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    return result(pthread_mutex_init((pthread_mutex_t *)m, &attr));
}

SEEN int mtx_lock(mtx_t *m)
{
    return result(pthread_mutex_lock((pthread_mutex_t *)m));
}

SEEN int mtx_unlock(mtx_t *m)
{
    return result(pthread_mutex_unlock((pthread_mutex_t *)m));
}

SEEN void mtx_destroy(mtx_t *m)
{
    pthread_mutex_destroy((pthread_mutex_t *)m);
}

SEEN int cnd_init(cnd_t *c)
{
    return result(pthread_cond_init((pthread_cond_t *)c, NULL));
}

SEEN int cnd_signal(cnd_t *c)
{
    return result(pthread_cond_signal((pthread_cond_t *)c));
}

SEEN int cnd_broadcast(cnd_t *c)
{
    return result(pthread_cond_broadcast((pthread_cond_t *)c));
}

SEEN int cnd_wait(cnd_t *c, mtx_t *m)
{
    return result(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
}

SEEN int cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until)
{
    return result(pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, until));
}

SEEN void cnd_destroy(cnd_t *c)
{
    pthread_cond_destroy((pthread_cond_t *)c);
}

SEEN int pthread_clockjoin_np(pthread_t thread, void **out, clockid_t clock,
                              const struct timespec *until)
{
    struct timespec now, wall;

    clock_gettime(clock, &now);
    clock_gettime(CLOCK_REALTIME, &wall);
    long long ns =
        (until->tv_sec - now.tv_sec) * 1000000000LL + until->tv_nsec - now.tv_nsec + wall.tv_nsec;
    wall.tv_sec += ns / 1000000000;
    wall.tv_nsec = ns % 1000000000;
    if (wall.tv_nsec < 0) {
        wall.tv_sec--;
        wall.tv_nsec += 1000000000;
    }
    return pthread_timedjoin_np(thread, out, &wall);
}

/* A duplicate has a number that ThreadSanitizer has seen to come. */
SEEN int openat(int dir, const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    int fd = (int)syscall(SYS_openat, dir, path, flags, va_arg(args, mode_t));
    va_end(args);
    if (fd < 0)
        return fd;
    int seen = dup(fd), err = errno;

    if (seen >= 0 && flags & O_CLOEXEC)
        fcntl(seen, F_SETFD, FD_CLOEXEC);
    syscall(SYS_close, fd);
    errno = err;
    return seen;
}
