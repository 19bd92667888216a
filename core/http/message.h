/* SPDX-License-Identifier: Apache-2.0 */

/* The head of a request or a response, without a wire version. A codec fills it, the exchange
 * changes it, another codec writes it. Connection-level fields never get past the codec:
 * hop-by-hop fields and those that Connection names are taken out on reading (but never a field
 * that header.def knows as end to end). Content-Length stays among the fields to be looked at;
 * writing leaves all framing fields out and makes its own from body and content_length, and Host
 * from authority. */

#ifndef DML_HTTP_MESSAGE_H
#define DML_HTTP_MESSAGE_H

#include "base/base.h"
#include "base/slice.h"
#include "http/headers.h"

enum method {
    METHOD_UNKNOWN,
#define METHOD(name, text, safe, idempotent) METHOD_##name,
#include "http/method.def"
#undef METHOD
    METHOD_COUNT
};

enum method method_parse(struct slice s);
const char *method_text(enum method m);
struct slice method_name(enum method m); /* the same text */
bool method_is_safe(enum method m);
bool method_is_idempotent(enum method m);

/* Reason phrase of a status ("Not Found"), "" when unknown. From status.def. */
const char *status_text(int status);

enum body_kind {
    BODY_NONE,    /* no content at all */
    BODY_LENGTH,  /* content_length bytes */
    BODY_UNKNOWN, /* ends when it ends: chunked, until close, HTTP/2 without a length */
    BODY_TUNNEL,  /* after 101 or an extended CONNECT: raw bytes both ways, end = half-close */
};

enum http_version { HTTP_10 = 10, HTTP_11 = 11, HTTP_2 = 20 };

struct message {
    struct headers headers;

    /* request */
    struct slice scheme;    /* "http" or "https"; the gate sets that of a request as it came */
    struct slice authority; /* Host or :authority as sent (with port); HTTP/1.0 may lack it */
    struct slice host;      /* of authority: lower case, no port, no trailing dot */
    uint16_t port;          /* of authority; 0 = none given */
    struct slice path;      /* as sent, from '/' to '?'; "*" for OPTIONS */
    struct slice query;     /* behind '?', absent when there is no '?' */
    enum method method;

    /* response */
    int status;
    struct slice reason; /* HTTP/1 only; absent = the standard one */

    /* both */
    enum http_version version; /* that it came in */
    enum body_kind body;
    /* for BODY_LENGTH; for an answer to HEAD or a 304 what the field said, when has_length */
    uint64_t content_length;
    bool has_length;       /* a Content-Length field was there */
    bool expects_continue; /* request: Expect: 100-continue */
    bool wants_websocket;  /* request: Upgrade: websocket by the rules; response: 101 to it */
    bool te_trailers;      /* request: TE: trailers */
};

/* Sets authority, host and port; what it keeps lives as long as `authority` and the headers' arena.
 * ERR_SYNTAX when RFC 3986 does not allow it: nothing is set. */
MUST_CHECK int message_set_authority(struct message *m, struct slice authority);

/* A copy with copies of all its texts, in the arena. */
struct message *message_dup(const struct message *m, struct arena *a);

/* Limits that a server codec keeps (contract: limits). Read at each use: a reload may replace
 * the struct. */
struct http_limits {
    uint32_t request_line; /* bytes */
    uint32_t request_head; /* bytes, request line included */
    uint32_t headers;      /* fields */
    uint32_t header_timeout_ms;
    uint32_t body_timeout_ms; /* default; the route may set its own in the wire */
    uint32_t idle_timeout_ms;
};

#endif
