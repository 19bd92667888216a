-- SPDX-License-Identifier: Apache-2.0

local options = require("demilune.identity").options

return {
  type = "object",
  properties = {
    anonymous = options.anonymous,
    consumer_header = options.consumer_header,
  },
}
