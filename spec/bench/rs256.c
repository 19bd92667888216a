/* SPDX-License-Identifier: Apache-2.0 */

/* RS256 by OpenSSL alone, of a private key in a PEM file. `sign KEY COUNT` prints so many access tokens, no two alike.
 * `verify KEY` prints what one signature costs to verify: microseconds of CPU time for a digest and EVP_PKEY_verify in a
 * context that is ready, the least that OpenSSL can do it for. */

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HEADER "{\"alg\":\"RS256\",\"kid\":\"bench\",\"typ\":\"at+jwt\"}"
#define CLAIMS \
    "{\"iss\":\"https://id.example.com\",\"aud\":\"orders\",\"sub\":\"248289761001\"," \
    "\"client_id\":\"web\",\"scope\":\"orders:read orders:write\",\"jti\":\"%08lu\"," \
    "\"iat\":1700000000,\"exp\":4102444800}"

enum { SIGNATURE_MAX = 1024, TIMES = 4000 };

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "rs256: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static size_t base64url(const void *bytes, size_t len, char *out)
{
    size_t n = (size_t)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);

    while (n > 0 && out[n - 1] == '=')
        n--;
    out[n] = '\0';
    for (size_t i = 0; i < n; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    return n;
}

static EVP_PKEY *read_key(const char *path)
{
    FILE *file = fopen(path, "r");
    EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;

    if (!key)
        fail(path);
    fclose(file);
    return key;
}

static size_t sign(EVP_PKEY *key, const char *text, size_t len, unsigned char *signature)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    size_t signature_len = SIGNATURE_MAX;

    if (!md || EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) <= 0 ||
        EVP_DigestSign(md, signature, &signature_len, (const void *)text, len) <= 0)
        fail("can't sign");
    EVP_MD_CTX_free(md);
    return signature_len;
}

/* The signed part of a token. */
static size_t signed_part(char *out, unsigned long number)
{
    char claims[sizeof(CLAIMS) + 32];
    size_t at = base64url(HEADER, sizeof(HEADER) - 1, out);
    int len = snprintf(claims, sizeof(claims), CLAIMS, number);

    out[at++] = '.';
    return at + base64url(claims, (size_t)len, out + at);
}

static void print_tokens(EVP_PKEY *key, unsigned long count)
{
    char text[2048], coded[SIGNATURE_MAX * 2];
    unsigned char signature[SIGNATURE_MAX];

    for (unsigned long i = 0; i < count; i++) {
        size_t len = signed_part(text, i);
        base64url(signature, sign(key, text, len, signature), coded);
        printf("%s.%s\n", text, coded);
    }
}

static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void print_cost(EVP_PKEY *key)
{
    char text[2048];
    unsigned char signature[SIGNATURE_MAX], digest[EVP_MAX_MD_SIZE];
    size_t len = signed_part(text, 0), signature_len = sign(key, text, len, signature);
    unsigned digest_len;
    EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ready = EVP_PKEY_CTX_new(key, NULL);

    if (!sha256 || !md || !ready || EVP_PKEY_verify_init(ready) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(ready, RSA_PKCS1_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_signature_md(ready, sha256) <= 0)
        fail("can't begin");
    double begun = cpu_us();
    for (int i = 0; i < TIMES; i++)
        if (!EVP_DigestInit_ex2(md, sha256, NULL) || !EVP_DigestUpdate(md, text, len) ||
            !EVP_DigestFinal_ex(md, digest, &digest_len) ||
            EVP_PKEY_verify(ready, signature, signature_len, digest, digest_len) <= 0)
            fail("can't verify");
    printf("%.3f\n", (cpu_us() - begun) / TIMES);
    EVP_PKEY_CTX_free(ready);
    EVP_MD_CTX_free(md);
    EVP_MD_free(sha256);
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "sign"))
        print_tokens(read_key(argv[2]), strtoul(argv[3], NULL, 10));
    else if (argc == 3 && !strcmp(argv[1], "verify"))
        print_cost(read_key(argv[2]));
    else
        return fputs("usage: rs256 sign KEY COUNT | rs256 verify KEY\n", stderr), 2;
    return 0;
}
