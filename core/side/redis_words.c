/* SPDX-License-Identifier: Apache-2.0 */

/* Commands that do not suit a connection which others share: those that block it until something happens, those that
 * change what it is (its user, database, protocol, a transaction), and those that make it push. */

#include "base/base.h"
#include "side/redis.h"

static const char blocks[] =
    "would hold up everybody else on the connection: it waits in the server";
static const char changes[] = "would change the connection, which others share";
static const char pushes[] = "makes a connection of its own: use :subscribe";
static const char wraps[] = "needs the connection to itself: use :transaction";

static const struct {
    struct slice word;
    const char *why;
} refused[] = {
    {{"AUTH", 4}, changes},        {{"BLMOVE", 6}, blocks},        {{"BLMPOP", 6}, blocks},
    {{"BLPOP", 5}, blocks},        {{"BRPOP", 5}, blocks},         {{"BRPOPLPUSH", 10}, blocks},
    {{"BZMPOP", 6}, blocks},       {{"BZPOPMAX", 8}, blocks},      {{"BZPOPMIN", 8}, blocks},
    {{"DISCARD", 7}, wraps},       {{"EXEC", 4}, wraps},           {{"HELLO", 5}, changes},
    {{"MONITOR", 7}, changes},     {{"MULTI", 5}, wraps},          {{"PSUBSCRIBE", 10}, pushes},
    {{"PSYNC", 5}, changes},       {{"PUNSUBSCRIBE", 12}, pushes}, {{"QUIT", 4}, changes},
    {{"RESET", 5}, changes},       {{"SELECT", 6}, changes},       {{"SSUBSCRIBE", 10}, pushes},
    {{"SUBSCRIBE", 9}, pushes},    {{"SUNSUBSCRIBE", 12}, pushes}, {{"SYNC", 4}, changes},
    {{"UNSUBSCRIBE", 11}, pushes}, {{"UNWATCH", 7}, wraps},        {{"WAIT", 4}, blocks},
    {{"WAITAOF", 7}, blocks},      {{"WATCH", 5}, wraps},
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

    for (size_t i = 0; i < COUNT_OF(refused); i++)
        if (UNLIKELY(refused[i].word.len == name.len && slice_eq_nocase(refused[i].word, name)))
            return refused[i].why;
    if (slice_eq_nocase(name, SLICE("CLIENT")) && n > 1 &&
        slice_eq_nocase(words[1], SLICE("REPLY")))
        return changes;
    bool reads =
        slice_eq_nocase(name, SLICE("XREAD")) || slice_eq_nocase(name, SLICE("XREADGROUP"));
    return reads && has_word(words + 1, n - 1, SLICE("BLOCK")) ? blocks : NULL;
}
