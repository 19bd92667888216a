/* SPDX-License-Identifier: Apache-2.0 */

/* OAuth tokens for SASL OAUTHBEARER (RFC 7628): a JWT in a file that somebody else keeps fresh (a projected service
 * account token, an agent). librdkafka asks for it at the start and when four fifths of its life have passed. */

#ifndef DML_SIDE_KAFKA_TOKEN_H
#define DML_SIDE_KAFKA_TOKEN_H

#include "base/base.h"
#include "base/slice.h"

enum { KAFKA_TOKEN_MAX = 65536 };

struct kafka_token {
    int64_t expires_ms;  /* since 1970 */
    char principal[256]; /* its subject */
};

/* What the token says of itself; its signature is for the brokers to verify. NULL, or what is wrong with it. */
const char *kafka_token_parse(struct slice text, struct kafka_token *out);

/* The token in the file, NUL-terminated, in out. NULL, or what is wrong. */
const char *kafka_token_read(const char *path, char out[KAFKA_TOKEN_MAX + 1],
                             struct kafka_token *token);

#endif
