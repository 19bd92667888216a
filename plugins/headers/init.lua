-- SPDX-License-Identifier: Apache-2.0

-- Changes header fields of requests and responses. The changes are compiled at load into one
-- list per direction, and its hooks are these lists.

local edit = require "demilune.edit"
local selector = require "demilune.selector"

local Headers = { name = "headers", version = "1.0.0", access = edit.hook, response = edit.hook }
Headers.__index = Headers
Headers.schema = require "demilune.plugins.headers.schema"

-- What goes upstream in which header, for plugins that have to know.
local function turned_on(request)
  local list = {}
  for _, operation in ipairs { "set", "add", "default" } do
    for header, template in pairs(request and request[operation] or {}) do
      for _, one in ipairs(selector.mentioned(tostring(template))) do
        list[#list + 1] = { selector = one, header = header }
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
    access = request or false, response = response or false, turns_on = turned_on(config.request),
  }, Headers)
end

return Headers
