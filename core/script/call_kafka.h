/* SPDX-License-Identifier: Apache-2.0 */

/* What call_kafka.c gives to the test kit: clients of clusters that no configuration has. */

#ifndef DML_SCRIPT_CALL_KAFKA_H
#define DML_SCRIPT_CALL_KAFKA_H

#include "script/co.h"

#include "side/kafka.h"
#include "side/kafka_cluster.h"

/* publishes: its producer is started; raises when that can't be. Needs demilune.kafka to be loaded. */
void kafka_push_client(lua_State *L, struct kafka_cluster *cluster, bool publishes);

#endif
