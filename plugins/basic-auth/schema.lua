-- SPDX-License-Identifier: Apache-2.0

local options = require("demilune.identity").options

return {
  type = "object",
  properties = {
    names = {
      type = "array",
      description = "The headers that may have the credentials, tried in this order.",
      items = {
        type = "string", format = "selector", pattern = "^header:", title = "header:NAME",
      },
      minItems = 1,
      default = { "header:authorization" },
    },
    realm = {
      type = "string",
      description = "What is asked for: browsers show it to the user.",
      pattern = [[^[\x20-\x21\x23-\x5b\x5d-\x7e]+$]],
      title = "visible ASCII characters without quotes and backslashes",
      maxLength = 128,
      default = "restricted",
    },
    remember = {
      type = "string", format = "duration",
      description = "How long a password that was verified is known without hashing it again; 0s = not at all.",
      default = "5m", maximum = 86400,
    },
    hide_credentials = options.hide_credentials,
    anonymous = options.anonymous,
    consumer_header = options.consumer_header,
  },
}
