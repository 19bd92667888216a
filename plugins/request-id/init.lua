-- SPDX-License-Identifier: Apache-2.0

-- Gives each request an id and hands it on both ways. The id is the exchange's own, the one in
-- logs and error answers; a client's is taken over where it may be believed and is fit to be logged.

local RequestId = { name = "request-id", version = "1.0.0" }
RequestId.__index = RequestId
RequestId.schema = require "demilune.plugins.request-id.schema"

local LONGEST = 128

function RequestId.new(config)
  return setmetatable({ header = config.header, accept = config.accept }, RequestId)
end

-- Visible ASCII without quotes and the like: it goes into logs and headers of others.
local function is_fit(id)
  return #id <= LONGEST and id:find "^[%w._:/+=@-]+$" ~= nil
end

local function brought(self, exchange)
  if self.accept == "never" or (self.accept == "trusted" and not exchange.client_is_trusted) then
    return nil
  end
  local id = exchange.request.headers[self.header]
  return id and is_fit(id) and id or nil
end

local function give(self, exchange)
  local id = brought(self, exchange)
  if id then
    exchange.id = id
  else
    id = exchange.id
  end
  exchange.request.headers[self.header] = id
  exchange.response.headers[self.header] = id
end

-- Enabled globally it runs before routing, so that a 404 has an id too; on a route, when the route is known.
function RequestId:rewrite(exchange)
  exchange.ctx.request_id = true
  give(self, exchange)
end

function RequestId:access(exchange)
  if not exchange.ctx.request_id then
    give(self, exchange)
  end
end

return RequestId
