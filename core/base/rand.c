/* SPDX-License-Identifier: Apache-2.0 */

/* Two sources, both per thread. The fast one is xoshiro256** (Blackman and Vigna), for spreading
 * load and adding jitter. The secure one hands out the kernel's bytes from a buffer, so that a
 * request id costs no system call, and forgets each byte it has handed out. A process that forks
 * goes on to exec at once, so no two processes share either state. */

#include "base/rand.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"

#define SECURE_SIZE 512

static _Thread_local struct {
    uint64_t s[4];
    bool is_seeded;
} fast __attribute__((tls_model("initial-exec")));

static _Thread_local struct {
    uint8_t bytes[SECURE_SIZE];
    size_t left; /* the last `left` bytes are fresh */
} secure __attribute__((tls_model("initial-exec")));

static void read_system(void *out, size_t len)
{
    uint8_t *p = out;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        REQUIRE(n > 0 || errno == EINTR);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

uint64_t rand_u64(void)
{
    uint64_t *s = fast.s;

    if (UNLIKELY(!fast.is_seeded)) {
        read_system(s, sizeof(fast.s));
        s[0] |= 1; /* all zero would stay so */
        fast.is_seeded = true;
    }
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* The high half of a 32 x 32 bit product is uniform once the few low halves that would favour some
 * results are drawn again (Lemire). */
uint32_t rand_below(uint32_t n)
{
    uint64_t product = (rand_u64() >> 32) * n;

    if (UNLIKELY((uint32_t)product < n)) {
        uint32_t unfair = -n % n;
        while ((uint32_t)product < unfair)
            product = (rand_u64() >> 32) * n;
    }
    return (uint32_t)(product >> 32);
}

double rand_unit(void)
{
    return (double)(rand_u64() >> 11) * 0x1p-53;
}

void rand_secure(void *out, size_t len)
{
    if (len > SECURE_SIZE) {
        read_system(out, len);
        return;
    }
    if (secure.left < len) {
        read_system(secure.bytes, SECURE_SIZE);
        secure.left = SECURE_SIZE;
    }
    uint8_t *from = secure.bytes + SECURE_SIZE - secure.left;
    memcpy(out, from, len);
    explicit_bzero(from, len);
    secure.left -= len;
}
