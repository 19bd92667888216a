/* SPDX-License-Identifier: Apache-2.0 */

/* What call_kafka.c gives to the others: clients of clusters that no configuration has, for the test kit; records as Lua
 * writes them, for the spill. */

#ifndef DML_SCRIPT_CALL_KAFKA_H
#define DML_SCRIPT_CALL_KAFKA_H

#include "script/co.h"

#include "side/kafka.h"
#include "side/kafka_cluster.h"

/* publishes: its producer is started; raises when that can't be. Needs demilune.kafka to be loaded. */
void kafka_push_client(lua_State *L, struct kafka_cluster *cluster, bool publishes);

/* The cluster of the client that is the first argument. */
struct kafka_cluster *kafka_check_client(lua_State *L);

struct kafka_reading {
    struct kafka_record record;
    struct kafka_header headers[KAFKA_HEADERS_MAX];
};

/* The record that the table at this index describes, which keeps its texts; raises for what can't be one. */
void kafka_read_record(lua_State *L, int table, struct kafka_reading *r);

/* One of its texts, or absent. */
struct slice kafka_text_field(lua_State *L, int table, const char *name);

/* Pushes nil, word, text for people; returns how many. */
int kafka_push_failure(lua_State *L, const struct kafka_cluster *c, int err);

#endif
