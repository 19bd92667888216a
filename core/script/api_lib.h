/* SPDX-License-Identifier: Apache-2.0 */

/* A part of api.h, under the same rules: what the library modules (demilune.crypto, .store, .limit, .time ...)
 * and the faces of the shipped plugins call. Most of it knows no exchange.
 *
 * Objects that Lua makes here (a compiled template, a limiter) belong to Lua: it frees them by its collector, and
 * nothing else does. A store, a metric family and a series live until the process ends. */

#ifndef DML_SCRIPT_API_LIB_H
#define DML_SCRIPT_API_LIB_H

#include "script/api.h"

struct dml_regex;
struct dml_template;
struct dml_edit;
struct dml_keyring;
struct dml_networks;
struct dml_limiter;
struct access_log;
struct metric_family;
struct metric_series;
struct store;

/* --- api_text.c: texts, codings, time ------------------------------------------------------------------------------ */

/* Seconds, bytes, a fraction. */
enum dml_unit { DML_UNIT_DURATION, DML_UNIT_SIZE, DML_UNIT_RATIO };
DML_API int dml_unit(int unit, const char *ptr, size_t len, double *out);

enum dml_text_is {
    DML_TEXT_IS_URL,
    DML_TEXT_IS_CIDR,
    DML_TEXT_IS_IP,
    DML_TEXT_IS_IPV4,
    DML_TEXT_IS_IPV6,
    DML_TEXT_IS_HOST,
    DML_TEXT_IS_TOKEN, /* RFC 9110: field names, methods */
    DML_TEXT_IS_UTF8,
    DML_TEXT_IS_SETTABLE, /* a field name that is not the core's own */
};
DML_API int dml_text_is(int what, const char *ptr, size_t len);

/* out has the room that the coding needs: hex 2 * len, base64 4 * (len + 2) / 3, percent 3 * len; backwards len. They
 * return the bytes written or ERR_ENCODING. */
enum dml_coding {
    DML_CODING_HEX,
    DML_CODING_BASE64,
    DML_CODING_BASE64_URL, /* no padding */
    DML_CODING_PERCENT,
    DML_CODING_FORM, /* as percent; '+' is a blank */
};
DML_API int64_t dml_encode(int coding, const char *ptr, size_t len, char *out);
DML_API int64_t dml_decode(int coding, const char *ptr, size_t len, char *out);

/* Seconds. now: since 1970; monotonic: since some moment. Both are those of the loop's turn. */
DML_API double dml_now(void);
DML_API double dml_monotonic(void);

/* Dates: out has 32 bytes; returns the length. Reading takes all three forms of RFC 9110. */
DML_API int dml_http_date(double when, char *out);
DML_API int dml_iso_date(double when, char *out);
DML_API int dml_http_date_read(const char *ptr, size_t len, double *out);

/* Version 4 or 7; out has 36 bytes. */
DML_API void dml_uuid(int version, char *out);

/* --- api_regex.c --------------------------------------------------------------------------------------------------- */

enum dml_regex_flag { DML_REGEX_CASELESS = 1, DML_REGEX_UTF = 2 };

/* NULL: message says why, *offset where. */
DML_API struct dml_regex *dml_regex_new(const char *ptr, size_t len, int flags, char *message,
                                        size_t size, int *offset);
DML_API void dml_regex_free(struct dml_regex *re);

/* Groups + 1, 0 = no match, ERR_LIMIT. spans: first byte and the one behind, of the match and of each group; -1 = not
 * set. */
DML_API int dml_regex_match(const struct dml_regex *re, const char *ptr, size_t len, size_t from,
                            int32_t *spans, int nspans);
DML_API int dml_regex_group(const struct dml_regex *re, const char *name);
DML_API int dml_regex_groups(const struct dml_regex *re);

/* --- api_template.c: selectors and templates ------------------------------------------------------------------------ */

enum dml_scope_flag {
    DML_SCOPE_RESPONSE = 1,  /* response and log hooks: status, duration, ... */
    DML_SCOPE_ANY_PARAM = 2, /* of no route: {param:NAME} with any name, never {NAME} */
    DML_SCOPE_SELECTOR = 4,  /* the text is one selector, not a template */
};

/* What a text may mention. params: names, each ended by a NUL byte. */
struct dml_scope {
    const char *params;
    int32_t params_len;
    int32_t flags;
};

/* NULL: *error says why, valid until the next call. */
DML_API struct dml_template *dml_template_new(const char *ptr, size_t len,
                                              const struct dml_scope *scope,
                                              struct dml_slice *error);
DML_API void dml_template_free(struct dml_template *t);

/* ERR_NOT_FOUND: there is nothing to put in. */
DML_API int dml_template_eval(struct gateway *g, double handle, const struct dml_template *t,
                              struct dml_slice *out);

/* --- api_edit.c: lists of changes of one message's headers, made once and applied as one ----------------------------- */

enum dml_edit_op { DML_EDIT_SET, DML_EDIT_ADD, DML_EDIT_DEFAULT, DML_EDIT_REMOVE };
DML_API struct dml_edit *dml_edit_new(int side);
DML_API void dml_edit_free(struct dml_edit *e);

/* ERR_ARG: the name, or the text where it is constant, is not allowed; else as dml_template_new with a negative code. */
DML_API int dml_edit_add(struct dml_edit *e, int op, const char *name, const char *value,
                         const struct dml_scope *scope, struct dml_slice *error);
DML_API int dml_edit_apply(struct gateway *g, double handle, const struct dml_edit *e);

/* --- api_keyring.c: secrets of consumers ------------------------------------------------------------------------------ */

/* version: of the snapshot whose consumers own its secrets. */
DML_API struct dml_keyring *dml_keyring_new(double version);
DML_API void dml_keyring_free(struct dml_keyring *ring);

/* owner: the consumer's number in the snapshot. ERR_EXISTS: it is there already. */
DML_API int dml_keyring_add(struct dml_keyring *ring, const char *ptr, size_t len, uint32_t owner);

/* By what the selector or template finds: 1, and the exchange has a consumer; 0: nobody's secret; ERR_NOT_FOUND: the
 * request has nothing of it; ERR_GONE: the exchange has gone on to another snapshot. */
DML_API int dml_keyring_identify(struct gateway *g, double handle, const struct dml_keyring *ring,
                                 const struct dml_template *source);

/* --- api_networks.c: sets of networks --------------------------------------------------------------------------------- */

DML_API struct dml_networks *dml_networks_new(void);
DML_API void dml_networks_free(struct dml_networks *n);

/* An address or a network; ERR_SYNTAX, ERR_RANGE. When all are added: dml_networks_sort. */
DML_API int dml_networks_add(struct dml_networks *n, const char *ptr, size_t len);
DML_API void dml_networks_sort(struct dml_networks *n);

/* 1: the client's address is in one of them. */
DML_API int dml_networks_have_client(struct gateway *g, double handle,
                                     const struct dml_networks *n);

/* --- api_store.c --------------------------------------------------------------------------------------------------- */

enum dml_tag { DML_TAG_STRING, DML_TAG_NUMBER, DML_TAG_BOOLEAN };

struct dml_value {
    struct dml_slice text; /* DML_TAG_STRING */
    double number;         /* DML_TAG_NUMBER, DML_TAG_BOOLEAN (0 or 1) */
    int32_t tag;
};

/* NULL: there is none of that name. */
DML_API struct store *dml_store(const char *name, size_t len);
DML_API int dml_store_get(struct store *s, const char *key, size_t len, struct dml_value *out);

/* ttl in seconds, 0 = none. only_new: ERR_EXISTS when it is there; cas: when it is not `old`. */
DML_API int dml_store_set(struct store *s, const char *key, size_t len,
                          const struct dml_value *value, double ttl, int only_new);
DML_API int dml_store_cas(struct store *s, const char *key, size_t len, const struct dml_value *old,
                          const struct dml_value *value, double ttl);
DML_API int dml_store_incr(struct store *s, const char *key, size_t len, double by, double ttl,
                           double *out);
DML_API int dml_store_delete(struct store *s, const char *key, size_t len);
DML_API double dml_store_ttl(struct store *s, const char *key, size_t len);

/* --- api_limit.c: limiters ----------------------------------------------------------------------------------------- */

enum dml_algorithm { DML_GCRA, DML_SLIDING_WINDOW, DML_FIXED_WINDOW, DML_CONCURRENT };
enum dml_limit_header { DML_LIMIT_IETF = 1, DML_LIMIT_X = 2 };

struct dml_limit_options {
    double limit, burst;
    double window; /* seconds */
    int32_t algorithm;
    const char *name; /* of the policy, in RateLimit-Policy */
};

struct dml_verdict {
    int32_t refused;
    int32_t policy; /* which of several limits it is about, from 0 */
    double limit, remaining;
    double retry_after; /* seconds; 0 when allowed, huge when it never passes */
    double reset;       /* seconds until all of the quota is there again */
};

/* scope: what the counts belong to; headers: which fields a decision writes into the response. */
DML_API struct dml_limiter *dml_limiter_new(struct store *s, const char *scope, size_t len,
                                            int headers, int ipv6_prefix);
DML_API void dml_limiter_free(struct dml_limiter *l);
DML_API int dml_limiter_policy(struct dml_limiter *l, const struct dml_limit_options *o);

/* A part of the key, or the cost, by selector or template. */
DML_API int dml_limiter_by(struct dml_limiter *l, const char *ptr, size_t len,
                           const struct dml_scope *scope, struct dml_slice *error);
DML_API int dml_limiter_cost(struct dml_limiter *l, const char *ptr, size_t len,
                             const struct dml_scope *scope, struct dml_slice *error);

/* Decides about a request, by its parts; cost < 0: by the limiter's selector. 0 or a negative code. */
DML_API int dml_limiter_take(struct gateway *g, double handle, const struct dml_limiter *l,
                             double cost, struct dml_verdict *out);

/* The same for a key of the caller's, without an exchange. With DML_CONCURRENT the place is kept until
 * dml_limiter_leave. */
DML_API int dml_limiter_take_key(const struct dml_limiter *l, const char *key, size_t len,
                                 double cost, struct dml_verdict *out);
/* The same for one rule and a record of a store that a plugin names by itself; not DML_CONCURRENT. */
DML_API int dml_store_take(struct store *s, const char *key, size_t len,
                           const struct dml_limit_options *o, double cost, struct dml_verdict *out);
DML_API int dml_limiter_leave(const struct dml_limiter *l, const char *key, size_t len);

/* The RateLimit field's text for a verdict, and the constant RateLimit-Policy. */
DML_API int dml_limiter_describe(const struct dml_limiter *l, const struct dml_verdict *v,
                                 int policy, struct dml_slice *out);

/* --- api_metric.c -------------------------------------------------------------------------------------------------- */

enum dml_metric { DML_COUNTER, DML_GAUGE, DML_HISTOGRAM };

/* labels: names, each ended by a NUL byte. NULL: the name is taken by another shape, or is none. */
DML_API struct metric_family *dml_metric_family(const char *name, const char *help, int type,
                                                const char *labels, const double *bounds,
                                                int nbounds);
DML_API struct metric_series *dml_metric_series(struct metric_family *f,
                                                const struct dml_slice *values);
DML_API void dml_metric_add(struct gateway *g, struct metric_series *s, double n);
DML_API void dml_metric_set(struct gateway *g, struct metric_series *s, double value);
DML_API void dml_metric_observe(struct gateway *g, struct metric_series *s, double value);

/* --- api_log.c: access logs ----------------------------------------------------------------------------------------- */

/* path NULL: standard output. The caller adds fields, then writes one line per exchange. NULL: the file can't be
 * opened, *error says why; probe only looks whether it could be. */
DML_API struct access_log *dml_access_log_new(const char *path, struct dml_slice *error);
DML_API int dml_access_log_probe(const char *path, struct dml_slice *error);
DML_API void dml_access_log_free(struct access_log *l);
DML_API int dml_access_log_field(struct access_log *l, const char *name, const char *value,
                                 const struct dml_scope *scope, struct dml_slice *error);
/* Lines only for statuses from..to; any of several calls. */
DML_API int dml_access_log_when(struct access_log *l, int from, int to);
DML_API int dml_access_log_write(struct gateway *g, double handle, struct access_log *l);
/* Instead of writing it: the line, for elsewhere. ERR_NOT_FOUND where there is none. */
DML_API int dml_access_log_line(struct gateway *g, double handle, struct access_log *l,
                                struct dml_slice *out);

#endif
