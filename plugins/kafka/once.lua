-- SPDX-License-Identifier: Apache-2.0

-- A repeated request publishes once, over all workers, and with Redis over all gateways: while the first is on its way the others wait for it, and later ones
-- get the same answer. The first goes on when its client leaves, which is when clients repeat.
--
-- The ids of its events are made of the key: should the gateway have ended in between, what is published again carries the same.

local crypto = require "demilune.crypto"
local json = require "demilune.json"
local shared = require "demilune.plugins.kafka.shared"
local store = require "demilune.store"
local task = require "demilune.task"

local M = {}
M.__index = M

local LONGEST_KEY = 512
local SLACK = 5 -- seconds, beyond the broker's, that the first may take

-- redis: the name of a server; nil: the keys are in memory only. Raises where there is no such server.
function M.new(scope, ttl, timeout, redis)
  local lease = timeout + SLACK
  return setmetatable({
    scope = scope, ttl = ttl, lease = lease, store = store.use(), shared = redis and shared.new(redis, ttl, lease),
  }, M)
end

-- Whose key it is: two clients may choose the same.
function M:name(exchange, key)
  local consumer = exchange.consumer
  local whole = table.concat({ self.scope, consumer and consumer.name or "", key }, "\0")
  return "kafka:" .. crypto.hex(crypto.digest("sha256", whole))
end

function M.fault(key)
  return #key > LONGEST_KEY and ("The idempotency key is longer than %d bytes."):format(LONGEST_KEY) or nil
end

-- A UUID (version 8) that is the same for the same event.
function M.id(name, index)
  local hex = crypto.hex(crypto.digest("sha256", name .. "\0" .. index)):sub(1, 32)
  local variant = ("89ab"):sub(tonumber(hex:sub(17, 17), 16) % 4 + 1):sub(1, 1)
  return ("%s-%s-8%s-%s%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(14, 16), variant, hex:sub(18, 20),
    hex:sub(21, 32))
end

local function refusal(status, problem, retry_after)
  return { status = status, headers = { ["retry-after"] = retry_after }, problem = problem }
end

-- An answer that is final is kept; a failure is not, so that the next one tries.
local function is_final(answer)
  return answer.status == 202 or answer.status == 207
end

local function fly(self, name, mark, publish)
  local failed
  local function run()
    local answer = publish()
    if is_final(answer) then
      return mark .. json.encode(answer)
    end
    failed = answer
    return nil, "failed"
  end
  local kept, word = self.store:once(name, self.ttl, function()
    if self.shared then
      return self.shared:once(name, run)
    end
    return run()
  end, { lease = self.lease })
  return kept, failed, word
end

-- The answer of publish(), or that of the request before with this key; nil when the client has left.
function M:answer(name, content, publish)
  local mark = crypto.digest("sha256", content)
  local kept, failed, word = task.detach(fly, self, name, mark, publish):join()
  if failed then
    return failed
  elseif word == "unavailable" then
    return refusal(503, "Whether this idempotency key was used before can't be known now.", 1)
  elseif not kept then
    return word ~= "cancelled" and refusal(409, "A request with this idempotency key is still on its way.", 1) or nil
  elseif kept:sub(1, #mark) ~= mark then
    return refusal(422, "This idempotency key was used before, with another content.")
  end
  return json.decode(kept:sub(#mark + 1))
end

return M
