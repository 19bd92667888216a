/* SPDX-License-Identifier: Apache-2.0 */

/* The scout is a cursor that sees every event once. It hands an event to the lane of its cluster, which publishes it, or
 * lags from there on and reads for itself; so in the steady state each event is read once, and the scout never waits. */

#include "side/spill_feed.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/vec.h"
#include "side/spill_branch.h"

#define AT_ONCE \
    1000 /* events of the scout, and of a lane that catches up, before reports are looked at again */
#define ELDERS_MS 200
#define RETRY_MS 50

struct spill_feed {
    /* owned */
    pthread_t thread;
    struct loop *loop;
    struct mailbox *mailbox;
    struct list lanes;
    VEC(struct kafka_cluster *) clusters;
    struct spill_cursor scout;
    struct timer again;
    struct later turn_end;
    struct mail wake; /* of the writer */
    /* borrowed */
    struct spill *spill;
    /* state */
    struct lane_counts counts;
    _Atomic(uint64_t) oldest_ms;
    atomic_bool is_woken;
    bool is_mine;      /* no elder delivers any more */
    bool has_clusters; /* it was told them */
    bool quits, ends;
};

/* --- lanes ----------------------------------------------------------------------------------------------------------- */

static struct kafka_cluster *find_cluster(const struct spill_feed *f, struct slice name)
{
    for (size_t i = 0; i < f->clusters.n; i++)
        if (slice_eq(f->clusters.items[i]->name, name))
            return f->clusters.items[i];
    return NULL;
}

static void on_change(void *arg)
{
    struct spill_feed *f = arg;

    loop_later(f->loop, &f->turn_end);
}

static struct lane *lane_of(struct spill_feed *f, struct slice name)
{
    LIST_EACH (link, &f->lanes) {
        struct lane *l = container_of(link, struct lane, link);
        if (!l->trunk && slice_eq(slice_from(l->name), name))
            return l;
    }
    struct lane *l = lane_new(f->spill, name, f->mailbox);
    l->counts = &f->counts;
    l->on_change = on_change;
    l->arg = f;
    l->lanes = &f->lanes;
    list_append(&f->lanes, &l->link);
    lane_use(l, find_cluster(f, name));
    return l;
}

/* --- turns ----------------------------------------------------------------------------------------------------------- */

/* True when there may be more. */
static bool scout_on(struct spill_feed *f)
{
    struct spill_record r;
    struct spill_place place;
    struct slice cluster;

    for (int i = 0; i < AT_ONCE; i++) {
        if (spill_cursor_next(&f->scout, &r, &place) < 0)
            return false;
        if (kafka_event_cluster(r.event, &cluster) == 0)
            lane_take(lane_of(f, cluster), &r, place);
        else
            LOG_ERROR("spill.unknown",
                      "an event in the spill is not of this version: it stays there",
                      LOG_S("dir", spill_path(f->spill)));
    }
    return true;
}

static void note_oldest(struct spill_feed *f)
{
    uint64_t oldest = 0;

    LIST_EACH (link, &f->lanes) {
        uint64_t at = lane_oldest_ms(container_of(link, struct lane, link));
        if (at > 0 && (oldest == 0 || at < oldest))
            oldest = at;
    }
    atomic_store(&f->oldest_ms, oldest);
}

static void pump(struct spill_feed *f)
{
    bool goes_on = false, waits = false;

    if (!f->is_mine)
        f->is_mine = spill_adopt(f->spill);
    if (!f->is_mine) {
        timer_set(&f->again, ELDERS_MS);
        return;
    }
    LIST_EACH (link, &f->lanes) {
        struct lane *l = container_of(link, struct lane, link);
        waits = lane_bury_again(l) || waits;
        goes_on = lane_catch_up(l, &f->scout, AT_ONCE) || goes_on;
    }
    goes_on = scout_on(f) || goes_on;
    LIST_EACH (link, &f->lanes)
        if (container_of(link, struct lane, link)->trunk)
            branch_join(container_of(link, struct lane, link));
    waits = waits || f->scout.is_short;
    LIST_EACH (link, &f->lanes)
        waits = waits || container_of(link, struct lane, link)->lags;
    if (goes_on || waits)
        timer_set(&f->again, goes_on ? 0 : RETRY_MS);
}

static void on_turn_end(struct later *later)
{
    struct spill_feed *f = container_of(later, struct spill_feed, turn_end);

    if (f->has_clusters && !f->quits)
        pump(f);
    note_oldest(f);
    spill_flush_strikes(f->spill);
    if (f->ends && atomic_load(&f->counts.under_way) == 0)
        loop_stop(f->loop);
}

static void on_again(struct timer *t)
{
    on_change(container_of(t, struct spill_feed, again));
}

static void on_wake(struct mail *m, void *reader UNUSED)
{
    struct spill_feed *f = container_of(m, struct spill_feed, wake);

    atomic_store(&f->is_woken, false);
    on_change(f);
}

/* On the writer's thread. */
static void on_commit(void *arg)
{
    struct spill_feed *f = arg;

    if (!atomic_exchange(&f->is_woken, true))
        mailbox_send(f->mailbox, &f->wake);
}

/* --- orders ---------------------------------------------------------------------------------------------------------- */

enum order { ORDER_USE, ORDER_QUIT, ORDER_END };

struct order_mail {
    struct mail mail;
    enum order order;
    size_t n;
    struct kafka_cluster *clusters[];
};

static void forget_clusters(struct spill_feed *f)
{
    for (size_t i = 0; i < f->clusters.n; i++)
        kafka_cluster_unref(f->clusters.items[i]);
    f->clusters.n = 0;
}

static void use(struct spill_feed *f, const struct order_mail *om)
{
    forget_clusters(f);
    f->has_clusters = true;
    for (size_t i = 0; i < om->n; i++)
        vec_push(&f->clusters, om->clusters[i]);
    LIST_EACH (link, &f->lanes) {
        struct lane *l = container_of(link, struct lane, link);
        lane_use(l, find_cluster(f, slice_from(l->name)));
    }
}

static void on_order(struct mail *m, void *reader)
{
    struct order_mail *om = container_of(m, struct order_mail, mail);
    struct spill_feed *f = reader;

    if (om->order == ORDER_USE) {
        use(f, om);
    } else if (om->order == ORDER_QUIT) {
        f->quits = true;
        LIST_EACH (link, &f->lanes)
            lane_use(container_of(link, struct lane, link), NULL);
    } else {
        f->ends = true;
    }
    on_change(f);
    free(om);
}

static struct order_mail *order_new(enum order order, size_t n)
{
    struct order_mail *om = calloc(1, sizeof(*om) + n * sizeof(struct kafka_cluster *));

    REQUIRE(om != NULL);
    om->mail.fn = on_order;
    om->order = order;
    om->n = n;
    return om;
}

void spill_feed_use(struct spill_feed *f, struct kafka_cluster *const *clusters, size_t n)
{
    struct order_mail *om = order_new(ORDER_USE, n);

    for (size_t i = 0; i < n; i++)
        om->clusters[i] = kafka_cluster_ref(clusters[i]);
    mailbox_send(f->mailbox, &om->mail);
}

void spill_feed_quit(struct spill_feed *f)
{
    mailbox_send(f->mailbox, &order_new(ORDER_QUIT, 0)->mail);
}

/* --- the thread ------------------------------------------------------------------------------------------------------ */

static void *feed_main(void *arg)
{
    struct spill_feed *f = arg;

    pthread_setname_np(pthread_self(), "dml-feed");
    on_change(f);
    loop_run(f->loop);
    return NULL;
}

struct spill_feed *spill_feed_start(struct spill *s)
{
    struct spill_feed *f = calloc(1, sizeof(*f));
    sigset_t all, before;

    REQUIRE(f != NULL);
    f->spill = s;
    f->loop = loop_new();
    f->mailbox = mailbox_new(f->loop, f);
    list_init(&f->lanes);
    spill_cursor_init(&f->scout, s);
    timer_init(&f->again, f->loop, on_again);
    later_init(&f->turn_end, on_turn_end);
    f->wake.fn = on_wake;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    REQUIRE(pthread_create(&f->thread, NULL, feed_main, f) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    spill_on_commit(s, on_commit, f);
    return f;
}

bool spill_feed_free(struct spill_feed *f, uint32_t ms)
{
    spill_on_commit(f->spill, NULL, NULL);
    mailbox_send(f->mailbox, &order_new(ORDER_END, 0)->mail);
    if (!thread_join_within(f->thread, ms))
        return false;
    timer_deinit(&f->again);
    LIST_EACH (link, &f->lanes)
        lane_free(container_of(link, struct lane, link));
    spill_flush_strikes(f->spill);
    spill_cursor_deinit(&f->scout);
    forget_clusters(f);
    vec_free(&f->clusters);
    mailbox_free(f->mailbox);
    loop_free(f->loop);
    free(f);
    return true;
}

void spill_feed_count(const struct spill_feed *f, struct spill_feed_count *out)
{
    *out = (struct spill_feed_count){
        .delivered = atomic_load(&f->counts.delivered),
        .buried_topic = atomic_load(&f->counts.buried_topic),
        .buried_file = atomic_load(&f->counts.buried_file),
        .buried_default = atomic_load(&f->counts.buried_default),
        .unburied = atomic_load(&f->counts.unburied),
        .missing_topics = atomic_load(&f->counts.missing_topics),
        .under_way = atomic_load(&f->counts.under_way),
        .oldest_ms = atomic_load(&f->oldest_ms),
    };
}
