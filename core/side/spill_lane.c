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
#include "side/dead_letter.h"
#include "side/kafka.h"
#include "side/spill_feed.h"

#define FULL_PAUSE_MS 50
#define START_PAUSE_MS 1000
#define FAILURE_PAUSE_MS 100 /* doubles with each in a row */
#define FAILURE_PAUSE_MAX_MS 5000
#define BURY_PAUSE_MS 500
#define BURY_FAILURES 16 /* before it pauses */

/* An event that was published and has no word yet, or waits for another try at its dead-letter place. */
struct flying {
    struct kafka_report report;
    struct list link;
    struct lane *lane;
    struct spill_place place; /* held */
    uint32_t index;
    uint64_t at_ms, number;
    size_t size;
    char *why;                  /* it was refused: this goes to its dead-letter place */
    bool is_unburied, is_alone; /* nothing else was under way with it */
};

static struct kafka_header headers[KAFKA_HEADERS_MAX]; /* the feeder's thread only */
static struct kafka_header more_headers[KAFKA_HEADERS_MAX];

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
static void dig_up(struct flying *fl)
{
    list_remove(&fl->link);
    if (fl->is_unburied) {
        fl->lane->nunburied--;
        atomic_fetch_sub(&fl->lane->counts->unburied, 1);
    }
    fl->is_unburied = false;
}

static void flying_free(struct flying *fl)
{
    dig_up(fl);
    spill_release(fl->lane->spill, fl->place);
    free(fl->why);
    free(fl);
}

static void finish(struct flying *fl)
{
    spill_strike(fl->lane->spill, fl->place, fl->index);
    flying_free(fl);
}

static void take_off(struct flying *fl)
{
    struct lane *l = fl->lane;

    dig_up(fl);
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

/* --- dead letters ---------------------------------------------------------------------------------------------------- */

static void bury_later(struct flying *fl)
{
    dig_up(fl);
    list_append(&fl->lane->unburied, &fl->link);
    fl->lane->nunburied++;
    atomic_fetch_add(&fl->lane->counts->unburied, 1);
    fl->is_unburied = true;
}

static void tell_unburied(const char *file, int rc)
{
    if (rc == ERR_FULL)
        LOG_ERROR(
            "spill.dead_letter.full",
            "a dead-letter file has grown to spill.dead_letters_size: what is refused stays in the spill "
            "until somebody has moved the file away",
            LOG_C("file", file));
    else
        LOG_ERROR("spill.dead_letter.file",
                  "can't write to a dead-letter file: the event stays in the spill meanwhile",
                  LOG_C("file", file), LOG_C("why", strerrordesc_np(errno)));
}

/* The event's own, or the spill's: no event is without one. */
static void bury_in_file(struct flying *fl, const struct kafka_event *e)
{
    struct spill *s = fl->lane->spill;
    struct lane_counts *counts = fl->lane->counts;
    char *own = e->dead_letter_file.ptr ? slice_dup(e->dead_letter_file) : NULL;
    const char *file = own ? own : spill_dead_letters(s);
    int rc = dead_letter_write(file, spill_dead_letters_size(s), e, slice_from(fl->why));

    if (rc < 0) {
        tell_unburied(file, rc);
        bury_later(fl);
    } else {
        LOG_ERROR("spill.dead_letter", "a broker refuses an event for good",
                  LOG_S("cluster", e->cluster), LOG_S("topic", e->record.topic), LOG_S("id", e->id),
                  LOG_C("why", fl->why), LOG_C("kept_in", "file"), LOG_C("file", file));
        atomic_fetch_add(own ? &counts->buried_file : &counts->buried_default, 1);
        finish(fl);
    }
    free(own);
}

static void bury_in_topic(struct flying *fl, const struct kafka_event *e)
{
    struct kafka_record r = dead_letter_record(e, slice_from(fl->why), more_headers);
    int rc = fl->lane->producer ? kafka_publish(fl->lane->producer, &r, &fl->report) : ERR_CLOSED;

    if (rc == 0)
        take_off(fl);
    else if (rc == ERR_LIMIT || rc == ERR_SYNTAX)
        bury_in_file(fl, e);
    else
        bury_later(fl);
}

/* The event itself is read again: it is on disk, and only there. */
static void bury(struct flying *fl, bool may_publish)
{
    struct spill *s = fl->lane->spill;
    struct spill_cursor c;
    struct spill_record r;
    struct spill_place place;
    struct kafka_event e;

    spill_cursor_init(&c, s);
    spill_cursor_to(&c, fl->place);
    bool is_lost = spill_is_lost(s, fl->place);
    bool is_read = !is_lost && spill_cursor_next(&c, &r, &place) == 0 &&
                   place.segment == fl->place.segment && r.index == fl->index;
    if (is_lost) {
        flying_free(fl);
    } else if (!is_read && c.is_short) {
        bury_later(fl);
    } else if (!is_read || kafka_event_read(r.event, &e, headers) < 0) {
        flying_free(fl); /* it can't be read any more: it stays for the next start */
    } else if (e.dead_letter_topic.ptr && may_publish) {
        bury_in_topic(fl, &e);
    } else {
        bury_in_file(fl, &e);
    }
    spill_cursor_deinit(&c);
}

static void refuse(struct flying *fl, const char *why)
{
    fl->why = slice_dup(slice_from(why));
    bury(fl, true);
}

/* Those that fail go to the end, so that each has its turn. */
bool lane_bury_again(struct lane *l)
{
    int failures = 0;

    if (clock_ms() < l->bury_pause_end)
        return l->nunburied > 0;
    for (size_t n = l->nunburied; n > 0 && failures < BURY_FAILURES; n--) {
        size_t before = l->nunburied;
        bury(container_of(list_first(&l->unburied), struct flying, link), true);
        failures += l->nunburied == before;
    }
    if (failures > 0)
        l->bury_pause_end = clock_ms() + BURY_PAUSE_MS;
    return l->nunburied > 0;
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

static void go_back(struct flying *fl)
{
    struct lane *l = fl->lane;

    if (!l->gathers && l->cluster)
        LOG_WARN("spill.again",
                 "events go out again, from the first that was not delivered: those of which there "
                 "was no word may come twice, with the same id",
                 LOG_C("cluster", l->name), LOG_C("why", fl->report.why));
    l->gathers = true;
    if (spill_is_lost(l->spill, fl->place)) {
        flying_free(fl);
        return;
    }
    if (!l->back_to.segment || fl->number < l->back_number) {
        spill_hold(l->spill, fl->place);
        forget_back(l);
        l->back_to = fl->place;
        l->back_number = fl->number;
    }
    flying_free(fl);
}

/* --- reports --------------------------------------------------------------------------------------------------------- */

/* Of a record to the dead-letter topic. */
static void on_burial(struct flying *fl)
{
    struct lane *l = fl->lane;

    switch (fl->report.outcome) {
    case KAFKA_DELIVERED:
        LOG_ERROR("spill.dead_letter", "a broker refuses an event for good",
                  LOG_C("cluster", l->name), LOG_C("why", fl->why),
                  LOG_C("kept_in", "dead-letter topic"), LOG_I("partition", fl->report.partition),
                  LOG_I("offset", fl->report.offset));
        atomic_fetch_add(&l->counts->buried_topic, 1);
        finish(fl);
        break;
    case KAFKA_REFUSED: bury(fl, false); break;
    case KAFKA_FAILED:
    case KAFKA_UNKNOWN: bury_later(fl); break;
    }
}

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
        on_burial(fl);
    } else if (r->outcome == KAFKA_DELIVERED) {
        l->failures = 0;
        atomic_fetch_add(&l->counts->delivered, 1);
        finish(fl);
        widen(l);
    } else if (r->outcome == KAFKA_REFUSED && r->is_shared && !fl->is_alone) {
        l->suspects++;
        go_back(fl);
    } else if (r->outcome == KAFKA_REFUSED) {
        refuse(fl, r->why);
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
    return has_group_room(l) && !l->gathers && clock_ms() >= l->pause_end &&
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
        take_off(fl);
        l->group_left -= l->group_left > 0;
        return true;
    }
    if (rc == ERR_LIMIT || rc == ERR_SYNTAX) {
        refuse(fl, rc == ERR_LIMIT ? "it is larger than message.max.bytes, or has too many headers"
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
    if (!l->lags && !publish(l, r, place) && !l->lags)
        lag_from(l, r, place);
}

bool lane_catch_up(struct lane *l, const struct spill_cursor *scout, int most)
{
    struct spill_record r;
    struct spill_place place;
    struct slice cluster;

    while (l->lags && most-- > 0) {
        if (spill_cursor_is_at(&l->cursor, scout)) {
            l->lags = false;
            spill_cursor_deinit(&l->cursor);
            spill_cursor_init(&l->cursor, l->spill);
            break;
        }
        if (!lane_is_open(l) || spill_cursor_next(&l->cursor, &r, &place) < 0)
            return false;
        if (kafka_event_cluster(r.event, &cluster) < 0 || !slice_eq(cluster, slice_from(l->name)))
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
    free(l);
}
