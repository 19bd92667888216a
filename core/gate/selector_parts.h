/* SPDX-License-Identifier: Apache-2.0 */

/* What a compiled selector and template are: shared by the compiler (selector.c) and the evaluation
 * (selector_eval.c), and nobody else's. */

#ifndef DML_GATE_SELECTOR_PARTS_H
#define DML_GATE_SELECTOR_PARTS_H

#include "base/slice.h"
#include "gate/selector.h"
#include "http/headers.h"

/* SELECTOR(KIND, "word", takes a name, known in response and log hooks only) */
#define SELECTORS(SELECTOR) \
    SELECTOR(CLIENT_IP, "client_ip", false, false) \
    SELECTOR(HOST, "host", false, false) \
    SELECTOR(METHOD, "method", false, false) \
    SELECTOR(PATH, "path", false, false) \
    SELECTOR(SCHEME, "scheme", false, false) \
    SELECTOR(ROUTE, "route", false, false) \
    SELECTOR(CONSUMER, "consumer", false, false) \
    SELECTOR(ID, "id", false, false) \
    SELECTOR(HEADER, "header", true, false) \
    SELECTOR(QUERY, "query", true, false) \
    SELECTOR(COOKIE, "cookie", true, false) \
    SELECTOR(PARAM, "param", true, false) \
    SELECTOR(CLAIM, "claim", true, false) \
    SELECTOR(TLS_SUBJECT, "tls:subject", false, false) \
    SELECTOR(TLS_THUMBPRINT, "tls:thumbprint", false, false) \
    SELECTOR(STATUS, "status", false, true) \
    SELECTOR(UPSTREAM, "upstream", false, true) \
    SELECTOR(RESPONSE, "response", true, true) \
    SELECTOR(DURATION, "duration", false, true)

enum selector_kind {
#define SELECTOR(kind, word, takes_name, late) SELECTOR_##kind,
    SELECTORS(SELECTOR)
#undef SELECTOR
        SELECTOR_COUNT
};

struct selector {
    enum selector_kind kind;
    struct slice name;        /* behind the colon, or absent */
    enum header_id header_id; /* of HEADER and RESPONSE */
};

struct template_part {
    struct slice text;               /* literal, or */
    const struct selector *selector; /* this one's value */
};

struct template
{
    struct template_part *parts;
    size_t n;
};

#endif
