/* SPDX-License-Identifier: Apache-2.0 */

/* Request targets (RFC 9112, 3.2; RFC 3986). */

#ifndef DML_HTTP_URI_H
#define DML_HTTP_URI_H

#include "base/arena.h"
#include "base/base.h"
#include "base/slice.h"

struct uri {
    struct slice scheme;    /* absent in origin-form */
    struct slice authority; /* host[:port], no userinfo */
    struct slice host;      /* without port, IPv6 without brackets */
    uint16_t port;          /* 0 = none given */
    struct slice path;      /* at least "/" ("*" only in asterisk-form) */
    struct slice query;     /* absent when there is no '?' */
};

/* origin-form, absolute-form (http, https) and asterisk-form. ERR_SYNTAX for anything else, for
 * userinfo, a fragment, controls, blanks, and characters that RFC 3986 does not allow ("<>\^`{|}
 * and bytes >= 0x80). */
MUST_CHECK int uri_parse_target(struct slice target, struct uri *out);

/* An absolute http(s) URL for clients and configuration; a fragment is dropped. */
MUST_CHECK int uri_parse_url(struct slice url, struct uri *out);

/* Host or authority -> host (lower-cased in the arena when it had capitals, without trailing
 * dot) and port. ERR_SYNTAX when RFC 3986 does not allow it. */
MUST_CHECK int uri_parse_host(struct slice s, struct arena *a, struct slice *host, uint16_t *port);

/* RFC 3986, 6.2.2: unreserved escapes decoded, other escapes in upper case, dot segments
 * removed; %2F, %5C and "//" stay. ERR_ENCODING for a bad escape, %00, or a climb above "/".
 * When nothing changes, *out is the given slice and nothing is allocated (one pass over the
 * bytes). */
MUST_CHECK int uri_normalise_path(struct slice path, struct arena *a, struct slice *out);

/* Why uri_normalise_path refuses the path of a request, for its client; NULL when it does not. */
const char *uri_path_fault(struct slice path, struct arena *a);

/* Walks a query: each "name=value", still encoded. False at the end. */
bool uri_query_next(struct slice *rest, struct slice *name, struct slice *value);

/* First value of a parameter (names compared after decoding), decoded into the arena; absent
 * when not there; a value that can't be decoded is given as it stands. */
struct slice uri_query_get(struct slice query, struct slice name, struct arena *a);

#endif
