-- SPDX-License-Identifier: Apache-2.0

-- Keeps responses and answers with them, as RFC 9111 lets a shared cache. All of it is the core's: this is where it is
-- told what a place wants, and asked.

local ffi = require "ffi"
local border = require "demilune.ffi"
local core = require "demilune.core"
local metrics = require "demilune.metrics"
local selector = require "demilune.selector"
local Tier = require "demilune.plugins.cache.tier"

local C, gateway = border.C, border.gateway
local WAITS = C.DML_CACHE_WAITS
local RESULTS = {
  [C.DML_CACHE_ANSWERED] = "hit", [C.DML_CACHE_MISS] = "miss", [WAITS] = "waited", [C.DML_CACHE_PASS] = "pass",
}

local LONGEST_WAIT = 30 -- seconds that a request waits for another's response; the route's timeout may end it before

local requests = metrics.counter("demilune_cache_requests_total",
  "Requests, by what the cache made of them: hit, miss, waited (for what another asks for, or for Redis), "
    .. "pass (nothing to do).",
  { "place", "result" })

local Cache = {
  name = "cache", version = "1.0.0",
  after = { "key-auth", "basic-auth", "hmac-auth", "mtls-auth", "oauth2", "acl", "ip-restriction", "forward-auth" },
}
Cache.__index = Cache
Cache.schema = require "demilune.plugins.cache.schema"

-- What is wrong with a config beyond its schema, and where; or nil.
local function fault_of(config)
  if config.store == "redis" and not config.redis then
    return '"redis" is missing: the name of the server'
  end
  for _, option in ipairs { "redis", "store_timeout" } do
    if config.store ~= "redis" and config[option] ~= nil then
      return "is for store: redis", option
    end
  end
  if config.max_object > config.size then
    return "larger than size", "max_object"
  end
end

local function add(conf, context, of, flags, text)
  local rc, message = selector.with_scope(context, flags, function(scope, out)
    return of(conf, text, #text, scope, out)
  end)
  return not rc and message or nil
end

-- Selectors that requests with different answers may differ in, and are kept apart by.
local function keyed_by(config)
  local set = {}
  for _, one in ipairs(config.vary or {}) do
    set[one:lower()] = true
  end
  for _, one in ipairs(selector.mentioned(config.key or "")) do
    set[one:lower()] = true
  end
  return set
end

-- A URL has these in it, or they are the same for all that share one, or belong to no answer.
local OF_URL = { host = true, method = true, path = true, scheme = true, route = true, id = true }

local function is_keyed(self, one)
  local kind = one:lower():match "^[^:]+"
  return self.keyed_by[one:lower()] or not self.has_key and (kind == "query" or kind == "param")
    or OF_URL[kind] or not one:find ":" and kind ~= "consumer" and kind ~= "client_ip"
end

-- What is said where a plugin of its chain, or a key of the route, sends upstream what the key does not have.
function Cache.remark(self, name, turns_on)
  for _, one in ipairs(turns_on) do
    local header = one.header and "header:" .. one.header:lower()
    if not self.keyed_by[header or ""] and not (one.selector and is_keyed(self, one.selector)) then
      return ('"%s" sends upstream what "%s" is: requests that differ in it get the same response from the cache, '
        .. 'unless that is in its vary'):format(name, one.selector or header)
    end
  end
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
  local self = setmetatable({
    conf = conf, place = context.scope, keyed_by = keyed_by(config), has_key = config.key ~= nil,
  }, Cache)
  if config.store == "redis" then
    local ok, tier = pcall(Tier.new, conf, { redis = config.redis, timeout = config.store_timeout }, context.scope)
    if not ok then
      return nil, (tostring(tier):gsub("^.-:%d+: ", "")), "redis"
    end
    self.tier = tier
  end
  return self
end

function Cache:start(context)
  if self.tier then
    self.tier:start(context)
  end
end

function Cache:stop()
  if self.tier then
    self.tier:stop()
  end
end

function Cache:access(exchange)
  local found = C.dml_cache_find(gateway, exchange.h, self.conf)
  requests:inc(self.place, RESULTS[found])
  if found == WAITS then
    core.cache_wait(exchange.h, LONGEST_WAIT)
  end
end

return Cache
