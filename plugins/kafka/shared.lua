-- SPDX-License-Identifier: Apache-2.0

-- Idempotency keys in Redis, for several gateways, and over the end of each: who comes first claims the key for as long as
-- publishing may take, and leaves the answer there. A claim whose gateway has ended runs out.

local crypto = require "demilune.crypto"
local log = require "demilune.log"
local redis = require "demilune.redis"
local uuid = require "demilune.uuid"

local TIMEOUT = 1 -- seconds for what Redis is asked
local CLAIM, ANSWER = "c", "a"

-- KEYS: the name. ARGV: the claim, the answer ("": none), its milliseconds. Whose claim has run out changes nothing.
local SETTLE = redis.script [==[
if redis.call("GET", KEYS[1]) ~= ARGV[1] then
  return 0
elseif ARGV[2] == "" then
  return redis.call("DEL", KEYS[1])
end
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
return 1
]==]

local Shared = {}
Shared.__index = Shared

local M = {}

-- Raises where the configuration has no such server. ttl: of answers; lease: of claims.
function M.new(name, ttl, lease)
  return setmetatable({ db = redis.use(name, { timeout = TIMEOUT }), ttl = ttl, lease = lease }, Shared)
end

local function settle(self, name, claim, answer)
  local done, word, why = self.db:eval(SETTLE, { name }, { claim, answer, math.ceil(self.ttl * 1000) })
  if done ~= 1 then
    log.warn("the answer to an idempotency key is not in Redis: a repeated request may publish again",
      { error = word or "late", why = why })
  end
end

-- The answer that is there; or what publish gives, which is kept if it is one. Else nil and "busy" (another gateway is at
-- it), "unavailable", or the words of publish.
function Shared:once(name, publish)
  local key, claim = "demilune:" .. name, CLAIM .. crypto.hex(crypto.digest("sha256", uuid.v7()))
  local is_mine, word, why = self.db:command("SET", key, claim, "NX", "PX", math.ceil(self.lease * 1000))
  if is_mine then
    local answer, problem = publish()
    settle(self, key, claim, answer and ANSWER .. answer or "")
    return answer, problem
  end
  local found
  if not word then
    found, word, why = self.db:command("GET", key)
  end
  if word then
    log.warn("idempotency keys can't be asked for in Redis", { error = word, why = why })
    return nil, "unavailable"
  elseif found and found:sub(1, 1) == ANSWER then
    return found:sub(2)
  end
  return nil, "busy"
end

return M
