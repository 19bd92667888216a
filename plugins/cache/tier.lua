-- SPDX-License-Identifier: Apache-2.0

-- What Redis has to hear of a place's purges, and tells of others'. Responses themselves are asked for and told by the
-- core (core/gate/cache_tier.c), as part of a request.
--
-- A purge counts here at once. One worker then takes those of all workers there, in order, each until it has arrived:
-- meanwhile nothing that it may mean is read from Redis. There each gets a number, and is published; who finds that he has
-- missed one forgets all that he has in memory.

local ffi = require "ffi"
local border = require "demilune.ffi"
local core = require "demilune.core"
local log = require "demilune.log"
local redis = require "demilune.redis"
local task = require "demilune.task"

local C, gateway = border.C, border.gateway

local TIMEOUT = 0.1
local LOOK = 0.02                      -- seconds between looks for purges of this gateway
local FIRST_DELAY, LONGEST_DELAY = 0.1, 2 -- before one is told again that did not arrive
local PURGE_TIMEOUT = 2

-- KEYS: the URL's hash, the count. ARGV: channel, URL. The URL has another generation from now on, for longer than
-- anything that was asked for before may take to come.
local PURGE_KEY = redis.script [==[
local n = redis.call("INCR", KEYS[2])
local t = redis.call("TIME")
redis.call("DEL", KEYS[1])
redis.call("HSET", KEYS[1], "g", string.format("%.0f.%.0f", t[1] * 1000000 + t[2], n))
redis.call("PEXPIRE", KEYS[1], 600000)
redis.call("PUBLISH", ARGV[1], string.format("%.0f k ", n) .. ARGV[2])
return n
]==]

-- KEYS: the list, the count. ARGV: channel, "p" or "t", text. An entry's time is later than that of the one before.
local PURGE_MANY = redis.script [==[
local n = redis.call("INCR", KEYS[2])
local t = redis.call("TIME")
local at = t[1] * 1000000 + t[2]
local newest = redis.call("LINDEX", KEYS[1], 0)
if newest then
  at = math.max(at, tonumber(string.match(newest, "^%d+")) + 1)
end
local what = ARGV[2] .. " " .. ARGV[3]
redis.call("LPUSH", KEYS[1], string.format("%.0f ", at) .. what)
redis.call("LTRIM", KEYS[1], 0, 255)
redis.call("PUBLISH", ARGV[1], string.format("%.0f ", n) .. what)
return n
]==]

local Tier = {}
Tier.__index = Tier

-- A place's own part of keys: a route "a:u" has none that are those of a route "a".
local function place_of(scope)
  return (scope:gsub("^(%a+:)(.*)$", function(kind, name)
    return kind .. name:gsub("[%%:]", { ["%"] = "%25", [":"] = "%3A" })
  end))
end

-- Behind the memory of conf. options: redis, timeout; scope: of the place. Raises where there is no such server.
function Tier.new(conf, options, scope)
  local prefix = "demilune:cache:1:" .. place_of(scope) .. ":"
  core.cache_tier(tonumber(ffi.cast("uintptr_t", conf)), redis.use(options.redis), options.redis,
    options.timeout or TIMEOUT, prefix)
  return setmetatable({
    conf = conf, prefix = prefix, channel = prefix .. "purges", count = prefix .. "n", list = prefix .. "log",
    db = redis.use(options.redis, { timeout = PURGE_TIMEOUT }),
    number = ffi.new "double[1]", text = ffi.new "struct dml_slice[1]",
  }, Tier)
end

-- Takes one there; nil and a word when it has not arrived for sure.
local function take(self, what, text)
  if what == "k" then
    return self.db:eval(PURGE_KEY, { self.prefix .. "u:" .. text, self.count }, { self.channel, text })
  end
  return self.db:eval(PURGE_MANY, { self.list, self.count }, { self.channel, what, text })
end

-- Takes there what waits; false when one did not arrive.
local function take_all(self)
  while true do
    local what = C.dml_cache_purge_next(self.conf, self.number, self.text)
    if what == 0 then
      return true
    end
    local number = self.number[0]
    local ok, word, why = take(self, string.char(what), ffi.string(self.text[0].ptr, self.text[0].len))
    if not ok then
      return false, word, why
    end
    C.dml_cache_purge_done(self.conf, number)
  end
end

local function take_on(self)
  local delay = FIRST_DELAY
  while true do
    local ok, word, why = take_all(self)
    if not ok and delay == FIRST_DELAY then
      log.warn("a purge did not reach Redis: it is tried again", { place = self.prefix, error = word, why = why })
    end
    if not task.sleep(ok and LOOK or delay) then
      return
    end
    delay = ok and FIRST_DELAY or math.min(delay * 2, LONGEST_DELAY)
  end
end

-- Where the number can't be had, the next message is one after a gap.
local function on_ready(self)
  local n, word = self.db:command("GET", self.count)
  if n or not word then
    C.dml_cache_hear_number(self.conf, tonumber(n) or 0)
  else
    C.dml_cache_hear_nothing(self.conf)
  end
end

local function on_message(self, message)
  local number, what, text = message:match "^(%d+) ([kpt]) (.*)$"
  if number then
    C.dml_cache_hear(self.conf, tonumber(number), what:byte(), text, #text)
  end
end

function Tier:start(context)
  C.dml_cache_enter(gateway, self.conf)
  if context.first then
    self.task = task.detach(function()
      self.db:subscribe({ self.channel }, function(text) on_message(self, text) end, function() on_ready(self) end)
      take_on(self)
    end)
  end
end

function Tier:stop()
  if self.task then
    self.task:cancel()
  end
  C.dml_cache_leave(self.conf)
end

return Tier
