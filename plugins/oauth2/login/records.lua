-- SPDX-License-Identifier: Apache-2.0

-- Where sessions lie that the gateway keeps: in the store that all workers share, or in Redis, which several gateways
-- share. Both have the same operations, none of which can bring back what was removed meanwhile.
--
--   records:get(name)                  text and seconds left; nil; nil and a word when it can't be told
--   records:put(name, text, seconds)
--   records:swap(name, old, text, seconds)    only in the place of `old`; false when that is not there any more
--   records:touch(name, text, seconds)        it lives so long from now on
--   records:remove(name)               false when it can't be done
--   records:lock(name, seconds)        true for one caller until it unlocks, or that time is over
--   records:unlock(name)

local redis = require "demilune.redis"
local stores = require "demilune.store"

local M = {}

local PREFIX = "oauth2 session "

-- --- the store -------------------------------------------------------------------------------------

local Memory = {}
Memory.__index = Memory

function M.memory(name)
  return setmetatable({ store = stores.use(name) }, Memory)
end

function Memory:get(name)
  local text = self.store:get(PREFIX .. name)
  return text, text and self.store:ttl(PREFIX .. name) or nil
end

function Memory:put(name, text, seconds)
  return self.store:set(PREFIX .. name, text, seconds)
end

function Memory:swap(name, old, text, seconds)
  return self.store:cas(PREFIX .. name, old, text, seconds) == true
end

function Memory:touch(name, text, seconds)
  self.store:cas(PREFIX .. name, text, text, seconds)
end

function Memory:remove(name)
  self.store:delete(PREFIX .. name)
  return true
end

-- The workers of one gateway stand in line for a renewal anyhow.
function Memory.lock()
  return true
end

function Memory.unlock() end

-- --- Redis -----------------------------------------------------------------------------------------

local Redis = {}
Redis.__index = Redis

local SWAP = redis.script [[
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
return 1]]

local function ms(seconds)
  return math.max(1, math.floor(seconds * 1000))
end

function M.redis(name)
  return setmetatable({ db = redis.use(name) }, Redis)
end

function Redis:get(name)
  local values, word = self.db:pipeline { { "GET", PREFIX .. name }, { "PTTL", PREFIX .. name } }
  if not values or redis.is_failure(values[1]) then
    return nil, word or "failure"
  elseif values[1] == redis.null then
    return nil
  end
  return values[1], tonumber(values[2]) / 1000
end

function Redis:put(name, text, seconds)
  return self.db:command("SET", PREFIX .. name, text, "PX", ms(seconds))
end

function Redis:swap(name, old, text, seconds)
  local done = self.db:eval(SWAP, { PREFIX .. name }, { old, text, ms(seconds) })
  return done == 1
end

function Redis:touch(name, _, seconds)
  self.db:command("PEXPIRE", PREFIX .. name, ms(seconds))
end

function Redis:remove(name)
  return self.db:command("DEL", PREFIX .. name) ~= nil
end

function Redis:lock(name, seconds)
  return self.db:command("SET", PREFIX .. name .. " lock", 1, "NX", "PX", ms(seconds)) ~= nil
end

function Redis:unlock(name)
  self.db:command("DEL", PREFIX .. name .. " lock")
end

return M
