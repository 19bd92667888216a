-- SPDX-License-Identifier: Apache-2.0

return {
  type = "object",
  properties = {
    to = {
      type = "string", minLength = 1, default = "stdout",
      description = "Where lines go: stdout, or the path of a file.",
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
          items = {
            anyOf = {
              { type = "integer", minimum = 100, maximum = 599 },
              {
                type = "string", pattern = [[^([1-5]xx|[1-5]\d\d(-[1-5]\d\d)?)$]],
                title = "a class such as 5xx or a range such as 400-499",
              },
            },
          },
          description = "Only these statuses: 404, 5xx, 400-499.",
        },
      },
      required = { "status" },
      description = "Which requests get a line; absent = all.",
    },
  },
}
