-- SPDX-License-Identifier: Apache-2.0

-- What plugins that recognise consumers have in common: the request is told whose it is, credentials are taken away
-- from it, and whom nobody knows is refused, or taken for the anonymous consumer.
--
--   Mine.identity, message, path = identity.new(config, context, { "authorization" })
--   self.identity:hand_on(exchange)                      exchange.consumer is set
--   if self.identity:refuse(exchange, 401, "No.", HEADERS) then ... it goes on as anonymous ... end
--
-- Of the config: hide_credentials, anonymous, consumer_header; identity.options has their schemas.

local edit = require "demilune.edit"

---@class demilune.identity
---@field options table<string, table>  Schemas of the options that such plugins share, by name.
local M = {}

M.options = {
  hide_credentials = {
    type = "boolean",
    description = "Takes the credentials away from the request, so that the upstream does not see them.",
    default = true,
  },
  anonymous = {
    type = "string",
    description = "The consumer that a request without valid credentials is taken for, instead of being refused.",
  },
  consumer_header = {
    type = "string",
    format = "header",
    description = "The request header that tells the upstream the consumer's name. The client's own is removed.",
    default = "X-Consumer",
  },
}

---@class identity
local Identity = { __name = "identity" }
Identity.__index = Identity

--- A function of a list of credentials (context.consumers) and a configuration's version, which gives what make(list,
--- version) has given: that runs once for all places where the plugin is enabled.
---@param make fun(list: table[], version: integer): any
---@return fun(list: table[], version: integer): any
function M.shared(make)
  local made = setmetatable({}, { __mode = "k" })
  return function(list, version)
    local entry = made[list]
    if not entry or entry.version ~= version then -- what was made by a check is of no version yet
      entry = { version = version, value = make(list, version) }
      made[list] = entry
    end
    return entry.value
  end
end

--- credentials: the names of the headers that hide_credentials removes. more: headers and templates that the request is
--- told as well. nil, a message and a path in the configuration when the config is at fault.
---@param config table
---@param context context
---@param credentials? string[]
---@param more? table<string, string>
---@return identity? it
---@return string? message
---@return string? path
function M.new(config, context, credentials, more)
  local changes = {
    remove = config.hide_credentials and credentials or nil,
    set = { [config.consumer_header] = "{consumer}" },
  }
  for name, template in pairs(more or {}) do
    changes.set[name] = template
  end
  local edits, message = edit.new("request", changes, context)
  if not edits then
    return nil, message, "consumer_header"
  elseif config.anonymous and not context.consumer(config.anonymous) then
    return nil, ('the configuration has no consumer "%s"'):format(config.anonymous), "anonymous"
  end
  return setmetatable({ edits = edits, anonymous = config.anonymous }, Identity)
end

--- The request is told who exchange.consumer is, and loses its credentials.
---@param exchange exchange
function Identity:hand_on(exchange)
  self.edits:apply(exchange)
end

--- Nobody is recognised: answers so; or true, and it goes on as the anonymous consumer, unless an earlier plugin knew
--- better.
---@param exchange exchange
---@param status integer
---@param detail string
---@param headers? table
---@return boolean goes_on
function Identity:refuse(exchange, status, detail, headers)
  if not self.anonymous then
    exchange:problem(status, detail, headers)
    return false
  end
  if not exchange.consumer then
    exchange.consumer = self.anonymous
  end
  self.edits:apply(exchange)
  return true
end

return M
