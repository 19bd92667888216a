-- SPDX-License-Identifier: Apache-2.0

-- Reads one header.

local Read = { name = "bench-read", version = "1.0.0" }
Read.__index = Read

function Read.new()
  return setmetatable({}, Read)
end

function Read:access(exchange)
  self.seen = exchange.request.headers["user-agent"]
end

return Read
