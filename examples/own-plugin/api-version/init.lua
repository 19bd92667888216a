-- SPDX-License-Identifier: Apache-2.0

-- Tells a service which version of its API is meant: a client that does not say so means the
-- default. The answer says which version was used.

local ApiVersion = {
  name = "api-version",
  version = "1.0.0",
  schema = {
    type = "object",
    properties = {
      default = { type = "string", default = "1", description = "The version of clients that name none." },
    },
  },
}
ApiVersion.__index = ApiVersion

function ApiVersion.new(config)
  return setmetatable({ default = config.default }, ApiVersion)
end

function ApiVersion:access(exchange)
  local headers = exchange.request.headers
  if headers["api-version"] == nil then
    headers["api-version"] = self.default
  end
end

function ApiVersion:response(exchange)
  exchange.response.headers["api-version"] = exchange.request.headers["api-version"]
end

return ApiVersion
