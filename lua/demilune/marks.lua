-- SPDX-License-Identifier: Apache-2.0

-- What must not happen twice: nonces, proofs, states, signatures, what was ended. Each is noted for as long as it could
-- come again, in the store "marks", which all workers share. No flood of other things pushes a mark out, and
-- when there is no room for another one the caller is told so and has to refuse.
--
--   local is_first = marks.first("my-plugin " .. nonce, 300)
--   if is_first == nil then ... 503 ... elseif not is_first then ... it came before ... end

local log = require "demilune.log"
local stores = require "demilune.store"
local time = require "demilune.time"

---@class demilune.marks
local M = {}

local QUIET = 60 -- seconds between two complaints

local quiet_until = 0

-- Anybody may be able to make us say it.
local function complain()
  if time.monotonic() >= quiet_until then
    quiet_until = time.monotonic() + QUIET
    log.error('the store "marks" is full, and requests are refused for it: give it a larger size in stores')
  end
end

--- true: it happens for the first time, and is noted; false: it has happened; nil: that can't be told, for there is no room
--- to note it, which the operator is told. seconds: how long it is noted.
---@param key string
---@param seconds number
---@return boolean? is_first
function M.first(key, seconds)
  local is_first, word = stores.use("marks"):add(key, true, seconds)
  if is_first or word == "exists" then
    return is_first == true
  end
  complain()
  return nil
end

--- Has it happened?
---@param key string
---@return boolean has_happened
function M.has(key)
  return stores.use("marks"):get(key) ~= nil
end

--- It has not happened after all.
---@param key string
function M.forget(key)
  stores.use("marks"):delete(key)
end

return M
