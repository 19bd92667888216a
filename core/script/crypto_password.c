/* SPDX-License-Identifier: Apache-2.0 */

/* scrypt and PBKDF2 are OpenSSL's, the forms of crypt(3) are libxcrypt's. What a hash asks for is bounded before
 * anything is computed: one mistyped digit of a cost would keep a thread busy for days. */

#include "script/crypto_password.h"

#include <crypt.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdio.h>

#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"
#include "script/crypto_thread.h"

#define ITERATIONS_MAX 10000000
#define SCRYPT_MEMORY_MAX (256ull * MIB)
#define SHA_ROUNDS_MAX 5000000
#define BCRYPT_COST_MAX 16

enum { SALT = 16, HASH = 32, HASH_LEAST = 16, HASH_MOST = 64 };

/* --- keys of passwords -------------------------------------------------------------------------------------------------- */

int kdf_check(const struct kdf *k)
{
    if (k->digest >= 0) {
        if (!crypto_digest(k->digest) || k->iterations == 0)
            return ERR_ARG;
        return k->iterations > ITERATIONS_MAX ? ERR_LIMIT : 0;
    }
    if (k->n < 2 || k->n & (k->n - 1) || k->r == 0 || k->p == 0)
        return ERR_ARG;
    if (k->n > 1u << 20 || k->r > 32 || k->p > 16 || 128 * k->n * k->r > SCRYPT_MEMORY_MAX)
        return ERR_LIMIT;
    return 0;
}

static int run_scrypt(const struct kdf *k, unsigned char *out, size_t len)
{
    return EVP_PBE_scrypt(k->password.ptr, k->password.len, (const unsigned char *)k->salt.ptr,
                          k->salt.len, k->n, k->r, k->p, 2 * SCRYPT_MEMORY_MAX, out, len);
}

int kdf_run(const struct kdf *k, char *out, size_t len)
{
    int rc = kdf_check(k);

    if (rc < 0)
        return rc;
    if (k->digest < 0)
        rc = run_scrypt(k, (unsigned char *)out, len);
    else
        rc = PKCS5_PBKDF2_HMAC(k->password.ptr, (int)k->password.len,
                               (const unsigned char *)k->salt.ptr, (int)k->salt.len,
                               (int)k->iterations, crypto_digest(k->digest), (int)len,
                               (unsigned char *)out);
    if (rc == 1)
        return 0;
    crypto_forget_errors();
    return ERR_SYSTEM;
}

/* --- forms of hashes ---------------------------------------------------------------------------------------------------- */

struct phc {
    struct kdf kdf;
    char salt[64], hash[HASH_MOST];
    size_t hash_len;
};

/* Base64 of either alphabet, or with '.' for '+' (as passlib writes it), without padding. */
static ssize_t unbase64(struct slice text, char *out, size_t room)
{
    char url[4 * HASH_MOST / 3 + 4];

    if (text.len == 0 || text.len >= sizeof(url) || text.len * 3 / 4 > room)
        return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '=')
            return ERR_SYNTAX;
        url[i] = (char)(c == '+' || c == '.' ? '-' : c == '/' ? '_' : c);
    }
    return text_unbase64(slice_of(url, text.len), TEXT_URL, out);
}

/* "ln=15,r=8,p=3" */
static int read_scrypt_cost(struct slice text, struct kdf *k)
{
    struct slice part;
    uint64_t n;

    k->digest = -1;
    while (slice_split(&text, ',', &part)) {
        ssize_t at = slice_find_char(part, '=');
        if (at < 0 || text_to_u64(slice_from_index(part, (size_t)at + 1), 255, &n) < 0)
            return ERR_SYNTAX;
        struct slice name = slice_sub(part, 0, (size_t)at);
        if (slice_eq(name, SLICE("ln")))
            k->n = n < 63 ? (uint64_t)1 << n : UINT64_MAX / 2 + 1;
        else if (slice_eq(name, SLICE("r")))
            k->r = (uint32_t)n;
        else if (slice_eq(name, SLICE("p")))
            k->p = (uint32_t)n;
        else
            return ERR_SYNTAX;
    }
    return 0;
}

/* "600000", or "i=600000" */
static int read_iterations(struct slice text, struct kdf *k)
{
    uint64_t n;

    if (slice_starts(text, SLICE("i=")))
        text = slice_from_index(text, 2);
    if (text_to_u64(text, UINT32_MAX, &n) < 0)
        return ERR_SYNTAX;
    k->iterations = (uint32_t)n;
    return 0;
}

/* Behind the name: cost$salt$hash. */
static int read_phc(struct slice rest, bool is_scrypt, int digest, struct phc *out)
{
    struct slice cost, salt, hash;

    *out = (struct phc){.kdf.digest = digest};
    if (!slice_split(&rest, '$', &cost) || !slice_split(&rest, '$', &salt) ||
        !slice_split(&rest, '$', &hash) || rest.ptr)
        return ERR_SYNTAX;
    int rc = is_scrypt ? read_scrypt_cost(cost, &out->kdf) : read_iterations(cost, &out->kdf);
    ssize_t salt_len = unbase64(salt, out->salt, sizeof(out->salt));
    ssize_t hash_len = unbase64(hash, out->hash, sizeof(out->hash));
    if (rc < 0 || salt_len < 0 || hash_len < HASH_LEAST)
        return ERR_SYNTAX;
    out->hash_len = (size_t)hash_len;
    out->kdf.salt = slice_of(out->salt, (size_t)salt_len);
    return kdf_check(&out->kdf);
}

enum form { FORM_NONE, FORM_SCRYPT, FORM_PBKDF2, FORM_BCRYPT, FORM_SHA, FORM_YESCRYPT };

static const struct {
    const char *prefix;
    enum form form;
    int digest;
} forms[] = {
    {"$scrypt$", FORM_SCRYPT, -1},
    {"$pbkdf2-sha256$", FORM_PBKDF2, DML_SHA256},
    {"$pbkdf2-sha512$", FORM_PBKDF2, DML_SHA512},
    {"$2a$", FORM_BCRYPT, -1},
    {"$2b$", FORM_BCRYPT, -1},
    {"$2y$", FORM_BCRYPT, -1},
    {"$5$", FORM_SHA, -1},
    {"$6$", FORM_SHA, -1},
    {"$y$", FORM_YESCRYPT, -1},
};

/* The forms of crypt(3): only the cost is looked at, the rest is libxcrypt's. */
static int check_crypt(enum form form, struct slice rest)
{
    struct slice first;
    uint64_t n;

    if (!slice_split(&rest, '$', &first) || !rest.ptr || rest.len == 0)
        return ERR_SYNTAX;
    if (form == FORM_BCRYPT) {
        if (text_to_u64(first, 99, &n) < 0 || n < 4)
            return ERR_SYNTAX;
        return n > BCRYPT_COST_MAX ? ERR_LIMIT : 0;
    }
    if (form ==
        FORM_YESCRYPT) /* "j9T": the second doubles the memory with each step; D is 256 MiB */
        return first.len < 3 || first.ptr[0] != 'j' ? ERR_SYNTAX
               : first.ptr[1] > 'D'                 ? ERR_LIMIT
                                                    : 0;
    if (!slice_starts(first, SLICE("rounds=")))
        return 0;
    if (text_to_u64(slice_from_index(first, 7), UINT32_MAX, &n) < 0)
        return ERR_SYNTAX;
    return n > SHA_ROUNDS_MAX ? ERR_LIMIT : 0;
}

/* The form, with its parts for those of PHC, or a code. */
static int read_form(struct slice hash, struct phc *phc)
{
    if (hash.len >= PASSWORD_HASH_MAX || slice_find_char(hash, '\0') >= 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        struct slice prefix = slice_from(forms[i].prefix);
        if (!slice_starts(hash, prefix))
            continue;
        struct slice rest = slice_from_index(hash, prefix.len);
        enum form form = forms[i].form;
        int rc = form == FORM_SCRYPT || form == FORM_PBKDF2
                     ? read_phc(rest, form == FORM_SCRYPT, forms[i].digest, phc)
                     : check_crypt(form, rest);
        return rc < 0 ? rc : (int)form;
    }
    return ERR_NOT_IMPLEMENTED;
}

int password_form(struct slice hash)
{
    struct phc phc;

    return MIN(read_form(hash, &phc), 0);
}

static int verify_phc(struct slice password, struct phc *phc)
{
    char made[HASH_MOST];

    phc->kdf.password = password;
    int rc = kdf_run(&phc->kdf, made, phc->hash_len);
    if (rc == 0)
        rc = CRYPTO_memcmp(made, phc->hash, phc->hash_len) == 0;
    OPENSSL_cleanse(made, sizeof(made));
    return rc;
}

static int verify_crypt(struct slice password, struct slice hash)
{
    struct crypt_data *work = OPENSSL_zalloc(sizeof(*work)); /* 32 KiB */
    char phrase[PASSWORD_MAX + 1], setting[PASSWORD_HASH_MAX];
    int rc = ERR_SYSTEM;

    if (work) {
        memcpy(phrase, password.ptr, password.len);
        phrase[password.len] = '\0';
        memcpy(setting, hash.ptr, hash.len);
        setting[hash.len] = '\0';
        const char *made = crypt_rn(phrase, setting, work, sizeof(*work));
        rc = made ? slice_eq_secret(slice_from(made), hash) : ERR_SYNTAX;
    }
    OPENSSL_clear_free(work, sizeof(*work));
    OPENSSL_cleanse(phrase, sizeof(phrase));
    return rc;
}

int password_verify(struct slice password, struct slice hash)
{
    struct phc phc;
    int form = read_form(hash, &phc);

    if (form < 0)
        return form;
    /* crypt(3) would see only what stands before a NUL, and for HMAC, in PBKDF2, one at the end is as good as none. */
    if (password.len > PASSWORD_MAX || slice_find_char(password, '\0') >= 0)
        return 0;
    if (form == FORM_SCRYPT || form == FORM_PBKDF2)
        return verify_phc(password, &phc);
    return verify_crypt(password, hash);
}

int password_hash(struct slice password, char *out)
{
    char salt[SALT], hash[HASH], salt_text[TEXT_BASE64_SIZE(SALT)],
        hash_text[TEXT_BASE64_SIZE(HASH)];

    if (password.len == 0 || password.len > PASSWORD_MAX)
        return password.len == 0 ? ERR_ARG : ERR_LIMIT;
    rand_secure(salt, sizeof(salt));
    const struct kdf k = {.password = password,
                          .salt = slice_of(salt, sizeof(salt)),
                          .digest = -1,
                          .n = 1 << 15,
                          .r = 8,
                          .p = 3};
    int rc = kdf_run(&k, hash, sizeof(hash));
    if (rc < 0)
        return rc;
    size_t salt_len = text_base64(salt, sizeof(salt), TEXT_NO_PAD, salt_text);
    size_t hash_len = text_base64(hash, sizeof(hash), TEXT_NO_PAD, hash_text);
    return snprintf(out, PASSWORD_HASH_MAX, "$scrypt$ln=15,r=8,p=3$%.*s$%.*s", (int)salt_len,
                    salt_text, (int)hash_len, hash_text);
}
