/* SPDX-License-Identifier: Apache-2.0 */

/* The words every file may assume: attributes and a few macros. Nothing here has state. */

#ifndef DML_BASE_BASE_H
#define DML_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN __attribute__((noreturn))
#define NOINLINE __attribute__((noinline)) /* for the rare way out of a small hot function */
#define UNUSED __attribute__((unused))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Seen by Lua through the FFI: the only functions that the program exports. */
#define DML_API __attribute__((visibility("default"), used))

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* The struct that embeds `member` at `ptr`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define CACHE_LINE 64u
#define KIB (1024u)
#define MIB (1024u * 1024u)

#endif
