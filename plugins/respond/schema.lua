-- SPDX-License-Identifier: Apache-2.0

return {
  type = "object",
  properties = {
    status = { type = "integer", minimum = 200, maximum = 599, default = 200, description = "Status of the answer." },
    headers = {
      type = "object",
      propertyNames = { format = "header" },
      additionalProperties = { type = { "string", "number", "boolean" }, format = "template" },
      default = {},
      description = "Header fields of the answer. Values are templates; one that comes out empty is left out.",
    },
    body = { type = "string", format = "template", default = "", description = "Body of the answer, a template." },
    when = {
      type = "string", format = "selector",
      description = "Answer only requests that have this part (a selector); absent = all.",
    },
  },
}
