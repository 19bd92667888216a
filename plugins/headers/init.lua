-- SPDX-License-Identifier: Apache-2.0

-- Changes header fields of requests and responses. The changes are compiled at load into one
-- list per direction, and its hooks are these lists.

local edit = require "demilune.edit"

local Headers = { name = "headers", version = "1.0.0", access = edit.hook, response = edit.hook }
Headers.__index = Headers
Headers.schema = require "demilune.plugins.headers.schema"

-- The selectors that what goes upstream is made from, for plugins behind this one that have to know; nil for none.
local function selectors_of(request)
  local list
  for _, operation in ipairs { "set", "add", "default" } do
    for _, template in pairs(request and request[operation] or {}) do
      for selector in tostring(template):gsub("{{", ""):gmatch "{([^{}]+)}" do
        list = list or {}
        list[#list + 1] = selector
      end
    end
  end
  return list
end

function Headers.new(config, context)
  local request, response, err
  request, err = edit.new("request", config.request, context)
  if err then
    return nil, err, "request"
  end
  response, err = edit.new("response", config.response, context)
  if err then
    return nil, err, "response"
  end
  return setmetatable({
    access = request or false, response = response or false, turns_on = selectors_of(config.request),
  }, Headers)
end

return Headers
