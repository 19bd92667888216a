/* SPDX-License-Identifier: Apache-2.0 */

/* librdkafka's options, one at a time: which there are, and which the gateway keeps for itself. For kafka_cluster.c. */

#ifndef DML_SIDE_KAFKA_OPTION_H
#define DML_SIDE_KAFKA_OPTION_H

#include "side/kafka_cluster.h"

enum { KAFKA_FAULT_TEXT = 512 };

/* Sets it. False, with the fault. */
bool kafka_option_set(struct rd_kafka_conf_s *conf, const struct kafka_option *option,
                      char fault[KAFKA_FAULT_TEXT]);

#endif
