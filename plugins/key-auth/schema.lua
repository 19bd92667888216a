-- SPDX-License-Identifier: Apache-2.0

return {
  type = "object",
  properties = {
    names = {
      type = "array", minItems = 1, maxItems = 8, default = { "header:x-api-key" },
      items = { type = "string", format = "selector" },
      description = "Where the key is looked for (selectors: header, query, cookie), in this order.",
    },
    hide_credentials = {
      type = "boolean", default = true,
      description = "Take the key out of the request before it goes upstream.",
    },
    anonymous = {
      type = "string", minLength = 1,
      description = "Name of the consumer that a request without a valid key counts as; absent = it is refused.",
    },
    consumer_header = {
      type = "string", format = "header", default = "X-Consumer",
      description = "The field that tells the upstream the consumer's name. The client's own is always removed.",
    },
  },
}
