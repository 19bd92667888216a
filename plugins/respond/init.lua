-- SPDX-License-Identifier: Apache-2.0

-- Answers requests itself: maintenance pages, stubs, robots.txt. Unlike a route's own `respond` it stands in a
-- chain, so plugins before it may refuse first, and `when` lets it answer some requests only.

local selector = require "demilune.selector"

local Respond = { name = "respond", version = "1.0.0" }
Respond.__index = Respond
Respond.schema = require "demilune.plugins.respond.schema"

function Respond.new(config, context)
  local self = { status = config.status, headers = {} }
  local err
  self.body, err = selector.template(config.body, context)
  if not self.body then
    return nil, err, "body"
  end
  if config.when then
    self.when, err = selector.selector(config.when, context)
    if not self.when then
      return nil, err, "when"
    end
  end
  for name, text in pairs(config.headers) do
    self.headers[name], err = selector.template(tostring(text), context)
    if err then
      return nil, err, "headers"
    end
  end
  return setmetatable(self, Respond)
end

function Respond:access(exchange)
  if self.when and not self.when:value(exchange) then
    return
  end
  local headers = {}
  for name, template in pairs(self.headers) do
    headers[name] = template:value(exchange)
  end
  exchange:reply(self.status, headers, self.body:value(exchange) or "")
end

return Respond
