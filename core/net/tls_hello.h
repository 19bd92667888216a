/* SPDX-License-Identifier: Apache-2.0 */

/* What a ClientHello asks for, read from the bodies of its extensions, before OpenSSL has looked at
 * them. Pure functions over bytes of strangers. */

#ifndef DML_NET_TLS_HELLO_H
#define DML_NET_TLS_HELLO_H

#include "base/base.h"
#include "base/slice.h"

#define TLS_NAME_MAX 255

/* The host name of a server_name extension (RFC 6066, 3), in lower case and without a final dot,
 * into `out` with a NUL; its length. 0: there is none, or none that could be a host's name (such a
 * handshake is OpenSSL's to refuse). */
size_t tls_hello_name(struct slice extension, char out[TLS_NAME_MAX + 1]);

/* The next protocol of an ALPN extension (RFC 7301, 3.1) or, for a list without the length in front,
 * of a bare list. False at the end, or where it is no list. */
bool tls_hello_protocol(struct slice *list, struct slice *out);

/* An ALPN extension -> its bare list; empty when it is none. */
struct slice tls_hello_protocols(struct slice extension);

#endif
