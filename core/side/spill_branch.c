/* SPDX-License-Identifier: Apache-2.0 */

/* A branch begins when all that the trunk has published before has its word: only then it is known which of the topic's
 * events is the first that was not delivered. */

#include "side/spill_branch.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

struct lane *branch_of(const struct lane *trunk, struct slice event)
{
    struct slice topic;

    if (trunk->nbranches == 0 || kafka_event_topic(event, &topic) < 0)
        return NULL;
    LIST_EACH (link, trunk->lanes) {
        struct lane *b = container_of(link, struct lane, link);
        if (b->trunk == trunk && slice_eq(topic, slice_from(b->topic)))
            return b;
    }
    return NULL;
}

bool lane_carries(const struct lane *l, struct slice event)
{
    const struct lane *trunk = l->trunk ? l->trunk : l;
    const struct lane *b;
    struct slice cluster;

    if (kafka_event_cluster(event, &cluster) < 0 || !slice_eq(cluster, slice_from(trunk->name)))
        return false;
    b = branch_of(trunk, event);
    return b ? b == l : trunk == l;
}

struct lane *branch_new(struct lane *trunk, struct slice event, const char *why)
{
    struct slice topic;

    if (trunk->nbranches >= BRANCHES_MAX || kafka_event_topic(event, &topic) < 0)
        return NULL;
    struct lane *b = lane_new(trunk->spill, slice_from(trunk->name), trunk->home);
    b->topic = slice_dup(topic);
    b->trunk = trunk;
    b->waits_for = trunk->sent;
    b->counts = trunk->counts;
    b->on_change = trunk->on_change;
    b->arg = trunk->arg;
    b->lanes = trunk->lanes;
    b->lags = true;
    b->group = 1;
    trunk->nbranches++;
    list_append(trunk->lanes, &b->link);
    lane_use(b, trunk->cluster);
    (void)!branch_misses(b);
    LOG_WARN(
        "spill.topic",
        "a topic is not there, or may not be written to: its events wait in the spill, and hold up "
        "no others",
        LOG_C("cluster", b->name), LOG_C("topic", b->topic), LOG_C("why", why),
        LOG_I("give_up_after_s", spill_topic_patience_ms(b->spill) / 1000));
    return b;
}

void branch_reach(struct lane *b, struct spill_place place, uint64_t number, uint64_t at_ms)
{
    if (b->cursor.at.segment && number >= b->back_number)
        return;
    spill_cursor_to(&b->cursor, place);
    b->back_number = number;
    b->next_at_ms = at_ms;
}

void branches_reach(const struct lane *trunk, struct spill_place place, uint64_t number,
                    uint64_t at_ms)
{
    if (trunk->nbranches == 0)
        return;
    LIST_EACH (link, trunk->lanes) {
        struct lane *b = container_of(link, struct lane, link);
        if (b->trunk == trunk && number <= b->waits_for)
            branch_reach(b, place, number, at_ms);
    }
}

void branch_found(struct lane *b)
{
    if (b->missing_since == 0)
        return;
    b->missing_since = 0;
    atomic_fetch_sub(&b->counts->missing_topics, 1);
    LOG_INFO("spill.topic.found", "a topic is there again: what has waited for it is delivered",
             LOG_C("cluster", b->name), LOG_C("topic", b->topic));
}

bool branch_misses(struct lane *b)
{
    if (b->missing_since == 0) {
        b->missing_since = clock_ms();
        atomic_fetch_add(&b->counts->missing_topics, 1);
    }
    return clock_ms() - b->missing_since >= spill_topic_patience_ms(b->spill);
}

void branch_join(struct lane *b)
{
    if (b->lags || b->gathers || b->nflying > 0 || b->nunburied > 0)
        return;
    b->trunk->nbranches--;
    if (b->missing_since > 0)
        atomic_fetch_sub(&b->counts->missing_topics, 1);
    lane_free(b);
}
