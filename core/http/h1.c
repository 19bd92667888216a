/* SPDX-License-Identifier: Apache-2.0 */

/* Heads, read as strictly as RFC 9112 writes them: what two readers could take for two things is
 * refused. The scan wants lines that end in CRLF and are not folded; reading wants names that are
 * tokens, values without controls, versions and methods that are known, targets that RFC 3986
 * allows, framing fields with one meaning, and one Host that is not at odds with the target.
 *
 * spec/fuzz asks llhttp in its strict mode about each head that is accepted here: it must see the
 * same fields. */

#include "http/h1.h"

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "http/uri.h"

/* --- scanning --------------------------------------------------------------------------------- */

static int fault(const char **why, int err, const char *text)
{
    *why = text;
    return err;
}

/* A line of `len` bytes (its CRLF not counted) is there, with `lines` before it. */
static int check_line(const char *line, size_t len, uint32_t lines, const struct h1_bounds *b,
                      const char **why)
{
    if (lines == 0)
        return len > b->first_line ? fault(why, ERR_URI_TOO_LONG, "The request line is too long.")
                                   : 0;
    if (line[0] == ' ' || line[0] == '\t')
        return fault(why, ERR_BAD_REQUEST, "A header line begins with a blank.");
    if (lines > b->fields)
        return fault(why, ERR_HEAD_TOO_LARGE, "There are too many header fields.");
    return 0;
}

/* So much is there, with no end in sight. */
static int check_size(size_t len, uint32_t lines, const struct h1_bounds *b, const char **why)
{
    if (lines == 0 && len > (size_t)b->first_line + 1) /* a CR may be its last byte */
        return fault(why, ERR_URI_TOO_LONG, "The request line is too long.");
    if (len > b->head)
        return fault(why, ERR_HEAD_TOO_LARGE, "The header fields are too large.");
    return 0;
}

ssize_t h1_scan(struct h1_scan *s, struct slice bytes, const struct h1_bounds *b, const char **why)
{
    const char *line = bytes.ptr + s->line, *end = bytes.ptr + bytes.len,
               *from = bytes.ptr + s->pos;
    uint32_t lines = s->lines;

    if (s->pos == 0 && bytes.len > 0 && !text_is_token(slice_of(bytes.ptr, 1)))
        return fault(why, ERR_BAD_REQUEST, "This does not begin like an HTTP message.");
    for (const char *lf; (lf = memchr(from, '\n', (size_t)(end - from))) != NULL; lines++) {
        if (lf == line || lf[-1] != '\r')
            return fault(why, ERR_BAD_REQUEST, "A line ends without CR.");
        from = lf + 1;
        if (lines > 0 && lf == line + 1) {
            size_t len = (size_t)(from - bytes.ptr);
            s->lines = lines;
            return len > b->head ? check_size(len, lines, b, why) : (ssize_t)len;
        }
        int rc = check_line(line, (size_t)(lf - line) - 1, lines, b, why);
        if (rc < 0)
            return rc;
        line = from;
    }
    *s = (struct h1_scan){(uint32_t)bytes.len, (uint32_t)(line - bytes.ptr), lines};
    return check_size(bytes.len, lines, b, why);
}

/* --- fields ----------------------------------------------------------------------------------- */

/* The fields of a whole head behind its first line: tokens and values end at the latest at the CR of
 * their line, since it is in neither. */
static bool read_fields(struct slice head, size_t first_line, uint32_t max_fields,
                        struct headers *h)
{
    const char *p = head.ptr + first_line, *end = head.ptr + head.len;

    while (*p != '\r') {
        struct slice name = slice_of(p, text_token_len(slice_of(p, (size_t)(end - p))));
        p += name.len;
        if (name.len == 0 || *p++ != ':' || h->n >= max_fields)
            return false;
        struct slice value = slice_of(p, text_field_value_len(slice_of(p, (size_t)(end - p))));
        p += value.len;
        if (p[0] != '\r' || p[1] != '\n')
            return false;
        p += 2;
        headers_add(h, name, slice_trim(value));
    }
    return p + 2 == end;
}

/* What the fields of one head add up to. */
struct sums {
    int hosts, lengths, codings, upgrades;
    bool chunked;
    bool close, keep_alive, upgrade; /* connection options */
    bool nominates;                  /* Connection names fields */
    bool websocket;
    bool expects, expects_other;
    uint64_t length;
    struct slice host;
};

/* Connection options that are not names of fields to remove, or that are removed anyway. */
static bool is_plain_option(struct slice token)
{
    return header_flags(header_id(token)) & HEADER_HOP;
}

static void sum_connection(struct slice value, struct sums *sums)
{
    struct slice token;

    while (slice_next_token(&value, &token)) {
        if (slice_eq_nocase(token, SLICE("close")))
            sums->close = true;
        else if (slice_eq_nocase(token, SLICE("keep-alive")))
            sums->keep_alive = true;
        else if (slice_eq_nocase(token, SLICE("upgrade")))
            sums->upgrade = true;
        else if (!is_plain_option(token))
            sums->nominates = true;
    }
}

static int sum_length(struct slice value, struct sums *sums)
{
    if (value.len == 0 || text_to_u64(value, INT64_MAX, &sums->length) < 0)
        return ERR_SYNTAX;
    return ++sums->lengths > 1 ? ERR_SYNTAX : 0;
}

static int sum_field(struct field *f, struct message *m, struct sums *sums, const char **why)
{
    switch ((enum header_id)f->id) {
    case HEADER_HOST:
        sums->hosts++;
        sums->host = f->value;
        break;
    case HEADER_CONTENT_LENGTH:
        if (sum_length(f->value, sums) < 0)
            return fault(why, ERR_BAD_REQUEST, "Content-Length is not one number.");
        break;
    case HEADER_TRANSFER_ENCODING:
        sums->codings++;
        sums->chunked = slice_eq_nocase(f->value, SLICE("chunked"));
        break;
    case HEADER_CONNECTION: sum_connection(f->value, sums); break;
    case HEADER_UPGRADE:
        sums->upgrades++;
        sums->websocket = slice_has_token(f->value, SLICE("websocket"));
        break;
    case HEADER_TE: m->te_trailers |= slice_has_token(f->value, SLICE("trailers")); break;
    case HEADER_EXPECT:
        sums->expects = slice_eq_nocase(f->value, SLICE("100-continue"));
        sums->expects_other |= !sums->expects;
        break;
    default: break;
    }
    return 0;
}

/* Takes out what Connection names. Fields that this gateway knows are end to end by their
 * definition, and not for a peer to take away: Connection: host, authorization would change what
 * the next server sees. */
static void remove_nominated(struct headers *h)
{
    for (struct field *f = headers_find(h, HEADER_CONNECTION); f != NULL; f = headers_next(h, f)) {
        struct slice list = f->value, token;
        while (slice_next_token(&list, &token)) {
            if (header_id(token) == HEADER_OTHER)
                headers_remove(h, token);
        }
    }
}

/* Is it for the codec to read? */
static bool is_ours(const struct field *f)
{
    return header_flags((enum header_id)f->id) & (HEADER_HOP | HEADER_FRAMING | HEADER_TARGET);
}

/* Without the fields of this connection, and without holes. Content-Length stays to be looked
 * at: writing a head leaves framing fields out. */
static void keep_end_to_end(struct headers *h)
{
    uint32_t n = 0;

    HEADERS_EACH(f, h)
    {
        if (!is_ours(f) || f->id == HEADER_CONTENT_LENGTH || f->id == HEADER_HOST)
            h->items[n++] = *f;
    }
    h->n = n;
}

static int sum_fields(struct message *m, struct sums *sums, const char **why)
{
    int ours = 0;

    HEADERS_EACH(f, &m->headers)
    {
        if (LIKELY(!is_ours(f)))
            continue;
        int rc = sum_field(f, m, sums, why);
        if (rc < 0)
            return rc;
        ours++;
    }
    if (sums->nominates)
        remove_nominated(&m->headers);
    if (ours > sums->lengths + sums->hosts) /* those two stay */
        keep_end_to_end(&m->headers);
    return 0;
}

/* RFC 9112, 6.1 and 6.3, without their leniencies. */
static int check_framing(const struct message *m, const struct sums *sums, const char **why)
{
    if (sums->codings == 0)
        return 0;
    if (m->version == HTTP_10)
        return fault(why, ERR_BAD_REQUEST, "Transfer-Encoding does not exist in HTTP/1.0.");
    if (sums->codings > 1 || !sums->chunked)
        return fault(why, ERR_BAD_REQUEST, "Transfer-Encoding is not chunked.");
    if (sums->lengths > 0)
        return fault(why, ERR_BAD_REQUEST, "Both Transfer-Encoding and Content-Length were given.");
    return 0;
}

static void set_body(struct message *m, const struct sums *sums)
{
    m->has_length = sums->lengths > 0;
    m->content_length = sums->length;
    if (sums->codings > 0)
        m->body = BODY_UNKNOWN;
    else
        m->body = sums->length > 0 ? BODY_LENGTH : BODY_NONE;
}

static bool keeps_alive(const struct message *m, const struct sums *sums)
{
    return m->version == HTTP_11 ? !sums->close : sums->keep_alive && !sums->close;
}

/* --- requests --------------------------------------------------------------------------------- */

/* "HTTP/1.1" -> the version; ERR_HTTP_VERSION for another one. */
static int parse_version(struct slice s, enum http_version *out, const char **why)
{
    if (s.len != 8 || memcmp(s.ptr, "HTTP/", 5) != 0 || s.ptr[6] != '.')
        return fault(why, ERR_BAD_REQUEST, "The request line has no HTTP version.");
    if (s.ptr[5] == '1' && (s.ptr[7] == '1' || s.ptr[7] == '0')) {
        *out = s.ptr[7] == '1' ? HTTP_11 : HTTP_10;
        return 0;
    }
    if (s.ptr[5] < '0' || s.ptr[5] > '9' || s.ptr[7] < '0' || s.ptr[7] > '9')
        return fault(why, ERR_BAD_REQUEST, "The request line has no HTTP version.");
    return fault(why, ERR_HTTP_VERSION, "Only HTTP/1.0 and HTTP/1.1 are spoken here.");
}

static int parse_target(struct slice s, struct message *m, struct slice *authority,
                        const char **why)
{
    struct uri uri;

    if (uri_parse_target(s, &uri) < 0)
        return fault(why, ERR_BAD_REQUEST, "The request target is not valid.");
    if (slice_eq(uri.path, SLICE("*")) && m->method != METHOD_OPTIONS)
        return fault(why, ERR_BAD_REQUEST, "The request target * is for OPTIONS only.");
    m->path = uri.path;
    m->query = uri.query;
    *authority = uri.authority;
    return 0;
}

static int parse_request_line(struct slice line, struct message *m, struct slice *authority,
                              const char **why)
{
    ssize_t first = slice_find_char(line, ' '), last = slice_find_last_char(line, ' ');

    if (first <= 0 || last <= first + 1)
        return fault(why, ERR_BAD_REQUEST, "The request line is not method, target and version.");
    struct slice method = slice_sub(line, 0, (size_t)first);
    int rc = parse_version(slice_from_index(line, (size_t)last + 1), &m->version, why);
    if (rc < 0)
        return rc;
    m->method = method_parse(method);
    if (m->method == METHOD_UNKNOWN && !text_is_token(method))
        return fault(why, ERR_BAD_REQUEST, "The method is not a token.");
    if (m->method == METHOD_UNKNOWN || m->method == METHOD_CONNECT || m->method == METHOD_TRACE)
        return fault(why, ERR_NOT_IMPLEMENTED, "The method is not supported.");
    return parse_target(slice_sub(line, (size_t)first + 1, (size_t)(last - first - 1)), m,
                        authority, why);
}

static int check_host(struct message *m, const struct sums *sums, struct slice authority,
                      const char **why)
{
    if (sums->hosts > 1 || (sums->hosts == 0 && m->version == HTTP_11))
        return fault(why, ERR_BAD_REQUEST, "There must be one Host field.");
    if (sums->hosts == 0 && authority.ptr == NULL)
        return 0;
    if (message_set_authority(m, sums->hosts > 0 ? sums->host : authority) < 0)
        return fault(why, ERR_BAD_REQUEST, "The host is not valid.");
    if (sums->hosts > 0 && authority.ptr != NULL && !slice_eq_nocase(authority, sums->host))
        return fault(why, ERR_BAD_REQUEST, "The Host field is not the target's.");
    return 0;
}

/* RFC 6455, 4.2.1; the key is for the server behind us to judge. */
static bool asks_for_websocket(const struct message *m, const struct sums *sums)
{
    return m->method == METHOD_GET && m->version == HTTP_11 && m->body == BODY_NONE &&
           sums->upgrade && sums->upgrades == 1 && sums->websocket;
}

int h1_read_request(struct slice head, uint32_t max_fields, struct message *m,
                    struct h1_facts *facts)
{
    struct sums sums = {0};
    struct slice authority = SLICE_NONE;
    size_t end = (size_t)slice_find_char(head, '\n') - 1;
    int rc = parse_request_line(slice_sub(head, 0, end), m, &authority, &facts->why);

    if (rc < 0)
        return rc;
    if (!read_fields(head, end + 2, max_fields, &m->headers))
        return fault(&facts->why, ERR_BAD_REQUEST, "A header field is not valid.");
    if ((rc = sum_fields(m, &sums, &facts->why)) < 0 ||
        (rc = check_framing(m, &sums, &facts->why)) < 0 ||
        (rc = check_host(m, &sums, authority, &facts->why)) < 0)
        return rc;
    if (sums.expects_other)
        return fault(&facts->why, ERR_EXPECTATION, "Only 100-continue can be expected.");
    set_body(m, &sums);
    m->expects_continue = sums.expects && m->version == HTTP_11 && m->body != BODY_NONE;
    m->wants_websocket = asks_for_websocket(m, &sums);
    facts->keep_alive = keeps_alive(m, &sums);
    return 0;
}

/* --- responses -------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK" (RFC 9112, 4); the blank behind the status may be missing where there is no
 * reason. */
static bool parse_status_line(struct slice line, struct message *m)
{
    const char *why, *p = line.ptr;

    if (line.len < 12 || parse_version(slice_sub(line, 0, 8), &m->version, &why) < 0)
        return false;
    if (p[8] != ' ' || !is_digit(p[9]) || !is_digit(p[10]) || !is_digit(p[11]) ||
        (line.len > 12 && p[12] != ' '))
        return false;
    m->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    m->reason = slice_from_index(line, 13);
    return m->status >= 100 && m->status <= 599 && text_is_field_value(m->reason);
}

static bool has_no_body(const struct message *m, enum method method)
{
    return method == METHOD_HEAD || m->status < 200 || m->status == 204 || m->status == 304;
}

static void set_response_body(struct message *m, const struct sums *sums, enum method method)
{
    set_body(m, sums);
    if (has_no_body(m, method))
        m->body = BODY_NONE;
    else if (sums->codings == 0 && sums->lengths == 0)
        m->body = BODY_UNKNOWN; /* to the end of the connection */
}

/* A switch that nobody asked for leaves us with bytes of an unknown protocol. */
static bool check_switch(struct message *m, const struct sums *sums, bool wants_websocket)
{
    if (m->status != 101)
        return true;
    if (!wants_websocket || !sums->upgrade || !sums->websocket || m->version != HTTP_11)
        return false;
    m->wants_websocket = true;
    m->body = BODY_TUNNEL;
    return true;
}

int h1_read_response(struct slice head, uint32_t max_fields, enum method method,
                     bool wants_websocket, struct message *m, struct h1_facts *facts)
{
    struct sums sums = {0};
    size_t end = (size_t)slice_find_char(head, '\n') - 1;

    if (!parse_status_line(slice_sub(head, 0, end), m))
        return fault(&facts->why, ERR_PROTOCOL, "The status line is not valid.");
    if (!read_fields(head, end + 2, max_fields, &m->headers))
        return fault(&facts->why, ERR_PROTOCOL, "A header field is not valid.");
    if (sum_fields(m, &sums, &facts->why) < 0 || check_framing(m, &sums, &facts->why) < 0)
        return ERR_PROTOCOL;
    set_response_body(m, &sums, method);
    if (!check_switch(m, &sums, wants_websocket))
        return fault(&facts->why, ERR_PROTOCOL,
                     "The protocol was switched without being asked for.");
    facts->until_close = m->body == BODY_UNKNOWN && sums.codings == 0;
    facts->keep_alive = keeps_alive(m, &sums) && !facts->until_close;
    return 0;
}
