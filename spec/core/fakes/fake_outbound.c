/* SPDX-License-Identifier: Apache-2.0 */

#include "fakes/fake_outbound.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "net/loop.h"
#include "support/test.h"

struct fake {
    struct outbound outbound;
    struct wire_env *env; /* NULL: detached */
    struct timer timer;
    uint64_t timeout_ms;
    enum fake_answer answer;
    bool is_connecting, is_dead;
};

static enum fake_answer answers[65536];
static atomic_int now_open, made, most;
static pthread_mutex_t tried_lock = PTHREAD_MUTEX_INITIALIZER;
static char tried[1024];
static size_t tried_len;
static void (*at_detach)(void);

void fake_outbound_port(uint16_t port, enum fake_answer answer)
{
    answers[port] = answer;
}

void fake_outbound_reset(void)
{
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        answers[i] = FAKE_ACCEPTS;
    now_open = made = most = 0;
    tried_len = 0;
    at_detach = NULL;
    tried[0] = '\0';
}

int fake_outbound_open(void)
{
    return now_open;
}

int fake_outbound_made(void)
{
    return made;
}

int fake_outbound_most(void)
{
    return most;
}

const char *fake_outbound_tried(void)
{
    return tried;
}

static void note_tried(const struct addr *to)
{
    char text[ADDR_TEXT];

    addr_print(to, text, sizeof(text));
    pthread_mutex_lock(&tried_lock);
    if (tried_len + ADDR_TEXT + 1 < sizeof(tried))
        tried_len += (size_t)sprintf(tried + tried_len, "%s%s", tried_len ? " " : "", text);
    pthread_mutex_unlock(&tried_lock);
}

static struct fake *fake_of(struct outbound *o)
{
    return container_of(o, struct fake, outbound);
}

static void fake_free(void *ptr)
{
    struct fake *f = ptr;

    timer_deinit(&f->timer);
    free(f);
}

static void release(struct fake *f)
{
    if (f->env)
        loop_free_later(f->env->loop, f, fake_free);
    else
        free(f); /* between two loops there is no timer */
}

static void forget(struct fake *f)
{
    atomic_fetch_sub(&now_open, 1);
    release(f);
}

static void on_timer(struct timer *t)
{
    struct fake *f = container_of(t, struct fake, timer);
    struct outbound *o = &f->outbound;

    if (f->answer == FAKE_SILENT && f->timeout_ms > 0) {
        timer_set(t, f->timeout_ms);
        f->answer = FAKE_REFUSES;
        f->timeout_ms = 0;
        return;
    }
    f->is_connecting = false;
    if (f->answer == FAKE_ACCEPTS) {
        atomic_fetch_add(&made, 1);
        o->events->on_connected(o->owner, o, 0);
        return;
    }
    atomic_fetch_sub(&now_open, 1); /* before its slot can be used again */
    int err = f->answer == FAKE_LACKS ? ERR_LIMIT : f->timeout_ms ? ERR_REFUSED : ERR_TIMEOUT;
    o->events->on_connected(o->owner, o, err);
    release(f);
}

struct outbound *outbound_connect(struct wire_env *env, const struct outbound_to *to,
                                  const struct outbound_events *events, void *owner)
{
    struct fake *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->outbound.events = events;
    f->outbound.owner = owner;
    f->env = env;
    f->timeout_ms = to->timeout_ms;
    f->answer = answers[addr_port(to->addr)];
    f->is_connecting = true;
    note_tried(to->addr);
    timer_init(&f->timer, env->loop, on_timer);
    timer_set(&f->timer, 0);

    int n = atomic_fetch_add(&now_open, 1) + 1, was = most;
    while (n > was && !atomic_compare_exchange_weak(&most, &was, n))
        ;
    return &f->outbound;
}

void outbound_close(struct outbound *o)
{
    timer_stop(&fake_of(o)->timer);
    forget(fake_of(o));
}

bool outbound_detach(struct outbound *o)
{
    struct fake *f = fake_of(o);

    assert_non_null(f->env);
    if (f->is_dead) {
        forget(f);
        return false;
    }
    timer_deinit(&f->timer);
    f->env = NULL;
    if (at_detach) {
        void (*fn)(void) = at_detach;
        at_detach = NULL;
        fn();
    }
    return true;
}

bool outbound_attach(struct outbound *o, struct wire_env *env)
{
    struct fake *f = fake_of(o);

    assert_null(f->env);
    if (f->is_dead) {
        forget(f);
        return false;
    }
    f->env = env;
    timer_init(&f->timer, env->loop, on_timer);
    return true;
}

void fake_outbound_at_detach(void (*fn)(void))
{
    at_detach = fn;
}

void fake_outbound_carry(struct outbound *o)
{
    o->requests++;
    o->idle_since_ms = clock_ms();
    o->events->on_idle(o->owner, o);
}

void fake_outbound_peer_closes(struct outbound *o)
{
    struct fake *f = fake_of(o);

    if (f->env) {
        atomic_fetch_sub(&now_open, 1);
        o->events->on_closed(o->owner, o);
        release(f);
    } else {
        f->is_dead = true;
    }
}

struct wire *outbound_open(struct outbound *o UNUSED, struct arena *arena UNUSED,
                           const struct wire_events *events UNUSED, void *owner UNUSED)
{
    fail_msg("a fake connection carries no wire");
    return NULL;
}
