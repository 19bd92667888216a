/* SPDX-License-Identifier: Apache-2.0 */

/* What a supervisor and its gateway tell each other: notes over a pair of unix sockets (SOCK_SEQPACKET, so a note comes
 * whole or not at all), some of which carry descriptors.
 *
 *   gateway                                supervisor
 *   HELLO number: NOTE_VERSION       ->
 *                                    <-    WELCOME text: struct note_welcome
 *                                    <-    SOCKET for each that is held, TICKETS where there are any
 *                                    <-    GO
 *   SOCKET text: name, number:       ->    (held from now on)
 *     of the first; descriptors
 *   CLOSE text: name, or all         ->
 *                                    <-    CLOSED: the supervisor holds it no more
 *   READY number: note_log_number    ->
 *   TICKETS text: key ring           ->
 *                                    <-    SIGNAL number: that signal
 *                                    <-    RETIRE: another gateway serves the sockets
 *   ENDING number: ms it will take   ->
 */

#ifndef DML_APP_NOTE_H
#define DML_APP_NOTE_H

#include "base/base.h"
#include "base/slice.h"

/* Of the notes and of what a supervisor hands on to itself: raised with each change of their meaning, so that a gateway
 * of another version than its supervisor's is told apart. */
#define NOTE_VERSION 1

#define NOTE_TEXT_MAX (16 * KIB)
#define NOTE_FDS_MAX 64

enum note_kind {
    NOTE_HELLO = 1,
    NOTE_WELCOME,
    NOTE_SOCKET,
    NOTE_GO,
    NOTE_CLOSE,
    NOTE_CLOSED,
    NOTE_READY,
    NOTE_TICKETS,
    NOTE_SIGNAL,
    NOTE_RETIRE,
    NOTE_ENDING,
    NOTE_KINDS
};

/* About the supervisor, for the gateway's metrics. */
struct note_welcome {
    uint64_t restarts, handovers;
    uint64_t started_ms; /* since 1970 */
};

struct note {
    enum note_kind kind;
    uint32_t number;
    size_t len;
    int nfds;
    int fds[NOTE_FDS_MAX]; /* received: owned by whoever received the note; close-on-exec */
    char text[NOTE_TEXT_MAX];
};

/* The two ends. ERR_SYSTEM with errno set. */
MUST_CHECK int note_pair(int *fds);

/* Is this descriptor an end of such a pair? */
bool note_is_end(int fd);

/* Waits for room up to timeout_ms. At most NOTE_TEXT_MAX and NOTE_FDS_MAX. ERR_CLOSED: the other end has gone;
 * ERR_TIMEOUT; ERR_SYSTEM with errno set. Any thread. */
MUST_CHECK int note_send(int fd, enum note_kind kind, uint32_t number, struct slice text,
                         const int *fds, int nfds, int timeout_ms);

/* Waits up to timeout_ms (-1: for ever). ERR_CLOSED; ERR_TIMEOUT; ERR_PROTOCOL: what came is no note, or is cut (its
 * descriptors are closed); ERR_SYSTEM with errno set. */
MUST_CHECK int note_receive(int fd, struct note *note, int timeout_ms);

void note_close_fds(struct note *note); /* those that nobody has taken (-1) */

struct slice note_text(const struct note *note);

#endif
