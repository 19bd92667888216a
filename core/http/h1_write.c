/* SPDX-License-Identifier: Apache-2.0 */

/* Serialising heads: sizes first, then bytes without a look at the room. Fields of the
 * connection and of the framing are left out: h1_out.c writes them, as the wire and not as the
 * message wants them. */

#include "http/h1.h"

#include "base/clock.h"

#define DATE_LEN 29
#define LANES 16
#define STEP (2 * LANES)

typedef uint8_t lanes __attribute__((vector_size(LANES)));

static size_t fields_size(const struct headers *h)
{
    size_t size = 4 * (size_t)h->n;

    /* Those that were removed, too: it is room, not a length. */
    for (uint32_t i = 0; i < h->n; i++)
        size += h->items[i].name.len + h->items[i].value.len;
    return size;
}

/* But those with a flag of left_out; *lines counts them. */
static char *put_fields(char *out, const struct headers *h, unsigned left_out, size_t *lines)
{
    size_t n = 0;

    HEADERS_EACH(f, h)
    {
        if (header_flags((enum header_id)f->id) & left_out)
            continue;
        out = slice_put(out, f->name);
        out = slice_put(out, SLICE(": "));
        out = slice_put(out, f->value);
        out = slice_put(out, SLICE("\r\n"));
        n++;
    }
    *lines += n;
    return out;
}

/* Sum of a word's bytes. */
static size_t sum_bytes(uint64_t w)
{
    uint64_t pairs = (w & 0x00ff00ff00ff00ffu) + (w >> 8 & 0x00ff00ff00ff00ffu);

    return (pairs * 0x0001000100010001u) >> 48;
}

/* Of each lane: is it CR, LF or NUL; or, which takes less, is it not above CR, as tabs and other
 * controls are, too. */
static inline lanes breaks(const char *p, bool exactly)
{
    lanes v;

    memcpy(&v, p, LANES);
    return exactly ? (lanes)((v == '\n') | (v == '\r') | (v == '\0')) : (lanes)(v <= '\r');
}

/* How many there are from p to end, in whole steps. */
static inline size_t count_breaks(const char *p, const char *end, bool exactly)
{
    enum { LONGEST = 127 * STEP }; /* until a lane's count may be full */
    size_t n = 0;

    while (p < end) {
        const char *stop = end - p > LONGEST ? p + LONGEST : end;
        lanes counts = {0};
        for (; p < stop; p += STEP)
            counts -= breaks(p, exactly) + breaks(p + LANES, exactly);
        uint64_t words[2];
        memcpy(words, &counts, LANES);
        n += sum_bytes(words[0]) + sum_bytes(words[1]);
    }
    return n;
}

/* Line ends are two bytes of `lines` lines: nothing in between had one of its own. Every byte of
 * every head passes here. */
static char *checked(const char *start, char *end, size_t lines)
{
    memset(end, ' ', STEP);
    if (LIKELY(count_breaks(start, end, false) == 2 * lines))
        return end;
    return count_breaks(start, end, true) == 2 * lines ? end : NULL;
}

size_t h1_request_size(const struct message *m)
{
    return 64 + STEP + m->path.len + m->query.len + m->authority.len + fields_size(&m->headers);
}

/* A blank in the target would give it a second reading as well. */
static bool is_target(struct slice s)
{
    return s.len == 0 || memchr(s.ptr, ' ', s.len) == NULL;
}

char *h1_write_request(char *out, const struct message *m)
{
    char *start = out;
    size_t lines = 2;

    if (!is_target(m->path) || !is_target(m->query))
        return NULL;
    out = slice_put(out, method_name(m->method));
    *out++ = ' ';
    out = slice_put(out, m->path);
    if (m->query.ptr != NULL) {
        *out++ = '?';
        out = slice_put(out, m->query);
    }
    out = slice_put(out, SLICE(" HTTP/1.1\r\nHost: "));
    out = slice_put(out, m->authority);
    out = slice_put(out, SLICE("\r\n"));
    out = put_fields(out, &m->headers, HEADER_HOP | HEADER_FRAMING | HEADER_TARGET, &lines);
    return checked(start, out, lines);
}

static struct slice reason_of(const struct message *m)
{
    return m->reason.ptr != NULL ? m->reason : slice_from(status_text(m->status));
}

size_t h1_response_size(const struct message *m)
{
    return 64 + STEP + reason_of(m).len + DATE_LEN + fields_size(&m->headers);
}

char *h1_write_response(char *out, const struct message *m)
{
    char *start = out;
    size_t lines = 1;

    out = slice_put(out, SLICE("HTTP/1.1 "));
    *out++ = (char)('0' + m->status / 100 % 10);
    *out++ = (char)('0' + m->status / 10 % 10);
    *out++ = (char)('0' + m->status % 10);
    *out++ = ' ';
    out = slice_put(out, reason_of(m));
    out = slice_put(out, SLICE("\r\n"));
    out = put_fields(out, &m->headers, HEADER_HOP | HEADER_FRAMING, &lines);
    if (m->status >= 200 && headers_find(&m->headers, HEADER_DATE) == NULL) {
        out = slice_put(out, SLICE("Date: "));
        out = slice_put(out, slice_of(clock_http_date(), DATE_LEN));
        out = slice_put(out, SLICE("\r\n"));
        lines++;
    }
    return checked(start, out, lines);
}

size_t h1_trailers_size(const struct headers *h)
{
    return STEP + fields_size(h);
}

char *h1_write_trailers(char *out, const struct headers *h)
{
    char *start = out;
    size_t lines = 0;

    out = put_fields(out, h, HEADER_HOP | HEADER_FRAMING | HEADER_NO_TRAILER, &lines);
    return checked(start, out, lines);
}
