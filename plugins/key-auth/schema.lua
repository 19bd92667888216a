-- SPDX-License-Identifier: Apache-2.0

return {
  type = "object",
  properties = {
    names = {
      type = "array",
      description = "Where a key may stand: selectors, tried in this order.",
      items = {
        type = "string", format = "selector", pattern = "^(header|query|cookie):",
        title = "header:NAME, query:NAME or cookie:NAME",
      },
      minItems = 1,
      default = { "header:x-api-key" },
    },
    hide_credentials = {
      type = "boolean",
      description = "Takes the key away from the request, so that the upstream does not see it.",
      default = true,
    },
    anonymous = {
      type = "string",
      description = "The consumer that a request without a valid key is taken for, instead of being refused.",
    },
    consumer_header = {
      type = "string",
      format = "header",
      description = "The request header that tells the upstream the consumer's name. The client's own is removed.",
      default = "X-Consumer",
    },
  },
}
