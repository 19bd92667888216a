/* SPDX-License-Identifier: Apache-2.0 */

/* What the services behind Kafka have in common: a member of a consumer group that takes events one by one, each once.
 *
 * Kafka delivers an event again when somebody fails in between. Each carries an id (ce_id), so it is known again: the ids of
 * the last events are remembered. (A real service keeps them where it keeps its data, in the same transaction.) */

#ifndef CONSUMER_H
#define CONSUMER_H

struct event {
    const char *id, *type; /* as CloudEvents have them */
    const char *data;      /* JSON */
};

/* Calls `take` for each event of these topics (NULL ends the list) until the process is ended. */
int consume(const char *brokers, const char *group, const char *const *topics,
            void (*take)(const struct event *event));

#endif
