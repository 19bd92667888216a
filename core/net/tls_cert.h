/* SPDX-License-Identifier: Apache-2.0 */

/* A certificate with its chain and its key, read from PEM texts and checked: what a listener or a
 * client certificate stands on. Counted (net/tls_shared.h). */

#ifndef DML_NET_TLS_CERT_H
#define DML_NET_TLS_CERT_H

#include "base/base.h"
#include "base/slice.h"
#include "net/tls_shared.h"

/* One certificate for each of these may stand under the same name. */
enum tls_key { TLS_KEY_RSA, TLS_KEY_ECDSA, TLS_KEY_EDDSA };

struct tls_cert {
    struct tls_shared shared;
    /* owned */
    void *leaf, *key, *chain; /* X509, EVP_PKEY, STACK_OF(X509) or NULL */
    struct slice *names;      /* DNS names, lower case, some with a wildcard label "*." */
    /* state */
    uint32_t nnames;
    enum tls_key kind;
    int64_t not_before, not_after; /* seconds since 1970 */
};

/* Why there is no certificate: a sentence's end about one of the two texts. */
struct tls_fault {
    bool of_key;
    char text[200];
};

#define TLS_ANY_TIME (-1) /* for now_s: whatever the dates are */

/* Keys that are too weak, that do not fit, certificates that are not valid at now_s (seconds since
 * 1970) are refused: ERR_TLS with *fault. Any thread. */
MUST_CHECK int tls_cert_make(struct slice cert_pem, struct slice key_pem, int64_t now_s,
                             struct tls_cert **out, struct tls_fault *fault);

static inline struct tls_cert *tls_cert_ref(struct tls_cert *c)
{
    tls_shared_ref(&c->shared);
    return c;
}

/* NULL is fine. */
void tls_cert_unref(struct tls_cert *c);

/* For the files of TLS: a digest of the kind and of all parts, each with its length. */
void tls_digest(const char *kind, const struct slice *parts, size_t n, char out[TLS_IDENTITY]);

/* For the files of TLS: the certificates in a PEM text, STACK_OF(X509); NULL when there is none, or
 * one that can't be read. */
void *tls_certs_read(struct slice pem);

/* For the files of TLS: an X509_STORE in which each certificate of the text is an authority, be it a
 * root or not; NULL as above. */
void *tls_store_new(struct slice pem);

#define TLS_SECURITY_LEVEL 2 /* OpenSSL's: 112 bits */

/* For the files of TLS: what OpenSSL's error queue says first, as a static text; the queue is empty
 * afterwards. */
const char *tls_why(void);

#endif
