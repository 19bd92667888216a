/* SPDX-License-Identifier: Apache-2.0 */

/* Password hashes, and keys made of passwords. All of it takes as long as it is meant to take: only for the threads of a
 * pool, never for one that carries traffic.
 *
 * Hashes are read in the forms in which operators have them: $scrypt$ and $pbkdf2-sha256$ (PHC), bcrypt ($2a$ $2b$ $2y$),
 * sha256-crypt and sha512-crypt ($5$ $6$), yescrypt ($y$). */

#ifndef DML_SCRIPT_CRYPTO_PASSWORD_H
#define DML_SCRIPT_CRYPTO_PASSWORD_H

#include "base/slice.h"

enum { PASSWORD_HASH_MAX = 256, PASSWORD_MAX = 4096 };

/* 0: a form that is known, and its cost is within bounds. ERR_NOT_IMPLEMENTED, ERR_SYNTAX, ERR_LIMIT. Does not hash. */
MUST_CHECK int password_form(struct slice hash);

/* 1: it is the password; 0: it is not; a code as above. */
MUST_CHECK int password_verify(struct slice password, struct slice hash);

/* A new hash (scrypt) with a salt of its own; out has PASSWORD_HASH_MAX. The length or a code. */
MUST_CHECK int password_hash(struct slice password, char *out);

struct kdf {
    struct slice password, salt;
    int digest;          /* PBKDF2: enum dml_digest; scrypt: -1 */
    uint32_t iterations; /* PBKDF2 */
    uint64_t n;          /* scrypt */
    uint32_t r, p;
};

/* 0, ERR_ARG: a parameter that can't be, ERR_LIMIT: it would take too long or too much memory. */
MUST_CHECK int kdf_check(const struct kdf *k);
MUST_CHECK int kdf_run(const struct kdf *k, char *out, size_t len);

#endif
