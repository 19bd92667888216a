/* SPDX-License-Identifier: Apache-2.0 */

/* Of the token only its payload is looked at, and there only exp and sub. */

#include "side/kafka_token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/json.h"
#include "base/text.h"

#define DEPTH_MAX 32
#define SECONDS_MAX 1e11

/* The values of the two keys at the top of the object. */
static int read_claims(struct slice json, struct kafka_token *out)
{
    enum { OTHER, EXP, SUB } at = OTHER;
    struct json_reader r;
    int event, depth = 0;

    json_reader_init(&r, json, DEPTH_MAX);
    while ((event = json_read(&r)) > 0 && event != JSON_END) {
        if (event == JSON_OBJECT || event == JSON_ARRAY)
            depth++;
        else if (event == JSON_OBJECT_END || event == JSON_ARRAY_END)
            depth--;
        else if (event == JSON_NUMBER && at == EXP && r.number >= 0 && r.number < SECONDS_MAX)
            out->expires_ms = (int64_t)(r.number * 1000);
        else if (event == JSON_STRING && at == SUB)
            snprintf(out->principal, sizeof(out->principal), "%.*s", SLICE_ARG(r.string));
        at = OTHER;
        if (event == JSON_KEY && depth == 1)
            at = slice_eq(r.string, SLICE("exp"))   ? EXP
                 : slice_eq(r.string, SLICE("sub")) ? SUB
                                                    : OTHER;
    }
    json_reader_deinit(&r);
    return event == JSON_END ? 0 : -1;
}

const char *kafka_token_parse(struct slice text, struct kafka_token *out)
{
    struct slice rest = text, part;
    const char *wrong = NULL;

    *out = (struct kafka_token){.principal = "demilune"};
    if (text.len > KAFKA_TOKEN_MAX)
        return "is longer than 64 KiB";
    if (!slice_split(&rest, '.', &part) || !slice_split(&rest, '.', &part) || !rest.ptr)
        return "is not a JWT";
    char *json = malloc(part.len + 1);
    REQUIRE(json != NULL);
    ssize_t n = text_unbase64(part, TEXT_URL | TEXT_NO_PAD, json);
    if (n < 0 || read_claims(slice_of(json, (size_t)n), out) < 0)
        wrong = "is not a JWT: its payload is no JSON in base64url";
    else if (out->expires_ms == 0)
        wrong = "does not say when it expires (exp)";
    free(json);
    return wrong;
}

const char *kafka_token_read(const char *path, char out[KAFKA_TOKEN_MAX + 1],
                             struct kafka_token *token)
{
    FILE *f = fopen(path, "re");

    if (!f)
        return strerror(errno);
    size_t n = fread(out, 1, KAFKA_TOKEN_MAX + 1, f);
    bool has_failed = ferror(f);
    fclose(f);
    if (has_failed)
        return "can't be read";
    if (n > KAFKA_TOKEN_MAX)
        return "is longer than 64 KiB";
    while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r' || out[n - 1] == ' '))
        n--;
    out[n] = '\0';
    return kafka_token_parse(slice_of(out, n), token);
}
