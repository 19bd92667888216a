/* SPDX-License-Identifier: Apache-2.0 */

/* Texts for Lua: units, forms, codings, dates, ids. */

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"
#include "gate/edit.h"
#include "http/uri.h"
#include "net/addr.h"
#include "script/api_lib.h"

/* --- units and forms ----------------------------------------------------------------------------------------------- */

int dml_unit(int unit, const char *ptr, size_t len, double *out)
{
    struct slice s = slice_trim(slice_of(ptr, len));
    uint64_t n = 0;
    int rc;

    if (unit == DML_UNIT_RATIO)
        return text_to_ratio(s, out);
    rc = unit == DML_UNIT_SIZE ? text_to_size(s, &n) : text_to_duration_us(s, &n);
    if (rc == 0)
        *out = unit == DML_UNIT_SIZE ? (double)n : (double)n / 1e6;
    return rc;
}

static bool is_url(struct slice s)
{
    struct uri uri;

    return uri_parse_url(s, &uri) == 0;
}

static bool is_network(struct slice s)
{
    struct cidr cidr;

    return cidr_parse(s, &cidr) == 0;
}

static bool is_ip(struct slice s, int family)
{
    struct addr a;

    return addr_parse_ip(s, 0, &a) == 0 && (family == AF_UNSPEC || a.sa.sa_family == family);
}

/* RFC 1123, 2.1, with the underscores that names in use have. */
static bool is_host(struct slice s)
{
    struct slice label;

    if (s.len == 0 || s.len > 253)
        return false;
    while (slice_split(&s, '.', &label)) {
        if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' ||
            label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++) {
            char c = label.ptr[i];
            if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
                c != '-' && c != '_')
                return false;
        }
    }
    return true;
}

int dml_text_is(int what, const char *ptr, size_t len)
{
    struct slice s = slice_of(ptr, len);

    struct header_name name;

    switch (what) {
    case DML_TEXT_IS_URL: return is_url(s);
    case DML_TEXT_IS_CIDR: return is_network(s);
    case DML_TEXT_IS_IP: return is_ip(s, AF_UNSPEC);
    case DML_TEXT_IS_IPV4: return is_ip(s, AF_INET);
    case DML_TEXT_IS_IPV6: return is_ip(s, AF_INET6);
    case DML_TEXT_IS_HOST: return is_host(s);
    case DML_TEXT_IS_TOKEN: return text_is_token(s);
    case DML_TEXT_IS_UTF8: return text_is_utf8(s);
    case DML_TEXT_IS_SETTABLE: return header_name_init(&name, s) == 0;
    }
    return ERR_ARG;
}

/* --- codings ------------------------------------------------------------------------------------------------------- */

/* A blank becomes '+' in forms, where a '+' of the text itself has been encoded. */
static size_t form_encode(struct slice s, char *out)
{
    size_t n = text_percent_encode(s, " ", out);

    for (size_t i = 0; i < n; i++) {
        if (out[i] == ' ')
            out[i] = '+';
    }
    return n;
}

int64_t dml_encode(int coding, const char *ptr, size_t len, char *out)
{
    struct slice s = slice_of(ptr, len);

    switch (coding) {
    case DML_CODING_HEX: return (int64_t)text_hex(ptr, len, out);
    case DML_CODING_BASE64: return (int64_t)text_base64(ptr, len, 0, out);
    case DML_CODING_BASE64_URL: return (int64_t)text_base64(ptr, len, TEXT_URL | TEXT_NO_PAD, out);
    case DML_CODING_PERCENT: return (int64_t)text_percent_encode(s, "", out);
    case DML_CODING_FORM: return (int64_t)form_encode(s, out);
    }
    return ERR_ARG;
}

int64_t dml_decode(int coding, const char *ptr, size_t len, char *out)
{
    struct slice s = slice_of(ptr, len);

    switch (coding) {
    case DML_CODING_HEX: return text_unhex(s, out);
    case DML_CODING_BASE64: return text_unbase64(s, 0, out);
    case DML_CODING_BASE64_URL: return text_unbase64(s, TEXT_URL, out);
    case DML_CODING_PERCENT: return text_percent_decode(s, false, out);
    case DML_CODING_FORM: return text_percent_decode(s, true, out);
    }
    return ERR_ARG;
}

/* --- time ---------------------------------------------------------------------------------------------------------- */

double dml_now(void)
{
    return (double)clock_wall_ms() / 1e3;
}

double dml_monotonic(void)
{
    return (double)clock_us() / 1e6;
}

static bool is_moment(double when)
{
    return when >= 0 && when < 253402300800.0; /* year 10000 */
}

int dml_http_date(double when, char *out)
{
    if (!is_moment(when))
        return ERR_RANGE;
    text_http_date((time_t)when, out);
    return (int)strlen(out);
}

int dml_iso_date(double when, char *out)
{
    if (!is_moment(when))
        return ERR_RANGE;
    text_iso_date((uint64_t)llround(when * 1e3), out);
    return (int)strlen(out);
}

int dml_http_date_read(const char *ptr, size_t len, double *out)
{
    time_t when;
    int rc = text_to_http_date(slice_of(ptr, len), &when);

    if (rc == 0)
        *out = (double)when;
    return rc;
}

/* --- ids ----------------------------------------------------------------------------------------------------------- */

/* RFC 9562. Version 7 begins with the time in milliseconds, so that ids sort by it. */
void dml_uuid(int version, char *out)
{
    uint8_t raw[16];

    rand_secure(raw, sizeof(raw));
    if (version == 7) {
        uint64_t ms = clock_wall_ms();
        for (int i = 0; i < 6; i++)
            raw[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    text_uuid(raw, version, out);
}
