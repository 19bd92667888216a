/* SPDX-License-Identifier: Apache-2.0 */

/* Who may ask the admin endpoint for what. Pure decisions on a request head, so that they can be tested alone. */

#ifndef DML_APP_ADMIN_RULES_H
#define DML_APP_ADMIN_RULES_H

#include "base/base.h"
#include "http/message.h"

/* What a page tells: that decides who may see it. */
enum admin_reach {
    ADMIN_HEALTH,  /* everyone */
    ADMIN_METRICS, /* everyone, as long as there is no token */
    ADMIN_REST,    /* the operator */
};

struct admin_rules {
    struct slice token; /* absent: none is set */
    bool is_loopback;   /* the address that is listened on */
};

/* 0, or the status of the refusal with its reason in *why: 401 no or a wrong token, 403. */
int admin_rules_check(const struct admin_rules *rules, enum admin_reach reach,
                      const struct message *request, struct arena *a, const char **why);

#endif
