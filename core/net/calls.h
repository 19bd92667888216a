/* SPDX-License-Identifier: Apache-2.0 */

/* The system calls of a request. libc's are points where a thread may be cancelled: in a process of
 * several threads each says so before and after, which takes 30 instructions and two locked ones.
 * Nobody cancels threads here. The sanitizers watch libc's, and get them. */

#ifndef DML_NET_CALLS_H
#define DML_NET_CALLS_H

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "base/poison.h"

#if defined(POISON_IS_ON) || defined(__SANITIZE_THREAD__)
#define CALLS_ARE_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CALLS_ARE_WATCHED 1
#endif
#endif

/* After a wait has told that an eventfd rang. Nothing has to be read from one that is watched for rings; but that who rang
 * comes before who hears it is known to ThreadSanitizer by the read alone. */
static inline void call_hear(int fd)
{
#ifdef CALLS_ARE_WATCHED
    eventfd_t rings;
    (void)!eventfd_read(fd, &rings);
#else
    (void)fd;
#endif
}

#ifdef CALLS_ARE_WATCHED
#define call_recv recv
#define call_send send
#define call_epoll_wait epoll_wait
#else
static inline ssize_t call_recv(int fd, void *mem, size_t len, int flags)
{
    return syscall(SYS_recvfrom, fd, mem, len, flags, NULL, NULL);
}

static inline ssize_t call_send(int fd, const void *mem, size_t len, int flags)
{
    return syscall(SYS_sendto, fd, mem, len, flags, NULL, 0);
}

static inline int call_epoll_wait(int fd, struct epoll_event *events, int most, int timeout_ms)
{
    return (int)syscall(SYS_epoll_pwait, fd, events, most, timeout_ms, NULL, 0);
}
#endif

#endif
