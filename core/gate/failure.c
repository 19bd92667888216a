/* SPDX-License-Identifier: Apache-2.0 */

/* Names of gRPC's statuses as in its own documentation, in small letters. A response of gRPC with messages has
 * its status in the trailers, too late for any verdict; one that failed at once has it in the head
 * ("Trailers-Only"). */

#include "gate/failure.h"

#include "base/err.h"
#include "base/text.h"
#include "gate/attempt.h"
#include "gate/health.h"

static const char *const kinds[] = {[FAILURE_CONNECT] = "connect",
                                    [FAILURE_RESET] = "reset",
                                    [FAILURE_TIMEOUT] = "timeout",
                                    [FAILURE_PROTOCOL] = "protocol"};

static const char *const grpc_names[] = {
    "ok",        "cancelled",      "unknown",           "invalid_argument",   "deadline_exceeded",
    "not_found", "already_exists", "permission_denied", "resource_exhausted", "failed_precondition",
    "aborted",   "out_of_range",   "unimplemented",     "internal",           "unavailable",
    "data_loss", "unauthenticated"};

static int index_of(const char *const *names, size_t n, struct slice word)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(slice_from(names[i]), word))
            return (int)i;
    return -1;
}

static void add_status(struct failure_set *set, int status)
{
    set->statuses[(status - 100) / 8] |= (uint8_t)(1u << (status - 100) % 8);
}

static int add_statuses(struct failure_set *set, struct slice word)
{
    bool is_class = slice_ends(word, SLICE("xx"));
    uint64_t first;

    if (word.len != 3 || text_to_u64(is_class ? slice_sub(word, 0, 1) : word, 599, &first) < 0)
        return ERR_SYNTAX;
    if (is_class)
        first *= 100;
    if (first < 100 || first > 599)
        return ERR_SYNTAX;
    for (int i = 0; i < (is_class ? 100 : 1); i++)
        add_status(set, (int)first + i);
    return 0;
}

int failure_add(struct failure_set *set, struct slice word)
{
    int kind = index_of(kinds, COUNT_OF(kinds), word);

    if (kind >= 0) {
        set->kinds |= 1u << kind;
        return 0;
    }
    if (!slice_starts(word, SLICE("grpc:")))
        return add_statuses(set, word);
    int status = index_of(grpc_names, COUNT_OF(grpc_names), slice_from_index(word, 5));
    if (status < 0)
        return ERR_SYNTAX;
    set->grpc |= 1u << status;
    return 0;
}

bool failure_is_own(const struct attempt *a)
{
    return a->err && !health_is_fault(a->err);
}

static bool has_kind(const struct failure_set *set, const struct attempt *a)
{
    int kind = failure_is_own(a)
                   ? -1
                   : index_of(kinds, COUNT_OF(kinds), slice_from(attempt_error_word(a)));

    return kind >= 0 && (set->kinds & (1u << kind));
}

static bool has_grpc(const struct failure_set *set, const struct message *m)
{
    struct slice text = headers_get_id(&m->headers, HEADER_GRPC_STATUS);
    uint64_t status;

    return text.ptr && text_to_u64(text, COUNT_OF(grpc_names) - 1, &status) == 0 &&
           (set->grpc & (1u << status));
}

bool failure_has(const struct failure_set *set, const struct attempt *a)
{
    if (a->err)
        return has_kind(set, a);
    int status = a->response->status;
    if (status >= 100 && status < 600 &&
        (set->statuses[(status - 100) / 8] & (1u << (status - 100) % 8)))
        return true;
    return UNLIKELY(set->grpc) && has_grpc(set, a->response);
}
