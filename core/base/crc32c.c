/* SPDX-License-Identifier: Apache-2.0 */

/* The polynomial is used reflected (0x82f63b78), as the instruction of SSE4.2 does. The table is of half a byte per step:
 * small, and only for CPUs before 2009 or of another make. */

#include "base/crc32c.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

static const uint32_t table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_plain(uint32_t crc, struct slice bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (uint8_t)bytes.ptr[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, struct slice bytes)
{
    const char *p = bytes.ptr, *end = p + bytes.len;
    uint64_t wide = ~crc, word;

    for (; end - p >= 8; p += 8) {
        memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; p < end; p++)
        crc = _mm_crc32_u8(crc, (uint8_t)*p);
    return ~crc;
}

uint32_t crc32c(uint32_t crc, struct slice bytes)
{
    if (bytes.len == 0)
        return crc;
    return __builtin_cpu_supports("sse4.2") ? by_instruction(crc, bytes) : crc32c_plain(crc, bytes);
}

#else

uint32_t crc32c(uint32_t crc, struct slice bytes)
{
    return crc32c_plain(crc, bytes);
}

#endif
