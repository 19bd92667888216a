-- SPDX-License-Identifier: Apache-2.0

local options = require("demilune.identity").options

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
    hide_credentials = options.hide_credentials,
    anonymous = options.anonymous,
    consumer_header = options.consumer_header,
  },
}
