-- SPDX-License-Identifier: Apache-2.0

local ranges = require "demilune.ranges"

return {
  type = "object",
  properties = {
    to = {
      type = "string", minLength = 1, default = "stdout",
      description = "Where lines go: stdout, the path of a file, or kafka:NAME/TOPIC with the name of a cluster.",
    },
    mode = {
      enum = { "best_effort", "accept" },
      description = "For Kafka. best_effort (unless given): a line that finds the queue full is lost, and counted. "
        .. "accept: through the spill.",
    },
    fields = {
      type = "object",
      minProperties = 1,
      additionalProperties = { type = "string" },
      description = "The fields of a line: a template by each name; absent = the usual ones (see below).",
    },
    when = {
      type = "object",
      properties = {
        status = {
          type = "array", minItems = 1, maxItems = 16,
          items = ranges.schema,
          description = "Only these statuses: 404, 5xx, 400-499.",
        },
      },
      required = { "status" },
      description = "Which requests get a line; absent = all.",
    },
  },
}
