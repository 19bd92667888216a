/* SPDX-License-Identifier: Apache-2.0 */

/* Commands that do not suit a connection which others share: those that block it until something happens, those that
 * change what it is (its user, database, protocol, a transaction), and those that make it push. By length, so that most
 * commands are compared with a few words only. */

#include "side/redis.h"

static const char blocks[] =
    "would hold up everybody else on the connection: it waits in the server";
static const char changes[] = "would change the connection, which others share";
static const char pushes[] = "makes a connection of its own: use :subscribe";
static const char wraps[] = "needs the connection to itself: use :transaction";

struct word {
    const char *name; /* NULL behind the last */
    const char *why;
};

#define WORDS_MAX 8

static const struct word refused[][WORDS_MAX] = {
    [4] = {{"AUTH", changes},
           {"EXEC", wraps},
           {"QUIT", changes},
           {"SYNC", changes},
           {"WAIT", blocks}},
    [5] = {{"BLPOP", blocks},
           {"BRPOP", blocks},
           {"HELLO", changes},
           {"MULTI", wraps},
           {"PSYNC", changes},
           {"RESET", changes},
           {"WATCH", wraps}},
    [6] = {{"BLMOVE", blocks}, {"BLMPOP", blocks}, {"BZMPOP", blocks}, {"SELECT", changes}},
    [7] = {{"DISCARD", wraps}, {"MONITOR", changes}, {"UNWATCH", wraps}, {"WAITAOF", blocks}},
    [8] = {{"BZPOPMAX", blocks}, {"BZPOPMIN", blocks}},
    [9] = {{"SUBSCRIBE", pushes}},
    [10] = {{"BRPOPLPUSH", blocks}, {"PSUBSCRIBE", pushes}, {"SSUBSCRIBE", pushes}},
    [11] = {{"UNSUBSCRIBE", pushes}},
    [12] = {{"PUNSUBSCRIBE", pushes}, {"SUNSUBSCRIBE", pushes}},
};

static bool has_word(const struct slice *words, size_t n, struct slice word)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_nocase(words[i], word))
            return true;
    return false;
}

const char *redis_command_fault(const struct slice *words, size_t n)
{
    struct slice name = words[0];

    for (size_t i = 0; name.len < COUNT_OF(refused) && refused[name.len][i].name; i++)
        if (slice_eq_nocase(slice_of(refused[name.len][i].name, name.len), name))
            return refused[name.len][i].why;
    if (slice_eq_nocase(name, SLICE("CLIENT")) && n > 1 &&
        slice_eq_nocase(words[1], SLICE("REPLY")))
        return changes;
    bool reads =
        slice_eq_nocase(name, SLICE("XREAD")) || slice_eq_nocase(name, SLICE("XREADGROUP"));
    return reads && has_word(words + 1, n - 1, SLICE("BLOCK")) ? blocks : NULL;
}
