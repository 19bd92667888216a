-- SPDX-License-Identifier: Apache-2.0

-- Values on two levels: in memory, for all workers, and in Redis, for all nodes. What is in neither is made by one
-- caller over all workers; the others wait for it. Made once at load:
--
--   local users = cache.new { name = "users", ttl = 60, redis = "main" }
--   local user, err = users:get(id, function() return fetch_user(id) end)
--
-- Redis is an aid: one that is slow, gone or full costs its timeout, and what it holds that is no value of this cache
-- is not there. (Responses are kept by the plugin `cache`, which follows RFC 9111.)

local border = require "demilune.ffi"
local json = require "demilune.json"
local log = require "demilune.log"
local redis = require "demilune.redis"
local store = require "demilune.store"

---@class demilune.cache
local M = {}

---@class cache
local Cache = { __name = "cache" }
Cache.__index = Cache

local NONE = "-" -- stands for a value that is known not to exist

local SECONDS = { ttl = 60, negative_ttl = 0, timeout = 0.1, lease = 30 }
local KNOWN = border.option_names "name ttl negative_ttl store redis timeout memory_ttl lease"

-- The first byte tells the kind, so that "1" and 1 come back as what they were.
local function pack(value)
  local kind = type(value)
  if kind == "string" then
    return "s" .. value
  end
  local text, word, what = json.encode(value)
  if not text then
    border.raise(("a value of a cache is what JSON can say, and not %s"):format(tostring(what or word)))
  end
  return "j" .. text
end

-- nil for what no cache has written.
local function unpack_value(bytes)
  local kind = type(bytes) == "string" and bytes:sub(1, 1)
  if bytes == NONE then
    return nil, "not_found"
  elseif kind == "s" then
    return bytes:sub(2)
  elseif kind == "j" then
    local value, word = json.decode(bytes:sub(2))
    return value, value == nil and word or nil
  end
  return nil, "syntax"
end

local function want_text(key, what)
  if type(key) ~= "string" then
    border.raise(("%s wants a key that is a text, not a %s"):format(what, type(key)))
  end
end

local function check(options)
  border.check_options("a cache", options, KNOWN)
  for _, name in ipairs { "ttl", "negative_ttl", "timeout", "memory_ttl", "lease" } do
    local n = options[name]
    if n ~= nil and not (type(n) == "number" and n >= 0 and n < math.huge) then
      border.raise(name .. " of a cache is a number of seconds")
    end
  end
  if type(options.name) ~= "string" or options.name == "" then
    border.raise "a cache wants a name: what is kept stands under it"
  end
end

--- options: name (what is kept stands under it, in both levels), ttl (60 seconds), negative_ttl (0: how long it is
--- remembered that there is none), store (of the configuration, "default"), redis (a name of the configuration, or a
--- client; none: in memory alone), timeout (0.1 seconds, of Redis), memory_ttl (ttl: how long a node believes its memory while another one may
--- have changed the value), lease (30 seconds that making a value may take).
---@param options { name: string, ttl?: number, negative_ttl?: number, store?: string, redis?: string|redis.client, timeout?: number, memory_ttl?: number, lease?: number }
---@return cache
function M.new(options)
  check(options)
  local self = { prefix = ("cache:%s:"):format(options.name:gsub("[%%:]", { ["%"] = "%25", [":"] = "%3A" })) }
  for name, default in pairs(SECONDS) do
    self[name] = options[name] or default
  end
  self.memory_ttl = math.min(options.memory_ttl or self.ttl, self.ttl)
  self.store = store.use(options.store)
  self.redis = type(options.redis) == "string" and redis.use(options.redis, { timeout = self.timeout }) or options.redis
  return setmetatable(self, Cache)
end

-- What Redis says to one command, or nil: the client tells the operator when a server is down.
local function ask(self, ...)
  local value, err, why = self.redis:command(...)
  if err then
    log.debug("a cache goes on without Redis", { cache = self.prefix, error = err, why = why })
  end
  return value
end

-- The bytes in Redis and the milliseconds that they have left.
local function from_redis(self, key)
  local bytes = ask(self, "GET", key)
  local _, word = unpack_value(bytes)
  if not bytes or word and word ~= "not_found" then
    return nil
  end
  return bytes, ask(self, "PTTL", key)
end

local function keep_in_redis(self, key, bytes, ttl)
  if self.redis and ttl > 0 then
    ask(self, "SET", key, bytes, "PX", math.max(1, math.floor(ttl * 1000)))
  end
end

local function keep_in_memory(self, key, bytes, ttl)
  if ttl > 0 then
    self.store:set(key, bytes, math.min(ttl, self.memory_ttl))
  else
    self.store:delete(key)
  end
end

-- The bytes of a value, and for how many seconds they hold.
local function make(self, key, f)
  if self.redis then
    local bytes, left = from_redis(self, key)
    if bytes then
      return bytes, type(left) == "number" and left > 0 and left / 1000 or 0.001
    end
  end
  local value, word_or_ttl, why = f()
  if value == nil then
    if word_or_ttl ~= nil then
      return nil, word_or_ttl, why
    end
    keep_in_redis(self, key, NONE, self.negative_ttl)
    return NONE, self.negative_ttl
  end
  local bytes, ttl = pack(value), tonumber(word_or_ttl) or self.ttl
  keep_in_redis(self, key, bytes, ttl)
  return bytes, ttl
end

--- The value of a key: from memory, from Redis, or what f returns. f gives value[, seconds]: kept for so long instead of
--- ttl, 0: not at all; nil alone when there is none (nil, "not_found" is the answer, kept for negative_ttl); or nil, err,
--- which is handed on and not kept. A table comes as a copy of its own.
---@param key string
---@param f fun(): any, any, any
---@return any value
---@return string? word  "not_found", f's own, "timeout" of the lease.
---@return any why
function Cache:get(key, f)
  want_text(key, "cache:get")
  local full, ttl, why = self.prefix .. key, nil, nil
  local bytes, word = self.store:once(full, math.max(self.memory_ttl, 0.001), function()
    local made, rest, detail = make(self, full, f)
    ttl, why = made and rest, detail
    return made, rest
  end, { lease = self.lease })
  if ttl then -- this caller has made it, and knows how long it holds
    keep_in_memory(self, full, bytes, ttl)
  end
  if bytes == nil then
    return nil, word, why
  end
  return unpack_value(bytes)
end

--- Puts a value in both levels. Other nodes may believe their memory for memory_ttl.
---@param key string
---@param value any  What JSON can say, but nil.
---@param ttl? number  Seconds.
function Cache:set(key, value, ttl)
  want_text(key, "cache:set")
  local full, bytes = self.prefix .. key, pack(value)
  keep_in_redis(self, full, bytes, ttl or self.ttl)
  keep_in_memory(self, full, bytes, ttl or self.ttl)
end

--- Forgets it in both levels. Other nodes may believe their memory for memory_ttl.
---@param key string
function Cache:delete(key)
  want_text(key, "cache:delete")
  self.store:delete(self.prefix .. key)
  if self.redis then
    ask(self, "DEL", self.prefix .. key)
  end
end

return M
