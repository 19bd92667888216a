/* SPDX-License-Identifier: Apache-2.0 */

/* A certificate that nobody has issued, for upstreams of specs: it is its own authority. */

#ifndef DML_NET_TLS_SELF_H
#define DML_NET_TLS_SELF_H

#include "base/base.h"

/* Both as PEM texts, which the caller frees: P-256, for localhost, 127.0.0.1 and [::1], from an hour ago to a day from now.
 * Any thread. */
void tls_self_signed(char **cert, char **key);

#endif
