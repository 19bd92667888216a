-- SPDX-License-Identifier: Apache-2.0

local options = require("demilune.identity").options

return {
  type = "object",
  properties = {
    components = {
      type = "array",
      description = "What a signature has to cover at least: parts of the request (@method ...) and header fields.",
      items = {
        type = "string",
        pattern = [[^(@(method|authority|scheme|path|query|request-target|target-uri)|[a-z0-9!#$%&'*+.^_`|~-]+)$]],
        ["not"] = { const = "host", description = 'the host is signed as "@authority"' },
        title = "a part such as @method, or a header field in small letters",
      },
      minItems = 1, uniqueItems = true,
      default = { "@method", "@authority", "@path", "@query" },
    },
    body_digest = {
      type = "boolean",
      description = "Requires that a request with a body has a Content-Digest, which is signed and is the body's.",
      default = true,
    },
    max_age = {
      type = "string", format = "duration",
      description = "How old a signature may be.",
      default = "5m", exclusiveMinimum = 0, maximum = 86400,
    },
    clock_skew = {
      type = "string", format = "duration",
      description = "How far the clients' clocks may be off.",
      default = "30s", maximum = 600,
    },
    replay = {
      type = "string", enum = { "deny", "allow" },
      description = "Whether a signature may be used again as long as it is not too old.",
      default = "deny",
    },
    hide_credentials = options.hide_credentials,
    anonymous = options.anonymous,
    consumer_header = options.consumer_header,
  },
}
