/* SPDX-License-Identifier: Apache-2.0 */

#include "support/name_server.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/loopback.h"

enum { TYPE_A = 1, TYPE_AAAA = 28, HEADER = 12, SERVFAIL = 2, NXDOMAIN = 3 };

struct packet {
    uint8_t bytes[2048];
    size_t len;
};

static void put(struct packet *p, const void *bytes, size_t len)
{
    assert_true(p->len + len <= sizeof(p->bytes));
    memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
}

static void put16(struct packet *p, unsigned n)
{
    put(p, (uint8_t[]){(uint8_t)(n >> 8), (uint8_t)n}, 2);
}

/* "\3www\4test\0" -> "www.test"; returns the bytes taken. */
static size_t read_name(const uint8_t *at, char *out)
{
    size_t i = 0;

    while (at[i]) {
        memcpy(out + i, at + i + 1, at[i]);
        i += at[i] + 1u;
        out[i - 1] = '.';
    }
    out[i ? i - 1 : 0] = '\0';
    return i + 1;
}

static const struct name_record *find(const struct name_server *s, const char *name)
{
    static const struct name_record absent = {.answer = NAME_ABSENT};

    for (const struct name_record *r = s->records; r->name; r++)
        if (strcmp(r->name, name) == 0)
            return r;
    return &absent;
}

static void put_record(struct packet *p, int type, uint32_t ttl_s, const char *text)
{
    uint8_t bytes[16];
    unsigned len = type == TYPE_A ? 4 : 16;

    assert_int_equal(inet_pton(type == TYPE_A ? AF_INET : AF_INET6, text, bytes), 1);
    put16(p, 0xc000 | HEADER); /* the name of the question */
    put16(p, (unsigned)type);
    put16(p, 1);
    put16(p, ttl_s >> 16);
    put16(p, ttl_s & 0xffff);
    put16(p, len);
    put(p, bytes, len);
    p->bytes[7]++; /* answers */
}

static void answer(struct packet *p, const struct name_record *r, int type)
{
    const char *const *texts = type == TYPE_A ? r->ipv4 : r->ipv6;

    p->bytes[2] |= 0x80; /* a response */
    p->bytes[11] = 0;    /* without what the query had behind its question */
    p->bytes[3] = r->answer == NAME_ABSENT ? NXDOMAIN : r->answer == NAME_BROKEN ? SERVFAIL : 0;
    if (r->answer == NAME_ADDRS)
        for (int i = 0; texts[i]; i++)
            put_record(p, type, r->ttl_s, texts[i]);
}

/* false: nobody has asked. */
static bool answer_one(struct name_server *s)
{
    const struct name_record *r;
    struct packet p;
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    char name[256];
    int fd = s->watch.fd;
    ssize_t n = recvfrom(fd, p.bytes, sizeof(p.bytes), 0, (struct sockaddr *)&from, &from_len);
    size_t name_len;
    int type;

    if (n < 0)
        return false;
    assert_true(n > HEADER);
    name_len = read_name(p.bytes + HEADER, name);
    type = p.bytes[HEADER + name_len + 1];
    p.len = HEADER + name_len + 4;
    s->queries += type == TYPE_A;
    r = find(s, name);
    if (r->answer == NAME_SILENT)
        return true;
    answer(&p, r, type);
    assert_int_equal(sendto(fd, p.bytes, p.len, 0, (struct sockaddr *)&from, from_len), p.len);
    return true;
}

static void on_query(struct watch *w, unsigned what UNUSED)
{
    while (answer_one(container_of(w, struct name_server, watch)))
        ;
}

void name_server_start(struct name_server *s, struct loop *l, struct name_record *records)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct addr at;

    assert_true(fd >= 0);
    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &at), 0);
    assert_int_equal(bind(fd, &at.sa, at.len), 0);
    assert_int_equal(getsockname(fd, &at.sa, &at.len), 0);
    *s = (struct name_server){.records = records};
    snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", addr_port(&at));
    watch_init(&s->watch, l, fd, on_query);
    watch_for(&s->watch, WATCH_READ);
}

void name_server_stop(struct name_server *s)
{
    watch_end(&s->watch);
    close(s->watch.fd);
}
