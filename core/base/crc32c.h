/* SPDX-License-Identifier: Apache-2.0 */

/* CRC-32C (Castagnoli), the checksum of what lies on disk: by the CPU's own instruction where it has one (7 GB/s), else
 * by a table. */

#ifndef DML_BASE_CRC32C_H
#define DML_BASE_CRC32C_H

#include "base/base.h"
#include "base/slice.h"

/* Of the bytes behind those whose checksum `crc` is; 0 to begin. Any thread. */
uint32_t crc32c(uint32_t crc, struct slice bytes);

/* The same by the table; so that a test can compare. */
uint32_t crc32c_plain(uint32_t crc, struct slice bytes);

#endif
