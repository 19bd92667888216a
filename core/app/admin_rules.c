/* SPDX-License-Identifier: Apache-2.0 */

/* Without a token the network is all that protects the endpoint, so only loopback shows more than health and metrics. A
 * web page in the operator's browser is on loopback too: its requests are told by the Host that names no address (DNS
 * rebinding) and by the foreign Origin. */

#include "app/admin_rules.h"

#include "http/uri.h"
#include "net/addr.h"

/* Takes as long for every wrong token of one length. */
static bool is_same_secret(struct slice given, struct slice secret)
{
    volatile unsigned differs = given.len != secret.len;

    for (size_t i = 0; i < given.len; i++)
        differs |= (unsigned)(uint8_t)given.ptr[i] ^ (uint8_t)secret.ptr[i % secret.len];
    return differs == 0;
}

static bool has_token(const struct message *request, struct slice token)
{
    struct slice given = headers_get_id(&request->headers, HEADER_AUTHORIZATION);
    struct slice scheme = SLICE("bearer ");

    return given.len > scheme.len && slice_eq_nocase(slice_sub(given, 0, scheme.len), scheme) &&
           is_same_secret(slice_trim(slice_from_index(given, scheme.len)), token);
}

static bool is_address_or_localhost(struct slice authority, struct arena *a)
{
    struct slice host;
    struct addr addr;
    uint16_t port;

    if (!authority.len || uri_parse_host(authority, a, &host, &port) < 0)
        return false;
    if (slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]")))
        host = slice_sub(host, 1, host.len - 2);
    return slice_eq(host, SLICE("localhost")) || addr_parse_ip(host, 0, &addr) == 0;
}

/* Browsers send Origin with every POST; programs send none. */
static bool is_foreign(const struct message *request)
{
    struct slice origin = headers_get_id(&request->headers, HEADER_ORIGIN);

    if (!origin.ptr)
        return false;
    if (slice_starts(origin, SLICE("http://")))
        origin = slice_from_index(origin, 7);
    else if (slice_starts(origin, SLICE("https://")))
        origin = slice_from_index(origin, 8);
    else
        return true;
    return !slice_eq_nocase(origin, request->authority);
}

int admin_rules_check(const struct admin_rules *rules, enum admin_reach reach,
                      const struct message *request, struct arena *a, const char **why)
{
    bool changes = !method_is_safe(request->method);

    if (reach == ADMIN_HEALTH)
        return 0;
    if (changes && is_foreign(request)) {
        *why = "A page of another origin may not change anything here.";
        return 403;
    }
    if (rules->token.ptr) {
        *why = "A token is needed: Authorization: Bearer ...";
        return has_token(request, rules->token) ? 0 : 401;
    }
    if (reach == ADMIN_METRICS)
        return 0;
    if (!rules->is_loopback) {
        *why = "Without a token (admin.token) this address serves /health and /metrics only.";
        return 403;
    }
    if (!is_address_or_localhost(request->authority, a)) {
        *why = "Without a token (admin.token) the Host must be an address or localhost.";
        return 403;
    }
    return 0;
}
