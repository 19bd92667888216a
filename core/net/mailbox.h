/* SPDX-License-Identifier: Apache-2.0 */

/* The only road between threads: a queue with many writers and one reader, and a wake-up of the
 * reader's loop. A message is a struct that embeds struct mail; sending gives it away. */

#ifndef DML_NET_MAILBOX_H
#define DML_NET_MAILBOX_H

#include "base/base.h"

struct loop;
struct mailbox;
struct mail;

/* Runs on the reader's thread; owns the message now. */
typedef void (*mail_fn)(struct mail *m, void *reader);

struct mail {
    struct mail *next;
    mail_fn fn;
};

/* reader is handed to each message's fn. */
struct mailbox *mailbox_new(struct loop *l, void *reader);

/* Delivers what is still queued, then frees. No sender may be left. */
void mailbox_free(struct mailbox *mb);

/* Any thread; never blocks. Order per sender is kept. */
void mailbox_send(struct mailbox *mb, struct mail *m);

#endif
