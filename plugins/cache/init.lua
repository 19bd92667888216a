-- SPDX-License-Identifier: Apache-2.0

-- Keeps responses and answers with them, as RFC 9111 lets a shared cache. All of it is the core's: this is where it is
-- told what a place wants, and asked.

local ffi = require "ffi"
local border = require "demilune.ffi"
local core = require "demilune.core"
local metrics = require "demilune.metrics"
local selector = require "demilune.selector"

local C, gateway = border.C, border.gateway
local WAITS = C.DML_CACHE_WAITS
local RESULTS = {
  [C.DML_CACHE_ANSWERED] = "hit", [C.DML_CACHE_MISS] = "miss", [WAITS] = "waited", [C.DML_CACHE_PASS] = "pass",
}

local LONGEST_WAIT = 30 -- seconds that a request waits for another's response; the route's timeout may end it before

local requests = metrics.counter("demilune_cache_requests_total",
  "Requests, by what the cache made of them: hit, miss, waited (for what another asks for), pass (nothing to do).",
  { "place", "result" })

local Cache = {
  name = "cache", version = "1.0.0",
  after = { "key-auth", "basic-auth", "hmac-auth", "mtls-auth", "oauth2", "acl", "ip-restriction", "forward-auth" },
}
Cache.__index = Cache
Cache.schema = require "demilune.plugins.cache.schema"

-- What is wrong with a config beyond its schema, and where; or nil.
local function fault_of(config)
  if config.store == "redis" then
    return "not yet supported: responses are kept in memory", "store"
  elseif config.redis ~= nil then
    return "not yet supported: responses are kept in memory", "redis"
  elseif config.max_object > config.size then
    return "larger than size", "max_object"
  end
end

local function add(conf, context, of, flags, text)
  local rc, message = selector.with_scope(context, flags, function(scope, out)
    return of(conf, text, #text, scope, out)
  end)
  return not rc and message or nil
end

local function compile(config, context)
  local name = "cache/" .. context.scope
  local options = ffi.new("struct dml_cache_options", {
    size = config.size, max_object = config.max_object, ttl = config.ttl or -1, tag_header = config.tag_header,
    set_cookie = config.set_cookie and 1 or 0, coalesce = config.coalesce and 1 or 0,
  })
  local conf = ffi.gc(C.dml_cache_new(name, #name, options), C.dml_cache_free)
  for _, status in ipairs(config.statuses or {}) do
    C.dml_cache_status(conf, status)
  end
  local message = config.key and add(conf, context, C.dml_cache_key, 0, config.key)
  if message then
    return nil, message, "key"
  end
  for i, text in ipairs(config.vary or {}) do
    message = add(conf, context, C.dml_cache_vary, C.DML_SCOPE_SELECTOR, text)
    if message then
      return nil, message, ("vary[%d]"):format(i - 1)
    end
  end
  return conf
end

function Cache.new(config, context)
  local fault, path = fault_of(config)
  if fault then
    return nil, fault, path
  end
  local conf, message
  conf, message, path = compile(config, context)
  if not conf then
    return nil, message, path
  end
  return setmetatable({ conf = conf, place = context.scope }, Cache)
end

function Cache:access(exchange)
  local found = C.dml_cache_find(gateway, exchange.h, self.conf)
  requests:inc(self.place, RESULTS[found])
  if found == WAITS then
    core.cache_wait(exchange.h, LONGEST_WAIT)
  end
end

return Cache
