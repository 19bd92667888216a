/* SPDX-License-Identifier: Apache-2.0 */

/* hash_keyed is SipHash with one round a word and three at the end (Aumasson and Bernstein): with a
 * key that clients cannot know, they cannot make keys collide. hash_stable is XXH64 (Collet): four
 * lanes of 8 bytes, then the rest, then an avalanche; it must give the same number on every
 * machine, or targets would be chosen differently by each gateway. Both read little-endian
 * words. */

#include "base/hash.h"

#include <endian.h>

#include "base/rand.h"

static uint64_t key0, key1;

void hash_init(void)
{
    uint64_t key[2];

    rand_secure(key, sizeof(key));
    hash_set_key(key[0], key[1]);
}

void hash_set_key(uint64_t k0, uint64_t k1)
{
    key0 = k0;
    key1 = k1;
}

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline uint64_t load64(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return le64toh(w);
}

static inline uint64_t load32(const char *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof(w));
    return le32toh(w);
}

struct sip {
    uint64_t a, b, c, d;
};

static inline void sip_round(struct sip *v)
{
    v->a += v->b;
    v->c += v->d;
    v->b = rotl(v->b, 13) ^ v->a;
    v->d = rotl(v->d, 16) ^ v->c;
    v->a = rotl(v->a, 32);
    v->c += v->b;
    v->a += v->d;
    v->b = rotl(v->b, 17) ^ v->c;
    v->d = rotl(v->d, 21) ^ v->a;
    v->c = rotl(v->c, 32);
}

static inline void sip_word(struct sip *v, uint64_t word)
{
    v->d ^= word;
    sip_round(v);
    v->a ^= word;
}

/* The last 0..7 bytes, as a little-endian number. */
static inline uint64_t load_tail(const char *p, size_t n)
{
    uint64_t w = 0;

    if (n >= 4) {
        w = load32(p) | load32(p + n - 4) << (8 * (n - 4));
    } else if (n > 0) {
        w = (uint64_t)(uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << (8 * (n / 2)) |
            (uint64_t)(uint8_t)p[n - 1] << (8 * (n - 1));
    }
    return w;
}

uint64_t hash_keyed(struct slice s)
{
    struct sip v = {
        .a = key0 ^ 0x736f6d6570736575u,
        .b = key1 ^ 0x646f72616e646f6du,
        .c = key0 ^ 0x6c7967656e657261u,
        .d = key1 ^ 0x7465646279746573u,
    };
    size_t words = s.len / 8;

    for (size_t i = 0; i < words; i++)
        sip_word(&v, load64(s.ptr + 8 * i));
    sip_word(&v, (uint64_t)s.len << 56 | (s.len % 8 ? load_tail(s.ptr + 8 * words, s.len % 8) : 0));
    v.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}

#define P1 0x9e3779b185ebca87u
#define P2 0xc2b2ae3d27d4eb4fu
#define P3 0x165667b19e3779f9u
#define P4 0x85ebca77c2b2ae63u
#define P5 0x27d4eb2f165667c5u

static inline uint64_t xx_round(uint64_t lane, uint64_t word)
{
    return rotl(lane + word * P2, 31) * P1;
}

/* All whole stripes of 32 bytes; *at moves behind them. */
static uint64_t xx_stripes(struct slice s, uint64_t seed, size_t *at)
{
    uint64_t lane[4] = {seed + P1 + P2, seed + P2, seed, seed - P1};

    for (; *at + 32 <= s.len; *at += 32)
        for (int i = 0; i < 4; i++)
            lane[i] = xx_round(lane[i], load64(s.ptr + *at + 8 * i));

    uint64_t h = rotl(lane[0], 1) + rotl(lane[1], 7) + rotl(lane[2], 12) + rotl(lane[3], 18);
    for (int i = 0; i < 4; i++)
        h = (h ^ xx_round(0, lane[i])) * P1 + P4;
    return h;
}

uint64_t hash_stable(struct slice s, uint64_t seed)
{
    size_t i = 0;
    uint64_t h = s.len >= 32 ? xx_stripes(s, seed, &i) : seed + P5;

    h += s.len;
    for (; i + 8 <= s.len; i += 8)
        h = rotl(h ^ xx_round(0, load64(s.ptr + i)), 27) * P1 + P4;
    if (i + 4 <= s.len) {
        h = rotl(h ^ load32(s.ptr + i) * P1, 23) * P2 + P3;
        i += 4;
    }
    for (; i < s.len; i++)
        h = rotl(h ^ (uint8_t)s.ptr[i] * P5, 11) * P1;

    h = (h ^ h >> 33) * P2;
    h = (h ^ h >> 29) * P3;
    return h ^ h >> 32;
}
