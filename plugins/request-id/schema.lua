-- SPDX-License-Identifier: Apache-2.0

return {
  type = "object",
  properties = {
    header = {
      type = "string", format = "settable-header", default = "X-Request-ID",
      description = "The field that carries the id, in the request to the upstream and in the response.",
    },
    accept = {
      enum = { "trusted", "always", "never" }, default = "trusted",
      description = "Whose id is taken over: that of clients in trusted_proxies, everyone's, or nobody's.",
    },
  },
}
