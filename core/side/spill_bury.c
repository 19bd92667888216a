/* SPDX-License-Identifier: Apache-2.0 */

/* Dead letters: what the brokers refuse for good goes to the event's dead-letter topic, else to a file. What no such place
 * takes now stays in the spill and is tried again, with pauses. */

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "side/dead_letter.h"
#include "side/spill_flying.h"

#define BURY_PAUSE_MS 500
#define BURY_FAILURES 16 /* before it pauses */

static _Thread_local struct kafka_header
    headers[KAFKA_HEADERS_MAX]; /* of the thread of this feeder */
static _Thread_local struct kafka_header more_headers[KAFKA_HEADERS_MAX];

static void bury_later(struct flying *fl)
{
    flying_dig_up(fl);
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
        flying_finish(fl);
    }
    free(own);
}

static void bury_in_topic(struct flying *fl, const struct kafka_event *e)
{
    struct kafka_record r = dead_letter_record(e, slice_from(fl->why), more_headers);
    int rc = fl->lane->producer ? kafka_publish(fl->lane->producer, &r, &fl->report) : ERR_CLOSED;

    if (rc == 0)
        flying_take_off(fl);
    else if (rc == ERR_LIMIT || rc == ERR_SYNTAX)
        bury_in_file(fl, e);
    else
        bury_later(fl);
}

/* The event itself: it is on disk, and only there. *r is valid as long as the cursor, which the caller ends. */
bool flying_read(const struct flying *fl, struct spill_cursor *c, struct spill_record *r)
{
    struct spill_place place;

    spill_cursor_init(c, fl->lane->spill);
    spill_cursor_to(c, fl->place);
    return spill_cursor_next(c, r, &place) == 0 && place.segment == fl->place.segment &&
           r->index == fl->index;
}

static void bury(struct flying *fl, bool may_publish)
{
    struct spill_cursor c;
    struct spill_record r;
    struct kafka_event e;

    bool is_lost = spill_is_lost(fl->lane->spill, fl->place);
    bool is_read = flying_read(fl, &c, &r);
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

void flying_refuse(struct flying *fl, const char *why)
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

/* Of a record to the dead-letter topic. */
void flying_on_burial(struct flying *fl)
{
    struct lane *l = fl->lane;

    switch (fl->report.outcome) {
    case KAFKA_DELIVERED:
        LOG_ERROR("spill.dead_letter", "a broker refuses an event for good",
                  LOG_C("cluster", l->name), LOG_C("why", fl->why),
                  LOG_C("kept_in", "dead-letter topic"), LOG_I("partition", fl->report.partition),
                  LOG_I("offset", fl->report.offset));
        atomic_fetch_add(&l->counts->buried_topic, 1);
        flying_finish(fl);
        break;
    case KAFKA_REFUSED: bury(fl, false); break;
    case KAFKA_FAILED:
    case KAFKA_UNKNOWN: bury_later(fl); break;
    }
}
