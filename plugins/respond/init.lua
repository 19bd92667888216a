-- SPDX-License-Identifier: Apache-2.0

-- Answers requests itself: maintenance pages, stubs, robots.txt. Unlike a route's own `respond` it stands in a
-- chain, so plugins before it may refuse first, and `when` lets it answer some requests only.

local selector = require "demilune.selector"

local Respond = { name = "respond", version = "1.1.0", answers = true }
Respond.__index = Respond
Respond.schema = require "demilune.plugins.respond.schema"

local HAS_NO_BODY = { [204] = true, [205] = true, [304] = true } -- RFC 9110, 15.3.5, 15.3.6 and 15.4.5

function Respond.new(config, context)
  if HAS_NO_BODY[config.status] and config.body ~= "" then
    return nil, ("an answer with status %d has no body"):format(config.status), "body"
  end
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
