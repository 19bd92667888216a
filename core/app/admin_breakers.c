/* SPDX-License-Identifier: Apache-2.0 */

/* Circuit breakers: what /upstreams says of them, and an operator's orders: open, close, auto. A name may be that of several
 * breakers (an upstream and a route, or places with other rules); an order is for all of them.
 *
 *     state     closed, half_open, open, forced_closed or forced_open
 *     share     of the requests that passes now: 1 closed, less in the ramp after it
 *     left      seconds until it becomes half-open, or until the ramp ends
 *     requests, failures, slow    in the window; opened, refused    since it was made */

#include "app/admin.h"
#include "app/admin_json.h"
#include "app/control.h"
#include "side/breaker.h"

static void put_breaker(void *arg, struct breaker *b UNUSED, const struct breaker_view *view)
{
    struct json_writer *w = arg;

    json_object(w);
    put_text(w, "name", view->name);
    put_text(w, "scope", view->scope);
    put_text(w, "state", slice_from(breaker_word(view->state)));
    put_number(w, "share", view->share);
    put_number(w, "left", (double)view->left_ms / 1e3);
    put_number(w, "requests", (double)view->requests);
    put_number(w, "failures", (double)view->failures);
    put_number(w, "slow", (double)view->slow);
    put_number(w, "opened", (double)view->opened);
    put_number(w, "refused", (double)view->refused);
    json_object_end(w);
}

static void put_list_of(struct json_writer *w, struct slice name)
{
    put_list(w, "breakers");
    breakers_each(name, put_breaker, w);
    json_array_end(w);
}

void admin_put_breakers(struct json_writer *w)
{
    put_list_of(w, SLICE_NONE);
}

/* --- POST /breakers/NAME/{open,close,auto} ------------------------------------------------------------------------------ */

static void force(void *arg, struct breaker *b, const struct breaker_view *view UNUSED)
{
    breaker_force(b, *(const enum breaker_order *)arg);
}

static int give_order(struct admin_answer *answer, enum breaker_order order)
{
    struct slice name = admin_segment(answer, 2);
    struct json_writer w;

    if (!name.ptr || breakers_each(name, force, &order) == 0) {
        admin_problem(answer, 404,
                      "There is no circuit breaker of this name; /upstreams shows them.");
        return 0;
    }
    json_writer_init(&w, &answer->body, ADMIN_INDENT);
    json_object(&w);
    put_list_of(&w, name);
    json_object_end(&w);
    return json_writer_end(&w);
}

int admin_page_breaker_open(struct admin_answer *answer)
{
    return give_order(answer, BREAKER_ORDER_OPEN);
}

int admin_page_breaker_close(struct admin_answer *answer)
{
    return give_order(answer, BREAKER_ORDER_CLOSE);
}

int admin_page_breaker_auto(struct admin_answer *answer)
{
    return give_order(answer, BREAKER_ORDER_AUTO);
}
