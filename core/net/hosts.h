/* SPDX-License-Identifier: Apache-2.0 */

/* The system's hosts file, kept in memory. The file is looked at when a name is asked for, once a
 * second at most, and read again when it has changed. One per thread. */

#ifndef DML_NET_HOSTS_H
#define DML_NET_HOSTS_H

#include "base/base.h"
#include "base/slice.h"
#include "net/addr.h"

struct hosts;

/* path is kept. A file that can't be read is an empty one. */
struct hosts *hosts_new(const char *path);
void hosts_free(struct hosts *h);

/* How many addresses the file has for this name (lower case, no dot at the end), IPv4 first;
 * *addrs is valid until the next call. */
size_t hosts_find(struct hosts *h, struct slice name, const struct addr **addrs);

/* Replaces the content; what hosts_find does with a changed file. */
void hosts_parse(struct hosts *h, struct slice text);

#endif
