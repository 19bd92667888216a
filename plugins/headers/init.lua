-- SPDX-License-Identifier: Apache-2.0

-- Changes headers, of requests on their way upstream and of responses on their way down. What is to
-- be done is compiled when the instance is made, and is one call per message.

local edit = require "demilune.edit"

local Headers = { name = "headers", version = "1.0.0" }
Headers.__index = Headers
Headers.schema = require "demilune.plugins.headers.schema"

local ORDER = { "set", "default", "add" }

local function sorted_names(map)
  local names = {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- Edits of one side, or nil and a message.
local function compile(changes, context, options)
  local edits = edit.new(context, options)
  for _, name in ipairs(changes.remove or {}) do
    local ok, message = edits:remove(name)
    if not ok then
      return nil, ("remove: %s: %s"):format(name, message)
    end
  end
  for _, kind in ipairs(ORDER) do
    for _, name in ipairs(sorted_names(changes[kind] or {})) do
      local ok, message = edits[kind](edits, name, changes[kind][name])
      if not ok then
        return nil, ("%s: %s: %s"):format(kind, name, message)
      end
    end
  end
  return edits
end

function Headers.new(config, context)
  local for_request, message = compile(config.request or {}, context)
  if not for_request then
    return nil, "request." .. message
  end
  local for_response
  for_response, message = compile(config.response or {}, context, { response = true })
  if not for_response then
    return nil, "response." .. message
  end
  local self = setmetatable({ for_request = for_request, for_response = for_response }, Headers)
  if for_request.count == 0 then
    self.access = false
  end
  if for_response.count == 0 then
    self.response = false
  end
  return self
end

function Headers:access(exchange)
  self.for_request:apply(exchange.request)
end

function Headers:response(exchange)
  self.for_response:apply(exchange.response)
end

return Headers
