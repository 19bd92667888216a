/* SPDX-License-Identifier: Apache-2.0 */

/* A byte stream over a connected socket, plain (tcp.c) or TLS (tls.c), on one loop.
 *
 *   owner ---- stream_write, stream_recv, stream_close --->  stream  ---- system calls ---> kernel
 *   owner <--- on_readable, on_room, on_lost --------------  stream
 *
 * Reading is pull: on_readable says that stream_recv will give something (bytes, the end, or an
 * error). The read watcher stays registered for the stream's whole life; stream_pause takes it out
 * only when the owner will not read (back-pressure), for the watcher is level-triggered.
 * Writing is push: stream_write sends at once and queues what the kernel refuses, up to a hard
 * cap; above the high-water mark it says STREAM_FULL, and on_room is called once when the queue
 * has fallen below the low mark.
 *
 * Rules: no event is delivered from inside a stream_ function (they come from the loop); after
 * stream_close none is delivered at all, and the memory is freed at the end of the turn. One
 * thread: that of its loop. */

#ifndef DML_NET_STREAM_H
#define DML_NET_STREAM_H

#include <sys/uio.h>

#include "base/base.h"
#include "base/buf.h"
#include "net/addr.h"

struct loop;
struct stream;

enum { STREAM_FULL = 1 };

struct stream_events {
    void (*on_readable)(struct stream *s);

    /* The write queue is below the low-water mark again. */
    void (*on_room)(struct stream *s);

    /* Writing failed later: only stream_close is left to do, but stream_recv may still give what
     * had arrived. */
    void (*on_lost)(struct stream *s, int err);
};

struct stream_ops {
    const char *name;
    ssize_t (*recv)(struct stream *s, void *mem, size_t len);

    /* Bytes taken by the kernel, ERR_AGAIN or another code. */
    ssize_t (*send)(struct stream *s, const struct iovec *iov, int n);

    /* 0, ERR_AGAIN (once more when writable) or another code. */
    int (*shutdown)(struct stream *s);

    /* s->reading or s->writing have changed. */
    void (*watch)(struct stream *s);

    /* NULL: leave the loop and its epoll set; else join, watching for what s->reading says. */
    void (*move)(struct stream *s, struct loop *l);

    /* See stream_is_quiet. */
    bool (*is_quiet)(struct stream *s);

    /* Bytes that the kernel has ever taken. */
    uint64_t (*sent)(const struct stream *s);

    /* Before an ordinary close, with nothing queued: a word of farewell. NULL: none. */
    void (*bye)(struct stream *s);

    /* At the end of the turn; closes the descriptor. */
    void (*free)(struct stream *s);
};

struct stream {
    /* borrowed */
    const struct stream_ops *ops;
    const struct stream_events *events;
    void *owner;
    struct loop *loop;
    /* owned */
    struct buf out; /* what the kernel has not taken yet; no memory while empty */
    /* state */
    bool reading, writing; /* watched for */
    bool full;             /* STREAM_FULL was said, on_room is owed */
    bool shut;             /* stream_shutdown was asked for */
    bool shut_done;        /* and has reached the kernel */
    bool broken;           /* writing has failed */
    bool closed;
    int fd;
    uint64_t bytes_in, bytes_out;
};

#define STREAM_HIGH_WATER (256 * KIB)
#define STREAM_LOW_WATER (64 * KIB)
#define STREAM_HARD_CAP (64 * MIB)

/* Bytes read (> 0), ERR_AGAIN, ERR_CLOSED (end of stream: the peer will send no more), ERR_RESET,
 * ERR_TLS. Fewer bytes than asked for: the kernel had no more, there is no need to ask again.
 * After the end or a failure the stream is paused by itself. */
ssize_t stream_recv(struct stream *s, void *mem, size_t len);

/* Sends all pieces in order, one system call when the kernel takes them. 0, STREAM_FULL (all is
 * queued; hold back), or a negative code (ERR_RESET, ERR_FULL at the hard cap): then only
 * stream_close is left. */
MUST_CHECK int stream_write(struct stream *s, const struct iovec *iov, int n);

/* Bytes queued and not yet sent. */
size_t stream_queued(const struct stream *s);

/* A number that changes whenever the peer has taken something of what was written, however little;
 * two equal ones mean that it took nothing in between. For deadlines of slow readers; one system
 * call. */
uint64_t stream_progress(const struct stream *s);

/* Half-close after what is queued. */
void stream_shutdown(struct stream *s);

/* Stops / restarts on_readable. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);

/* Closes now; what is queued is lost. */
void stream_close(struct stream *s);

/* Closes with a reset, where an ordinary end would look like the end of a message. */
void stream_close_hard(struct stream *s);

/* Sends what is queued (until the peer takes nothing for 10 s), half-closes, then reads and drops
 * what the peer still sends (at most 1 MiB and 2 s in all) before closing, so that a last answer
 * is not destroyed by a reset. The owner is done with it at once; what it owns may be freed. */
void stream_close_gently(struct stream *s);

/* For connections that change workers: takes an idle stream (nothing queued) out of its loop and
 * epoll set, or puts it on one. Between the two no function but stream_attach and stream_close may
 * be called. */
void stream_detach(struct stream *s);
void stream_attach(struct stream *s, struct loop *l);

/* Has the peer ended or reset the connection? Told although there are bytes before its end that nobody
 * has read; costs a system call. */
bool stream_has_left(const struct stream *s);

/* An idle stream: true when nothing has arrived and the peer has not closed. One system call. */
bool stream_is_quiet(struct stream *s);

/* For the kinds of stream (tcp.c, tls.c): fills in the public part; not watched for anything
 * yet. */
void stream_init(struct stream *s, const struct stream_ops *ops, struct loop *l, int fd,
                 const struct stream_events *events, void *owner);

/* For the kinds of stream: the descriptor is ready. s may be closed on return. */
void stream_on_ready(struct stream *s, bool readable, bool writable);

#endif
