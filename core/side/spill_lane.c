/* SPDX-License-Identifier: Apache-2.0 */

/* Order is kept by never publishing behind a gap: after a failure all that is under way is awaited, and then everything
 * from the first that was not delivered on is read again. What was delivered is struck out, so it is not published
 * twice; what is unknown is, with the same id. */

#include "side/spill_lane.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "side/kafka.h"
#include "side/spill_branch.h"
#include "side/spill_feed.h"
#include "side/spill_flying.h"

#define FULL_PAUSE_MS 50
#define START_PAUSE_MS 1000
#define FAILURE_PAUSE_MS 100 /* doubles with each in a row */
#define FAILURE_PAUSE_MAX_MS 5000

static _Thread_local struct kafka_header
    headers[KAFKA_HEADERS_MAX]; /* of the thread of this feeder */

/* --- one event ------------------------------------------------------------------------------------------------------- */

static void on_report(struct kafka_report *r, void *reader);

static struct flying *flying_new(struct lane *l, const struct spill_record *r,
                                 struct spill_place place)
{
    struct flying *fl = calloc(1, sizeof(*fl));

    REQUIRE(fl != NULL);
    fl->report.home = l->home;
    fl->report.fn = on_report;
    list_init(&fl->link);
    fl->lane = l;
    fl->place = place;
    fl->index = r->index;
    fl->at_ms = r->at_ms;
    fl->size = r->event.len;
    fl->number = ++l->sent;
    spill_hold(l->spill, place);
    return fl;
}

/* Out of the list of those that wait for another try. */
void flying_dig_up(struct flying *fl)
{
    list_remove(&fl->link);
    if (fl->is_unburied) {
        fl->lane->nunburied--;
        atomic_fetch_sub(&fl->lane->counts->unburied, 1);
    }
    fl->is_unburied = false;
}

void flying_free(struct flying *fl)
{
    flying_dig_up(fl);
    spill_release(fl->lane->spill, fl->place);
    free(fl->why);
    free(fl);
}

void flying_finish(struct flying *fl)
{
    spill_strike(fl->lane->spill, fl->place, fl->index);
    flying_free(fl);
}

void flying_take_off(struct flying *fl)
{
    struct lane *l = fl->lane;

    flying_dig_up(fl);
    fl->is_alone = list_is_empty(&l->flying);
    if (!fl->is_alone)
        container_of(list_first(&l->flying), struct flying, link)->is_alone = false;
    list_append(&l->flying, &fl->link);
    l->nflying++;
    l->bytes += fl->size;
    atomic_fetch_add(&l->counts->under_way, 1);
}

static void land(struct flying *fl)
{
    struct lane *l = fl->lane;

    list_remove(&fl->link);
    l->nflying--;
    l->bytes -= fl->size;
    atomic_fetch_sub(&l->counts->under_way, 1);
}

/* --- going back ------------------------------------------------------------------------------------------------------ */

static void forget_back(struct lane *l)
{
    if (l->back_to.segment) {
        (void)spill_is_lost(l->spill, l->back_to);
        spill_release(l->spill, l->back_to);
    }
    l->back_to = (struct spill_place){NULL, 0};
}

/* What is to be read again anyway. */
static void drop_unburied(struct lane *l, uint64_t from)
{
    LIST_EACH (link, &l->unburied) {
        struct flying *fl = container_of(link, struct flying, link);
        if (fl->number <= from)
            continue;
        branches_reach(l, fl->place, fl->number, fl->at_ms);
        (void)spill_is_lost(l->spill, fl->place);
        flying_free(fl);
    }
}

static void pause_for(struct lane *l, uint64_t ms)
{
    l->pause_end = clock_ms() + ms;
}

static void pause_after_failure(struct lane *l)
{
    uint64_t ms = FAILURE_PAUSE_MS;

    for (uint32_t i = 0; i < l->failures && ms < FAILURE_PAUSE_MAX_MS; i++)
        ms *= 2;
    l->failures++;
    pause_for(l, MIN(ms, (uint64_t)FAILURE_PAUSE_MAX_MS));
}

/* Once there is word of all that was under way. */
static void end_gathering(struct lane *l)
{
    if (!l->gathers || l->nflying > 0)
        return;
    l->gathers = false;
    if (l->producer)
        l->epoch = kafka_epoch(l->producer);
    if (!l->back_to.segment)
        return;
    drop_unburied(l, l->back_number);
    spill_cursor_to(&l->cursor, l->back_to);
    forget_back(l);
    l->lags = true;
    if (l->has_failed)
        pause_after_failure(l);
    if (l->suspects > 0)
        l->group = MAX(l->suspects / 2, (size_t)1);
    l->suspects = 0;
    l->has_failed = false;
}

/* It will be read again from there: by this lane, or the one that carries it now. */
static void go_back(struct flying *fl)
{
    struct lane *l = fl->lane;

    if (!l->gathers && l->cluster && l->missing_since == 0)
        LOG_WARN("spill.again",
                 "events go out again, from the first that was not delivered: those of which there "
                 "was no word may come twice, with the same id",
                 LOG_C("cluster", l->name), LOG_C("why", fl->report.why));
    l->gathers = true;
    if (spill_is_lost(l->spill, fl->place)) {
        flying_free(fl);
        return;
    }
    branches_reach(l, fl->place, fl->number, fl->at_ms);
    if (!l->back_to.segment || fl->number < l->back_number) {
        spill_hold(l->spill, fl->place);
        forget_back(l);
        l->back_to = fl->place;
        l->back_number = fl->number;
    }
    flying_free(fl);
}

/* --- topics that are missing ---------------------------------------------------------------------------------------- */

/* Of a trunk: the event's topic gets a branch, which waits for it. False: it can't. */
static bool leave_trunk(struct flying *fl)
{
    struct lane *l = fl->lane, *b = NULL;
    struct spill_cursor c;
    struct spill_record r;

    if (flying_read(fl, &c, &r)) {
        b = branch_of(l, r.event);
        if (!b)
            b = branch_new(l, r.event, fl->report.why);
    }
    bool is_short = c.is_short;
    spill_cursor_deinit(&c);
    if (b) {
        branch_reach(b, fl->place, fl->number, fl->at_ms);
        flying_free(fl);
    } else if (is_short) {
        l->has_failed = true;
        go_back(fl);
    }
    return b || is_short;
}

/* False: it has waited long enough. */
static bool wait_for_topic(struct flying *fl)
{
    struct lane *l = fl->lane;

    if (spill_topic_patience_ms(l->spill) == 0)
        return false;
    if (l->trunk) {
        if (branch_misses(l))
            return false;
        l->has_failed = true;
        l->group = 1;
        go_back(fl);
        return true;
    }
    if (!spill_is_lost(l->spill, fl->place))
        return leave_trunk(fl);
    flying_free(fl);
    return true;
}

/* Has a trunk what was published before that branch, and may be of its topic? */
static bool has_before(const struct lane *l, uint64_t number)
{
    const struct list *lists[] = {&l->flying, &l->unburied};

    for (size_t i = 0; i < COUNT_OF(lists); i++)
        LIST_EACH (link, lists[i])
            if (container_of(link, struct flying, link)->number <= number)
                return true;
    return false;
}

static bool is_behind_trunk(struct lane *l)
{
    if (l->trunk && l->waits_for > 0 && !has_before(l->trunk, l->waits_for))
        l->waits_for = 0;
    return l->waits_for > 0;
}

/* --- reports --------------------------------------------------------------------------------------------------------- */

/* A group was delivered: the next one may be larger. */
static void widen(struct lane *l)
{
    if (l->group == 0 || l->nflying > 0 || l->gathers)
        return;
    l->group *= 2;
    if (l->group >= FEED_RECORDS)
        l->group = 0;
}

/* Of a batch that was refused as a whole each half goes out again, and so on, until the one at fault is alone: only
 * that is a dead letter. */
static void on_report(struct kafka_report *r, void *reader UNUSED)
{
    struct flying *fl = container_of(r, struct flying, report);
    struct lane *l = fl->lane;

    land(fl);
    if (fl->why) {
        flying_on_burial(fl);
    } else if (r->outcome == KAFKA_DELIVERED) {
        l->failures = 0;
        branch_found(l);
        atomic_fetch_add(&l->counts->delivered, 1);
        flying_finish(fl);
        widen(l);
    } else if (r->outcome == KAFKA_REFUSED && r->is_of_topic && wait_for_topic(fl)) {
        ; /* it goes out again */
    } else if (r->outcome == KAFKA_REFUSED && r->is_shared && !fl->is_alone) {
        l->suspects++;
        go_back(fl);
    } else if (r->outcome == KAFKA_REFUSED) {
        flying_refuse(fl, r->why);
    } else {
        l->has_failed = true;
        go_back(fl);
    }
    end_gathering(l);
    l->on_change(l->arg);
}

/* --- publishing ------------------------------------------------------------------------------------------------------ */

static bool has_producer(struct lane *l)
{
    if (l->producer || !l->cluster)
        return l->producer != NULL;
    l->producer = kafka_producer_use(l->cluster, KAFKA_ENDLESS);
    if (!l->producer)
        pause_for(l, START_PAUSE_MS);
    else
        l->epoch = kafka_epoch(l->producer);
    return l->producer != NULL;
}

/* Groups are not under way together. */
static bool has_group_room(struct lane *l)
{
    if (l->nflying == 0)
        l->group_left = l->group;
    return l->group == 0 || l->group_left > 0;
}

bool lane_is_open(struct lane *l)
{
    return has_group_room(l) && !l->gathers && !is_behind_trunk(l) && clock_ms() >= l->pause_end &&
           l->nflying + l->nunburied < FEED_RECORDS && l->bytes < FEED_BYTES && has_producer(l);
}

/* A later version of this program may have written it: it stays where it is. */
static void tell_unread(const struct lane *l)
{
    LOG_ERROR("spill.unknown", "an event in the spill is not of this version: it stays there",
              LOG_C("cluster", l->name), LOG_S("dir", spill_path(l->spill)));
}

/* False: not now. */
static bool publish(struct lane *l, const struct spill_record *r, struct spill_place place)
{
    struct kafka_event e;

    if (!lane_is_open(l))
        return false;
    if (kafka_event_read(r->event, &e, headers) < 0) {
        tell_unread(l);
        return true;
    }
    struct flying *fl = flying_new(l, r, place);
    e.record.epoch = l->epoch;
    int rc = kafka_publish(l->producer, &e.record, &fl->report);
    if (rc == 0) {
        flying_take_off(fl);
        l->group_left -= l->group_left > 0;
        return true;
    }
    if (rc == ERR_LIMIT || rc == ERR_SYNTAX) {
        flying_refuse(fl, rc == ERR_LIMIT
                              ? "it is larger than message.max.bytes, or has too many headers"
                              : "its topic is no name of a topic");
        return true;
    }
    flying_free(fl);
    if (rc == ERR_RESET) {
        l->gathers = true;
        end_gathering(l);
    } else {
        pause_for(l, rc == ERR_FULL ? FULL_PAUSE_MS : START_PAUSE_MS);
    }
    return false;
}

static void lag_from(struct lane *l, const struct spill_record *r, struct spill_place place)
{
    if (!l->cluster && !l->is_told)
        LOG_WARN("spill.no_cluster",
                 "events wait for a Kafka cluster that the configuration does not have",
                 LOG_C("cluster", l->name), LOG_S("dir", spill_path(l->spill)));
    l->is_told = true;
    l->next_at_ms = r->at_ms;
    if (!l->lags || l->cursor.at.segment == NULL) {
        l->lags = true;
        spill_cursor_to(&l->cursor, place);
    }
}

void lane_take(struct lane *l, const struct spill_record *r, struct spill_place place)
{
    struct lane *b = branch_of(l, r->event);

    l = b ? b : l;
    if (!l->lags && !publish(l, r, place) && !l->lags)
        lag_from(l, r, place);
}

bool lane_catch_up(struct lane *l, const struct spill_cursor *scout, int most)
{
    struct spill_record r;
    struct spill_place place;

    while (l->lags && most-- > 0) {
        if (spill_cursor_is_at(&l->cursor, scout)) {
            l->lags = false;
            spill_cursor_deinit(&l->cursor);
            spill_cursor_init(&l->cursor, l->spill);
            break;
        }
        if (!lane_is_open(l) || spill_cursor_next(&l->cursor, &r, &place) < 0)
            return false;
        if (!lane_carries(l, r.event))
            continue;
        l->next_at_ms = r.at_ms;
        if (!publish(l, &r, place)) {
            spill_cursor_to(&l->cursor, place);
            return false;
        }
    }
    return l->lags;
}

uint64_t lane_oldest_ms(const struct lane *l)
{
    uint64_t oldest = l->lags ? l->next_at_ms : 0;
    const struct list *lists[] = {&l->flying, &l->unburied};

    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        if (list_is_empty(lists[i]))
            continue;
        uint64_t at = container_of(list_first(lists[i]), struct flying, link)->at_ms;
        oldest = oldest ? MIN(oldest, at) : at;
    }
    return oldest;
}

/* --- the lane -------------------------------------------------------------------------------------------------------- */

struct lane *lane_new(struct spill *s, struct slice name, struct mailbox *home)
{
    struct lane *l = calloc(1, sizeof(*l));

    REQUIRE(l != NULL);
    list_init(&l->link);
    list_init(&l->flying);
    list_init(&l->unburied);
    l->name = slice_dup(name);
    l->spill = s;
    l->home = home;
    spill_cursor_init(&l->cursor, s);
    return l;
}

/* Of the same brokers there is but one producer: what is under way goes on. Else it is awaited, since what comes next
 * would overtake it. */
void lane_use(struct lane *l, struct kafka_cluster *c)
{
    struct kafka_producer *before = l->producer;

    if (l->cluster)
        kafka_cluster_unref(l->cluster);
    l->cluster = c ? kafka_cluster_ref(c) : NULL;
    l->is_told = false;
    l->pause_end = 0;
    if (!before)
        return;
    l->producer = c ? kafka_producer_use(c, KAFKA_ENDLESS) : NULL;
    kafka_producer_unuse(before);
    if (l->producer == before)
        return;
    l->gathers = true;
    end_gathering(l);
}

void lane_free(struct lane *l)
{
    lane_use(l, NULL);
    drop_unburied(l, 0);
    forget_back(l);
    spill_cursor_deinit(&l->cursor);
    list_remove(&l->link);
    free(l->name);
    free(l->topic);
    free(l);
}
