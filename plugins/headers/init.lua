-- SPDX-License-Identifier: Apache-2.0

-- Changes header fields of requests and responses. The changes are compiled at load into one
-- list per direction, and a request costs one call of C per direction.

local edit = require "demilune.edit"

local Headers = { name = "headers", version = "1.0.0" }
Headers.__index = Headers
Headers.schema = require "demilune.plugins.headers.schema"

function Headers.new(config, context)
  local self = {}
  local err
  self.request_edit, err = edit.new("request", config.request, context)
  if err then
    return nil, err, "request"
  end
  self.response_edit, err = edit.new("response", config.response, context)
  if err then
    return nil, err, "response"
  end
  return setmetatable(self, Headers)
end

function Headers:access(exchange)
  local list = self.request_edit
  if list then
    list:apply(exchange)
  end
end

function Headers:response(exchange)
  local list = self.response_edit
  if list then
    list:apply(exchange)
  end
end

return Headers
