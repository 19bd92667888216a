/* SPDX-License-Identifier: Apache-2.0 */

/* Everything that Lua sees through the FFI: plain types and the dml_ functions of the api_*.c files. The only source:
 * make_cdef.lua turns this file into lua/demilune/cdef.lua.
 *
 *   plugin ---> exchange.lua, headers.lua, ... ---> ffi.C.dml_...(gateway, handle, ...) ---> gate
 *
 * Rules
 *   1. All are leaves: they don't call Lua, don't wait, and don't resume anything. What must do so is a classic C
 *      function in a call_*.c file.
 *   2. The gateway comes first, then the handle of the exchange (a whole number: slot and generation). A handle whose
 *      exchange has ended gives ERR_GONE.
 *   3. Results are 0 or a count, or a negative code of err.def. Texts come out through a struct dml_slice that the
 *      caller owns; they are valid until the next call, and Lua copies them at once.
 *   4. At most six arguments besides the handle, so that all of them travel in registers.
 *   5. Whoever changes this file raises DML_ABI, and runs luajit core/script/make_cdef.lua. */

#ifndef DML_SCRIPT_API_H
#define DML_SCRIPT_API_H

#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define DML_ABI 10

struct gateway;

/* --- shared by all ------------------------------------------------------------------------------------------------- */

struct dml_slice {
    const char *ptr;
    int32_t len;
};

/* One per VM, in C's memory: what both sides know without a call. Lua writes `use` before each hook, so that a fault,
 * a hang or a log line can be told whose it is. */
struct dml_cell {
    int32_t use;   /* index of the plugin's place in the snapshot; -1 = none */
    int32_t phase; /* enum phase */
};

/* --- api_base.c: what needs no exchange ---------------------------------------------------------------------------- */

DML_API int dml_abi(void);

/* The hook of this place has ended: called behind each hook of a run that is timed. */
DML_API void dml_hook_ran(struct gateway *g, int use);

/* "did you mean": edit distance of two words. */
DML_API int dml_distance(const char *a, size_t alen, const char *b, size_t blen);

/* --- api_exchange.c: the exchange and its request ------------------------------------------------------------------ */

enum dml_text {
    DML_TEXT_METHOD,
    DML_TEXT_SCHEME,
    DML_TEXT_HOST,
    DML_TEXT_PATH,
    DML_TEXT_QUERY,
    DML_TEXT_CLIENT_IP,
    DML_TEXT_ID,
    DML_TEXT_ROUTE,    /* name */
    DML_TEXT_PATTERN,  /* the route's path that fitted */
    DML_TEXT_CONSUMER, /* name */
    DML_TEXT_UPSTREAM, /* name */
    DML_TEXT_CLAIMS,   /* JSON */
    DML_TEXT_ERROR,    /* why it failed, a word of err.def */
};

/* ERR_NOT_FOUND: it has none. */
DML_API int dml_exchange_text(struct gateway *g, double handle, int which, struct dml_slice *out);

/* ERR_ARG: not allowed; ERR_NOT_FOUND: no such consumer or upstream; ERR_LIMIT: too late. ptr NULL: none. */
DML_API int dml_exchange_set_text(struct gateway *g, double handle, int which, const char *ptr,
                                  size_t len);

enum dml_number {
    DML_NUMBER_PORT,
    DML_NUMBER_VERSION, /* 10, 11, 20 */
    DML_NUMBER_STATUS,  /* of the response */
    DML_NUMBER_ATTEMPTS,
    DML_NUMBER_ATTEMPT,  /* the one that hooks are about */
    DML_NUMBER_BYTES,    /* body bytes sent to the client */
    DML_NUMBER_BYTES_IN, /* body bytes of the request */
    DML_NUMBER_TRUSTED,  /* the peer is in trusted_proxies: 1 or 0 */
};

/* A negative code as above. */
DML_API double dml_exchange_number(struct gateway *g, double handle, int which);
DML_API int dml_exchange_set_status(struct gateway *g, double handle, int status);

/* Seconds; a negative one is not known (yet). */
struct dml_timings {
    double start;    /* wall clock, since 1970 */
    double total;    /* so far, or until the end */
    double before;   /* until the first attempt began */
    double upstream; /* from then to upstream's final head */
};
DML_API int dml_exchange_timings(struct gateway *g, double handle, struct dml_timings *out);

/* 1: a hook has replied just now, or the exchange is gone: later hooks of the phase don't run. */
DML_API int dml_exchange_replied(struct gateway *g, double handle);

/* 1 or 0. */
DML_API int dml_exchange_lives(struct gateway *g, double handle);

/* Lua keeps something for this exchange: let it be told of the end. */
DML_API int dml_exchange_keep(struct gateway *g, double handle);

/* Path parameters. The name of the index-th (from 0), and the decoded value by name. */
DML_API int dml_param_name(struct gateway *g, double handle, int index, struct dml_slice *out);
DML_API int dml_param(struct gateway *g, double handle, const char *name, size_t len,
                      struct dml_slice *out);

/* First value of a query parameter, decoded. */
DML_API int dml_query_value(struct gateway *g, double handle, const char *name, size_t len,
                            struct dml_slice *out);

/* Groups of the consumer, from 0. */
DML_API int dml_consumer_group(struct gateway *g, double handle, int index, struct dml_slice *out);

/* --- api_headers.c: fields and replies ----------------------------------------------------------------------------- */

enum dml_side {
    DML_REQUEST,
    DML_RESPONSE,
    DML_ATTEMPT_RESPONSE, /* what the latest attempt has brought; read only */
    DML_ATTEMPT_REQUEST,  /* what the latest attempt sends in addition; set in balance hooks */
};
enum dml_header_op {
    DML_HEADER_SET = 0,
    DML_HEADER_ADD = 4,
    DML_HEADER_REMOVE = 8
}; /* added to the side */

struct dml_field {
    struct dml_slice name, value;
};

/* Several fields joined by ", ". ERR_NOT_FOUND. */
DML_API int dml_header_get(struct gateway *g, double handle, int side, const char *name, size_t len,
                           struct dml_slice *out);

/* The first field at or behind index (0...) that has this name; name NULL: any. Returns the index behind it, or
 * ERR_NOT_FOUND. */
DML_API int dml_header_next(struct gateway *g, double handle, int side, int index, const char *name,
                            size_t len, struct dml_field *out);

/* ERR_ARG: not allowed by RFC 9110, or the core's own. ERR_LIMIT: too late, the head has gone out. */
DML_API int dml_header_change(struct gateway *g, double handle, int side_and_op, const char *name,
                              size_t namelen, const char *value, size_t valuelen);

/* 1: framing or hop-by-hop, which hooks can't set. */
DML_API int dml_header_is_core(const char *name, size_t len);

/* A reply: begin, its headers one by one, send. No wait may come between. ERR_LIMIT: too late. */
DML_API int dml_reply_begin(struct gateway *g, double handle);
DML_API int dml_reply_header(struct gateway *g, double handle, const char *name, size_t namelen,
                             const char *value, size_t valuelen);
DML_API int dml_reply_send(struct gateway *g, double handle, int status, const char *body,
                           size_t len);

/* The same with a body as the gateway's own errors have it (RFC 9457); detail: a sentence for the client, or NULL. */
DML_API int dml_reply_problem(struct gateway *g, double handle, int status, const char *detail,
                              size_t len);

/* --- api_body.c: bodies -------------------------------------------------------------------------------------------- */

DML_API int dml_body_set(struct gateway *g, double handle, int side, const char *ptr, size_t len);

/* Body hooks. 1: it is the last chunk. */
DML_API int dml_chunk(struct gateway *g, double handle, struct dml_slice *out);

/* What goes on in its place. Lua keeps the text until the phase is over. */
DML_API int dml_chunk_replace(struct gateway *g, double handle, const char *ptr, size_t len);

/* --- api_attempt.c: attempts, by number from 1 --------------------------------------------------------------------- */

enum dml_attempt_text { DML_ATTEMPT_UPSTREAM, DML_ATTEMPT_ENDPOINT, DML_ATTEMPT_ERROR };
enum dml_attempt_number {
    DML_ATTEMPT_STATUS,
    DML_ATTEMPT_DURATION, /* seconds, to its head or failure or so far */
    DML_ATTEMPT_CONNECT_TIMEOUT,
    DML_ATTEMPT_TIMEOUT,
};

DML_API int dml_attempt_text(struct gateway *g, double handle, int number, int which,
                             struct dml_slice *out);
DML_API double dml_attempt_number(struct gateway *g, double handle, int number, int which);

/* Timeouts, in seconds; only while it has no connection (ERR_LIMIT afterwards). */
DML_API int dml_attempt_set_timeout(struct gateway *g, double handle, int number, int which,
                                    double seconds);

/* One of the upstream's endpoints by its address as written; ERR_NOT_FOUND. */
DML_API int dml_attempt_set_endpoint(struct gateway *g, double handle, int number, const char *ptr,
                                     size_t len);

DML_API int dml_retry(struct gateway *g, double handle, double delay);

#endif
