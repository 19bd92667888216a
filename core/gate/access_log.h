/* SPDX-License-Identifier: Apache-2.0 */

/* The access log's writer: one JSON object per line and exchange. The fields are compiled once; a line is appended to
 * a buffer, which leaves with one write at the end of the loop's turn, or when it holds ACCESS_LOG_FULL bytes.
 *
 * One writer per worker and place; writers of one file or of standard output share it line by line: each write is whole
 * lines, and no two of this process overlap. A line that can't be written (a full disk) is lost: that is logged and
 * counted, and requests go on. What was begun is ended with the next line that can be, so that no two become one.
 *
 * All writers of a path have one descriptor, which access_logs_reopen renews behind their back. */

#ifndef DML_GATE_ACCESS_LOG_H
#define DML_GATE_ACCESS_LOG_H

#include "base/base.h"
#include "base/slice.h"
#include "gate/selector.h"

#define ACCESS_LOG_FULL (64 * KIB)
#define ACCESS_LOG_FIELDS 64
#define ACCESS_LOG_RANGES 16

struct access_log;
struct exchange;

/* path NULL: standard output. The file is made when it isn't there, and appended to. ERR_SYSTEM with errno set. Any
 * thread. */
MUST_CHECK int access_log_open(const char *path, struct access_log **out);

/* For a check: could it be opened? Leaves nothing behind. ERR_SYSTEM with errno set. */
MUST_CHECK int access_log_probe(const char *path);

/* The files that were moved away are made anew (SIGUSR1). A file that can't be opened is written to as before, and that is
 * logged. Any thread. */
void access_logs_reopen(void);

/* Lines of all logs that were lost so far. Any thread. */
uint64_t access_logs_lost(void);

/* Writes what is left. On the thread that wrote with it, or when that has ended. */
void access_log_close(struct access_log *l);

/* The next field of each line: a template, or one of the words that only a log knows: {time} {bytes_sent}
 * {bytes_received} {attempts} {tries} {error} {query} {version}. {status}, {duration} and the counts become numbers; what is
 * absent is left out. ERR_LIMIT; ERR_SYNTAX with *error. */
MUST_CHECK int access_log_field(struct access_log *l, struct slice name, struct slice value,
                                const struct selector_scope *scope, struct slice *error);

/* Only exchanges with a status from..to; any of several. */
MUST_CHECK int access_log_when(struct access_log *l, int from, int to);

/* One line. Its status is 0 where nothing was sent to the client. */
void access_log_write(struct access_log *l, struct exchange *x);

/* The same for a log whose lines go elsewhere: *line, without its end, lasts until the next one. False where the exchange
 * gets none. Such a log is never written with. */
MUST_CHECK bool access_log_line(struct access_log *l, struct exchange *x, struct slice *line);

#endif
