/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of Redis for Lua (call_redis.c, call_redis_sub.c) have in common. */

#ifndef DML_SCRIPT_CALL_REDIS_H
#define DML_SCRIPT_CALL_REDIS_H

#include "base/slice.h"
#include "script/co.h"

struct redis_server;

/* The server of the client that is the argument. */
struct redis_server *redis_check_server(lua_State *L, int arg);

/* Words of a command, gathered from Lua: texts as they are, numbers as texts. What does not fit is memory that lies on
 * L's stack, so the words live as long as L's values and this struct. */
enum { REDIS_WORDS = 32, REDIS_NUMBER = 32 };

struct redis_words {
    struct slice *items;
    char *numbers;
    uint32_t n;
    struct slice few[REDIS_WORDS];
    char few_numbers[REDIS_WORDS * REDIS_NUMBER];
};

/* Room for so many. */
void redis_words_init(lua_State *L, struct redis_words *w, uint32_t room);

/* Adds the value at index; raises when it is neither a text nor a number. It stays alive on L, or in a table there. */
void redis_words_add(lua_State *L, struct redis_words *w, int index);

#endif
