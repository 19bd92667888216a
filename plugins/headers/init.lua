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
  -- A side without changes needs no hook.
  if not self.request_edit then
    self.access = false
  end
  if not self.response_edit then
    self.response = false
  end
  return setmetatable(self, Headers)
end

function Headers:access(exchange)
  self.request_edit:apply(exchange)
end

function Headers:response(exchange)
  self.response_edit:apply(exchange)
end

return Headers
