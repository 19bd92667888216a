/* SPDX-License-Identifier: Apache-2.0 */

/* Tells AddressSanitizer which bytes of memory that we recycle ourselves are out of bounds at the
 * moment: a pooled block that was given back, the part of an arena that is not handed out yet.
 * Without the sanitizer this is nothing. */

#ifndef DML_BASE_POISON_H
#define DML_BASE_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define POISON_IS_ON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_IS_ON 1
#endif
#endif

#ifdef POISON_IS_ON
#include <sanitizer/asan_interface.h>
#define POISON_GAP 8 /* left poisoned behind each piece, so that an overrun is seen */
#define poison(ptr, len) __asan_poison_memory_region(ptr, len)
#define unpoison(ptr, len) __asan_unpoison_memory_region(ptr, len)
#else
#define POISON_GAP 0
#define poison(ptr, len) ((void)(ptr), (void)(len))
#define unpoison(ptr, len) ((void)(ptr), (void)(len))
#endif

#endif
