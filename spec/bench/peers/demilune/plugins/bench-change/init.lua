-- SPDX-License-Identifier: Apache-2.0

-- Reads one header and sets another to its value.

local Change = {
  name = "bench-change", version = "1.0.0",
  schema = { type = "object", properties = { to = { type = "string" } }, required = { "to" } },
}
Change.__index = Change

function Change.new(config)
  return setmetatable({ to = config.to }, Change)
end

function Change:access(exchange)
  local headers = exchange.request.headers
  headers[self.to] = headers.accept
end

return Change
