-- SPDX-License-Identifier: Apache-2.0

-- Tries again where that helps and does no harm. What may be repeated, how long to wait and what the
-- budget still has is decided in the core (gate/retry), in one call per attempt.

local retry = require "demilune.retry"

local Retry = { name = "retry", version = "1.0.0" }
Retry.__index = Retry
Retry.schema = require "demilune.plugins.retry.schema"

function Retry.new(config, context)
  if config.hedge and config.attempts < 2 then
    return nil, "with attempts: 1 there is no other attempt", "hedge"
  end
  local policy, message, path = retry.new(config, context)
  if not policy then
    return nil, message, path
  end
  local self = setmetatable({ policy = policy, core_hooks = policy:core_hooks() }, Retry)
  if not config.per_try_timeout and not config.hedge then
    self.balance = false
  end
  return self
end

function Retry:balance(exchange)
  self.policy:prepare(exchange)
end

function Retry:attempt(exchange)
  return self.policy:judge(exchange)
end

return Retry
