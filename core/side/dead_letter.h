/* SPDX-License-Identifier: Apache-2.0 */

/* What a broker refuses for good is kept where people look for it: as a record of another topic, or as a line of JSON in
 * a file. Both say why, and have all of the event:
 *
 *     {"time":"...","cluster":"events","topic":"orders","id":"...","reason":"...","key":"...","value":"...",
 *      "headers":[["name","value"]]}
 *
 * Bytes that are no UTF-8 stand in base64 under "key_base64" and "value_base64". */

#ifndef DML_SIDE_DEAD_LETTER_H
#define DML_SIDE_DEAD_LETTER_H

#include "side/kafka_record.h"

/* The record for the dead-letter topic: the event's, with headers that name its topic and the reason. headers: room for
 * it. Its texts are the event's and why's. */
struct kafka_record dead_letter_record(const struct kafka_event *e, struct slice why,
                                       struct kafka_header headers[KAFKA_HEADERS_MAX]);

/* Appends a line to the file, which may then have so many bytes (a first line is always taken). ERR_FULL: it would have more;
 * ERR_SYSTEM: errno says why. Blocks. */
MUST_CHECK int dead_letter_write(const char *path, uint64_t max, const struct kafka_event *e,
                                 struct slice why);

#endif
