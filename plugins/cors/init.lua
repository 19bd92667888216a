-- SPDX-License-Identifier: Apache-2.0

-- The CORS protocol of the Fetch standard. A preflight is answered here and never goes upstream; other
-- requests go on, and their answers are told whether the origin may read them. Fields of this protocol that
-- the upstream sends are replaced, so that two opinions never stand in one answer.

local Cors = { name = "cors", version = "1.0.0", answers_preflights = true }
Cors.__index = Cors
Cors.schema = require "demilune.plugins.cors.schema"

local function keep(value)
  return value ~= "" and value or nil
end

local function has_star(names)
  for _, name in ipairs(names) do
    if name == "*" then
      return true
    end
  end
  return false
end

function Cors.new(config)
  local self = setmetatable({
    exact = {}, suffixes = {}, any = false,
    credentials = config.credentials and "true" or nil,
    methods = table.concat(config.methods, ", "),
    headers = table.concat(config.headers, ", "),
    expose = keep(table.concat(config.expose, ", ")),
    max_age = ("%d"):format(config.max_age),
  }, Cors)
  self.any_header, self.any_method = has_star(config.headers), has_star(config.methods)
  for _, origin in ipairs(config.origins) do
    local scheme, rest = origin:lower():match "^(https?://)%*(%..+)$"
    if origin == "*" then
      self.any = true
    elseif scheme then
      self.suffixes[#self.suffixes + 1] = { scheme = scheme, rest = rest }
    else
      self.exact[origin:lower()] = true
    end
  end
  return self
end

local function allows(self, origin)
  if self.any or self.exact[origin] then
    return true
  end
  for _, suffix in ipairs(self.suffixes) do
    -- At least one label stands in the place of the star.
    if #origin > #suffix.scheme + #suffix.rest and origin:sub(1, #suffix.scheme) == suffix.scheme
      and origin:sub(-#suffix.rest) == suffix.rest then
      return true
    end
  end
  return false
end

-- What goes into Access-Control-Allow-Origin, or nil.
local function allowed_origin(self, exchange)
  local origin = exchange.request.headers["origin"]
  if not origin or not allows(self, origin:lower()) then
    return nil
  end
  return self.any and not self.credentials and "*" or origin
end

local function preflight(self, exchange, wanted_method, wanted_headers)
  local headers = { vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers" }
  local origin = allowed_origin(self, exchange)
  if origin then
    headers["access-control-allow-origin"] = origin
    headers["access-control-allow-credentials"] = self.credentials
    -- A literal "*" does not cover Authorization, and means nothing with credentials: what is asked for is named.
    headers["access-control-allow-methods"] = self.any_method and wanted_method or self.methods
    headers["access-control-allow-headers"] = self.any_header and wanted_headers or keep(self.headers)
    headers["access-control-max-age"] = self.max_age
  end
  exchange.ctx.cors_preflight = true
  exchange:reply(204, headers)
end

function Cors:access(exchange)
  local request = exchange.request
  local wanted_method = request.method == "OPTIONS" and request.headers["origin"]
    and request.headers["access-control-request-method"]
  if wanted_method then
    preflight(self, exchange, wanted_method, request.headers["access-control-request-headers"])
  end
end

local function vary_by_origin(headers)
  local vary = headers["vary"]
  if not vary then
    headers["vary"] = "Origin"
  elseif vary ~= "*" and not ("," .. vary:lower():gsub("%s", "") .. ","):find(",origin,", 1, true) then
    headers["vary"] = vary .. ", Origin"
  end
end

function Cors:response(exchange)
  if exchange.request.method == "OPTIONS" and exchange.ctx.cors_preflight then
    return
  end
  local headers = exchange.response.headers
  local origin = allowed_origin(self, exchange)
  headers["access-control-allow-origin"] = origin
  headers["access-control-allow-credentials"] = origin and self.credentials or nil
  headers["access-control-expose-headers"] = origin and self.expose or nil
  if not self.any or self.credentials then
    vary_by_origin(headers)
  end
end

return Cors
