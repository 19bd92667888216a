-- SPDX-License-Identifier: Apache-2.0

-- Asks another service whether a request may pass. It is told what the request is and who sends it; an answer of 2xx
-- lets it pass, 401, 403 and redirects are the client's answer, and all else is a failure of the service.

local core = require "demilune.core"
local edit = require "demilune.edit"
local http = require "demilune.http"
local log = require "demilune.log"
local url = require "demilune.url"

local ForwardAuth = { name = "forward-auth", version = "1.0.0", guards = true }
ForwardAuth.__index = ForwardAuth
ForwardAuth.schema = require "demilune.plugins.forward-auth.schema"

local ANSWER_MAX = 64 * 1024 -- bytes of the service's answer

-- What goes upstream of the service's answer, for plugins that have to know.
local function turned_on(names)
  local list = {}
  for i, name in ipairs(names) do
    list[i] = { header = name }
  end
  return list
end

function ForwardAuth.new(config, context)
  if config.upstream and not core.upstream(config.upstream) then
    return nil, ('the configuration has no upstream "%s"'):format(config.upstream), "upstream"
  end
  -- nil where there is nothing to remove
  local removal, message = edit.new("request", { remove = config.upstream_headers }, context)
  if message then
    return nil, message, "upstream_headers"
  end
  return setmetatable({
    config = config, removal = removal, consumer = context.consumer, turns_on = turned_on(config.upstream_headers),
  }, ForwardAuth)
end

-- What the service is told.
local function question_of(self, exchange)
  local config, request = self.config, exchange.request
  local query = request.query
  local headers = {
    ["x-forwarded-method"] = request.method,
    ["x-forwarded-proto"] = request.scheme,
    ["x-forwarded-host"] = request.host and url.authority(request.scheme, request.host, request.port) or nil,
    ["x-forwarded-uri"] = query and request.path .. "?" .. query or request.path,
    ["x-forwarded-for"] = exchange.client_ip,
  }
  for _, name in ipairs(config.request_headers) do
    local values = request.headers:all(name)
    if values[1] and not headers[name:lower()] then
      headers[name:lower()] = values
    end
  end
  return {
    method = config.method, url = config.url, upstream = config.upstream,
    path = config.upstream and config.path or nil,
    headers = headers, timeout = config.timeout, max_body = ANSWER_MAX,
  }
end

-- --- answers -------------------------------------------------------------------------------------

local function remove_own(self, exchange)
  if self.removal then
    self.removal:apply(exchange)
  end
end

local function let_pass(self, exchange, answer)
  local headers, from = exchange.request.headers, self.config.consumer_from
  remove_own(self, exchange)
  for _, name in ipairs(self.config.upstream_headers) do
    for _, value in ipairs(answer.headers:all(name)) do
      headers:add(name, value)
    end
  end
  local consumer = from and self.consumer(answer.headers[from] or "")
  if consumer then
    exchange.consumer = consumer
  elseif not exchange.claims then
    exchange.claims = {} -- it is somebody's, whom the gateway does not know: a cache must not take it for anybody's
  end
end

local function is_refusal(status)
  return status == 401 or status == 403 or status >= 300 and status < 400 and status ~= 304
end

local function refuse(self, exchange, answer)
  local headers = {}
  for _, name in ipairs(self.config.client_headers) do
    local values = answer.headers:all(name)
    headers[name] = values[1] and values or nil
  end
  exchange:reply(answer.status, headers, answer.body)
end

local function fail(self, exchange, why)
  log.warn("the service that says who may pass has failed", { why = why })
  if self.config.on_failure == "allow" then
    remove_own(self, exchange)
  else
    exchange:problem(503, "Whether this request may pass can't be told now.")
  end
end

function ForwardAuth:access(exchange)
  local answer, word = http.request(question_of(self, exchange))
  if not answer then
    if word ~= "cancelled" then
      fail(self, exchange, word)
    end
  elseif answer.status >= 200 and answer.status < 300 then
    let_pass(self, exchange, answer)
  elseif is_refusal(answer.status) then
    refuse(self, exchange, answer)
  else
    fail(self, exchange, "status " .. answer.status)
  end
end

return ForwardAuth
