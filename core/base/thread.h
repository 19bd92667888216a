/* SPDX-License-Identifier: Apache-2.0 */

/* Threads of one's own that may not end in time. */

#ifndef DML_BASE_THREAD_H
#define DML_BASE_THREAD_H

#include <pthread.h>

#include "base/base.h"

/* Waits for the thread's end, for so many milliseconds at most. True: it is joined. False: it still runs, and may be
 * waited for again, or detached. */
MUST_CHECK bool thread_join_within(pthread_t thread, uint32_t ms);

#endif
