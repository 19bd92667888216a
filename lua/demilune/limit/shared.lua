-- SPDX-License-Identifier: Apache-2.0

-- Limits whose counts lie in Redis, exact over all gateways that use it: one script decides about all
-- limits of a request at once, by the server's own clock, so that nothing can come between looking and
-- counting and no clock has to agree with another. A refused request takes nothing from any limit.
--
--   local limiter = shared.new({ limit = 100, window = 60, by = "consumer", redis = "main" }, context)
--   local verdict, err = limiter:take(exchange)     -- as of demilune.limit; waits for the server
--
-- A server that does not answer costs its timeout, and only until the breaker has seen that: then take
-- says nil, "open" at once, and the server is asked again now and then.

local ffi = require "ffi"
local border = require "demilune.ffi"
local breaker = require "demilune.breaker"
local limit = require "demilune.limit"
local redis = require "demilune.redis"
local task = require "demilune.task"
local time = require "demilune.time"
local uuid = require "demilune.uuid"

local C, gateway, out = border.C, border.gateway, border.out

local M = {}

local LEASE_DEFAULT = 3600 -- seconds: what a place of `concurrent` counts that nobody gave back
local BREAKER = { window = 2, min_requests = 5, failure_ratio = 0.5, open_for = 0.5, open_for_max = 4,
  half_open_requests = 1, ramp = 0 }
local TIMEOUT = 0.1
local NEVER = 1e15 -- seconds

-- KEYS: one for each limit. ARGV: cost, member (of `concurrent`), then for each: algorithm, limit, window
-- in microseconds, burst. Gives the number of the limit that refuses (0: none), then for each: remaining,
-- and microseconds until the cost could pass (-1: never) and until all of it is there again.
--
-- gcra is kept as what is taken just now and when that was, so that numbers stay small and exact; the
-- others as in the gateway's own memory (core/side/window.c).
local SCRIPT = redis.script [==[
local clock = redis.call("TIME")
local now = clock[1] * 1000000 + clock[2]
local cost, member = tonumber(ARGV[1]), ARGV[2]
local ceil, floor, max, min = math.ceil, math.floor, math.max, math.min
local rules, writes = {}, {}

local function put(key, text, microseconds)
  writes[#writes + 1] = { "SET", key, text, "PX", ceil(microseconds / 1000) + 1 }
end

function rules.gcra(key, limit, window, burst)
  local taken = 0
  local value = redis.call("GET", key)
  if value then
    local amount, at = string.match(value, "^(%S+) (%S+)$")
    taken = max(0, tonumber(amount) - max(0, now - tonumber(at)) * limit / window)
  end
  local passes, wait = cost == 0 or taken + cost <= burst + 1e-6, 0
  if passes then
    taken = taken + cost
    put(key, string.format("%.17g %.17g", taken, now), taken * window / limit)
  else
    wait = cost > burst and -1 or (taken + cost - burst) * window / limit
  end
  return passes, floor(max(0, burst - taken) + 1e-6), wait, taken * window / limit
end

local function counts_of(key, index)
  local value = redis.call("GET", key)
  local at, current, previous = 0, 0, 0
  if value then
    at, current, previous = string.match(value, "^(%S+) (%S+) (%S+)$")
    at, current, previous = tonumber(at), tonumber(current), tonumber(previous)
  end
  if at >= index then
    return at, current, previous
  end
  return index, 0, at == index - 1 and current or 0
end

local function put_counts(key, at, current, previous, microseconds)
  put(key, string.format("%.17g %.17g %.17g", at, current, previous), microseconds)
end

function rules.fixed_window(key, limit, window)
  local at, current = counts_of(key, floor(now / window))
  local left = (at + 1) * window - now
  local passes = cost == 0 or current + cost <= limit
  if passes then
    current = current + cost
    put_counts(key, at, current, 0, left)
  end
  return passes, max(0, limit - current), passes and 0 or cost > limit and -1 or left, current > 0 and left or 0
end

function rules.sliding_window(key, limit, window)
  local at, current, previous = counts_of(key, floor(now / window))
  local left = (at + 1) * window - now
  local taken = previous * min(left / window, 1) + current
  local passes, wait = cost == 0 or taken + cost <= limit + 1e-9, 0
  if passes then
    current, taken = current + cost, taken + cost
    put_counts(key, at, current, previous, left + window)
  elseif cost > limit then
    wait = -1
  elseif current + cost <= limit then
    wait = left - (limit - current - cost) * window / previous
  else
    wait = left + window - min((limit - cost) * window / current, window)
  end
  return passes, floor(max(0, limit - taken) + 1e-9), wait, current > 0 and left + window or previous > 0 and left or 0
end

function rules.concurrent(key, limit, lease)
  redis.call("ZREMRANGEBYSCORE", key, "-inf", now)
  local inside = redis.call("ZCARD", key)
  local passes, wait = inside < limit, 0
  if passes then
    inside = inside + 1
    writes[#writes + 1] = { "ZADD", key, string.format("%.17g", now + lease), member }
    writes[#writes + 1] = { "PEXPIRE", key, ceil(lease / 1000) + 1 }
  else
    wait = redis.call("ZRANGE", key, 0, 0, "WITHSCORES")[2] - now
  end
  return passes, limit - inside, wait, lease
end

local refused, reply = 0, { 0 }
for i = 1, #KEYS do
  local at = 4 * i - 1
  local passes, remaining, wait, reset = rules[ARGV[at]](KEYS[i], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]),
    tonumber(ARGV[at + 3]))
  if not passes and refused == 0 then
    refused = i
  end
  reply[3 * i - 1], reply[3 * i], reply[3 * i + 1] = remaining, ceil(wait), ceil(reset)
end
if refused == 0 then
  for _, write in ipairs(writes) do
    redis.call(unpack(write))
  end
end
reply[1] = refused
return reply
]==]

local Shared = { __name = "shared limiter" }
Shared.__index = Shared

-- The places of `concurrent` that this worker has taken have names that nobody else gives.
local worker, taken = uuid.v4(), 0

local function whole(n)
  return ("%.17g"):format(math.ceil(n))
end

local function window_of(one)
  return one.window and one.window > 0 and one.window or LEASE_DEFAULT
end

-- What the script is told of the limits, behind the cost and the member.
local function arguments_of(list, default)
  local args, has_places = { "", "" }, false
  for _, one in ipairs(list) do
    local algorithm = one.algorithm or default or "gcra"
    local n = #args
    args[n + 1], args[n + 2] = algorithm, whole(one.limit)
    args[n + 3], args[n + 4] = whole(window_of(one) * 1e6), whole(one.burst or one.limit)
    has_places = has_places or algorithm == "concurrent"
  end
  return args, has_places
end

-- options: as of limit.new, and redis (a name), timeout (seconds; 0.1). Raises where there is no such server. The
-- counts belong to context.scope, or to options.scope, of all gateways that share the server.
function M.new(options, context)
  local own = setmetatable({ store = false }, { __index = options })
  local list = options.limits and #options.limits > 0 and options.limits or { options }
  local self = setmetatable({
    own = limit.new(own, context), -- makes keys, tells clients, and can count for itself
    db = redis.use(options.redis, { timeout = options.timeout or TIMEOUT }),
    breaker = breaker.new("rate-limit " .. options.redis, BREAKER),
    list = list, verdict = ffi.new "struct dml_verdict", scope = options.scope or context.scope,
  }, Shared)
  self.args, self.has_places = arguments_of(list, options.algorithm)
  return self
end

local function keys_of(self, exchange)
  local keys = {}
  for i = 1, #self.list do
    if C.dml_limiter_shared_key(gateway, exchange.h, self.own.limiter, i - 1, out) < 0 then
      return nil
    end
    keys[i] = ffi.string(out.ptr, out.len)
  end
  return keys
end

local function seconds(microseconds)
  return microseconds < 0 and NEVER or microseconds / 1e6
end

-- The limit that refuses, or the one with the least left.
local function read_reply(self, reply)
  local refused, at = reply[1], reply[1]
  if refused == 0 then
    at = 1
    for i = 2, #self.list do
      at = reply[3 * i - 1] < reply[3 * at - 1] and i or at
    end
  end
  local verdict = self.verdict
  verdict.refused, verdict.policy, verdict.limit = refused ~= 0 and 1 or 0, at - 1, self.list[at].limit
  verdict.remaining = reply[3 * at - 1]
  verdict.retry_after, verdict.reset = seconds(reply[3 * at]), seconds(reply[3 * at + 1])
  return verdict
end

local function is_place(self, i)
  return self.args[4 * i - 1] == "concurrent"
end

-- Gives the places of one request back, whether they are there or not.
local function leave(self, keys, member)
  local commands = {}
  for i = 1, #keys do
    commands[i] = { "ZREM", keys[i], member }
  end
  self.db:pipeline(commands)
end

-- Those of the keys where the request has a place.
local function places_of(self, keys)
  local places = {}
  for i = 1, #keys do
    if is_place(self, i) then
      places[#places + 1] = keys[i]
    end
  end
  return places
end

-- A note is a list of texts, each behind its length: the member, then the keys of its places.
local function note_places(self, exchange, keys, member)
  local texts = places_of(self, keys)
  table.insert(texts, 1, member)
  for i, text in ipairs(texts) do
    texts[i] = #text .. ":" .. text
  end
  local note = table.concat(texts)
  C.dml_exchange_note(gateway, exchange.h, self.scope, #self.scope, note, #note)
end

local function texts_of(note)
  local texts, at = {}, 1
  while at <= #note do
    local colon = note:find(":", at, true)
    local last = colon + tonumber(note:sub(at, colon - 1))
    texts[#texts + 1], at = note:sub(colon + 1, last), last + 1
  end
  return texts
end

-- Is it what the script answers, and not what something between here and the server makes of it?
local function is_of_script(reply, n)
  if type(reply) ~= "table" or #reply ~= 3 * n + 1 then
    return false
  end
  for i = 1, #reply do
    if type(reply[i]) ~= "number" then
      return false
    end
  end
  return reply[1] >= 0 and reply[1] <= n
end

-- Asks the server: its reply, or nil and a word.
local function ask(self, keys, cost, member)
  local pass = self.breaker:enter()
  if not pass then
    return nil, "open"
  end
  local args = { whole(cost), member } -- of this request alone: they may be sent twice
  for i = 3, #self.args do
    args[i] = self.args[i]
  end
  local begun = time.monotonic()
  local reply, err, why = self.db:eval(SCRIPT, keys, args)
  if reply ~= nil and not is_of_script(reply, #self.list) then
    reply, err, why = nil, "protocol", "what came is not the answer of the script"
  end
  local is_good = reply ~= nil
  if err == "cancelled" then
    is_good = nil
  end
  self.breaker:leave(pass, is_good, time.monotonic() - begun)
  return reply, err, why
end

-- About a request, by its parts. The verdict, valid until the next decision of this limiter; or nil and a word:
-- "cancelled", "open", or why the server can't count. Where places were taken the request has to give them back by
-- Shared:leave.
function Shared:take(exchange)
  local keys = keys_of(self, exchange)
  if not keys then
    return nil, "cancelled"
  end
  local cost = C.dml_limiter_cost_of(gateway, exchange.h, self.own.limiter)
  local member = ""
  if self.has_places then
    taken = taken + 1
    member = worker .. taken
  end
  local reply, err, why = ask(self, keys, self.own.cost >= 0 and self.own.cost or cost, member)
  if not reply then
    if self.has_places and err ~= "open" then -- it may have been counted all the same
      task.detach(leave, self, places_of(self, keys), member)
    end
    return nil, err, why
  end
  local verdict = read_reply(self, reply)
  C.dml_limiter_tell(gateway, exchange.h, self.own.limiter, verdict)
  if self.has_places and verdict.refused == 0 then
    note_places(self, exchange, keys, member)
  end
  return verdict
end

-- The request is over: gives back what it has of places, whichever VM took them.
function Shared:leave(exchange)
  if C.dml_exchange_noted(gateway, exchange.h, self.scope, #self.scope, out) < 0 then
    return
  end
  local keys = texts_of(ffi.string(out.ptr, out.len))
  leave(self, keys, table.remove(keys, 1))
end

return M
