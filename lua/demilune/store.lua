-- SPDX-License-Identifier: Apache-2.0

-- Memory that all workers share, and that survives reloads. Values are texts, numbers and
-- booleans; keys are texts. Each operation is atomic for its key.
--
--   local store = require("demilune.store").use()      -- the store "default"
--   store:set("k", "v", 60)                            -- for 60 seconds
--   local value, err = store:get "k"                   -- nil, "not_found"
--   store:incr("hits", 1, 60)                          -- a counter that ends with its 60 seconds
--   store:gcra("key", { limit = 100, window = 60 })    -- is it within a limit? see below
--   store:once("key", 60, function() ... end)          -- one runs it, over all workers

local ffi = require "ffi"
local border = require "demilune.ffi"
local core = require "demilune.core"

local C = border.C
local no_self = border.no_self
local number_out = ffi.new "double[1]"
local value_in, value_out = ffi.new "struct dml_value", ffi.new "struct dml_value"
local old_in = ffi.new "struct dml_value"

local TRIES = 3 -- owners that one caller of once waits for

core.flight_start()

---@class demilune.store
local M = {}

---@class store
---@field name string
---
---@class verdict  Of a limit. It is valid until the next one of this worker.
---@field refused integer  0 or 1
---@field limit number
---@field remaining number
---@field retry_after number  Seconds.
---@field reset number  Seconds.
local Store = { __name = "store" }
Store.__index = Store

local cache = {}

--- The store of this name in the configuration; "default" is always there.
---@param name? string
---@return store
function M.use(name)
  name = name or "default"
  local found = cache[name]
  if not found then
    local store = core.store_is_configured(name) and C.dml_store(name, #name) or nil
    if store == nil then
      error(('the configuration has no store "%s"'):format(tostring(name)), 2)
    end
    found = setmetatable({ store = store, name = name }, Store)
    cache[name] = found
  end
  return found
end

local function check_key(key)
  if type(key) ~= "string" or key == "" then
    error("the key of a store is a text that is not empty", 3)
  end
end

local function check_ttl(ttl)
  if ttl ~= nil and (type(ttl) ~= "number" or ttl ~= ttl or ttl < 0) then
    error("a ttl is a number of seconds", 3)
  end
  return ttl or 0
end

local function fill(into, value)
  local kind = type(value)
  if kind == "string" then
    into.tag, into.text.ptr, into.text.len = C.DML_TAG_STRING, value, #value
  elseif kind == "number" then
    into.tag, into.number = C.DML_TAG_NUMBER, value
  elseif kind == "boolean" then
    into.tag, into.number = C.DML_TAG_BOOLEAN, value and 1 or 0
  else
    error("a store holds texts, numbers and booleans, not a " .. kind, 3)
  end
end

--- The value, or nil, "not_found".
---@param key string
---@return string|number|boolean|nil value
---@return string? word
function Store:get(key)
  check_key(key)
  local rc = C.dml_store_get(self.store or no_self(), key, #key, value_out)
  if rc < 0 then
    return border.failed(rc)
  elseif value_out.tag == C.DML_TAG_STRING then
    return ffi.string(value_out.text.ptr, value_out.text.len)
  elseif value_out.tag == C.DML_TAG_BOOLEAN then
    return value_out.number ~= 0
  end
  return value_out.number
end

local function put(self, key, ttl, only_new)
  local rc = C.dml_store_set(self.store or no_self(), key, #key, value_in, ttl, only_new)
  if rc < 0 then
    return border.failed(rc)
  end
  return true
end

--- true; nil, "full" for what is too large for this store.
---@param key string
---@param value string|number|boolean
---@param ttl? number seconds; none: as long as there is room
---@return true? ok
---@return string? word
function Store:set(key, value, ttl)
  check_key(key)
  fill(value_in, value)
  return put(self, key, check_ttl(ttl), 0)
end

--- Only when there is none: nil, "exists".
---@param key string
---@param value string|number|boolean
---@param ttl? number seconds
---@return true? ok
---@return string? word
function Store:add(key, value, ttl)
  check_key(key)
  fill(value_in, value)
  return put(self, key, check_ttl(ttl), 1)
end

--- Only when what stands there is `old`: nil, "exists" when it is something else, nil, "not_found". With it a value is
--- changed by what it was: read it, make another one, and begin anew where somebody else was faster.
---@param key string
---@param old string|number|boolean
---@param value string|number|boolean
---@param ttl? number  Seconds; absent: without an end.
---@return true? ok
---@return string? word
function Store:cas(key, old, value, ttl)
  check_key(key)
  fill(old_in, old)
  fill(value_in, value)
  local rc = C.dml_store_cas(self.store or no_self(), key, #key, old_in, value_in, check_ttl(ttl))
  if rc < 0 then
    return border.failed(rc)
  end
  return true
end

--- Adds to a number and gives the sum. One that is not there begins at 0, with this ttl.
---@param key string
---@param by? number 1
---@param ttl? number seconds
---@return number? sum
---@return string? word
function Store:incr(key, by, ttl)
  check_key(key)
  local rc = C.dml_store_incr(self.store or no_self(), key, #key, by or 1, check_ttl(ttl), number_out)
  if rc < 0 then
    return border.failed(rc)
  end
  return number_out[0]
end

--- Removes it. False when it was not there.
---@param key string
---@return boolean was_there
function Store:delete(key)
  check_key(key)
  local rc = C.dml_store_delete(self.store or no_self(), key, #key)
  if rc < 0 then
    return border.failed(rc)
  end
  return true
end

--- Seconds left; 0 for one without an end; nil, "not_found".
---@param key string
---@return number? seconds
---@return string? word
function Store:ttl(key)
  check_key(key)
  local seconds = C.dml_store_ttl(self.store or no_self(), key, #key)
  if seconds < 0 then
    return border.failed(seconds)
  end
  return seconds
end

-- Limits ----------------------------------------------------------------------------------

local verdict = ffi.new "struct dml_verdict"

local function take(self, key, algorithm, options)
  check_key(key)
  local o = ffi.new "struct dml_limit_options"
  o.limit, o.window, o.burst, o.algorithm = options.limit, options.window, options.burst or 0, algorithm
  local rc = C.dml_store_take(self.store or no_self(), key, #key, o, options.cost or 1, verdict)
  if rc == border.err.ARG then
    error("a limit is at least 1, its window at least 1ms (in seconds)", 3)
  elseif rc < 0 then
    return border.failed(rc)
  end
  return verdict
end

--- Counts once against a limit, spread evenly: options are limit, window (seconds), burst (= limit)
--- and cost (1). Gives a verdict as demilune.limit's: refused (0 or 1), limit, remaining,
--- retry_after, reset; valid until the next one of this worker. A key that counts holds no value.
---@param key string
---@param options { limit: number, window: number, burst?: number, cost?: number }
---@return verdict? verdict
---@return string? word
function Store:gcra(key, options)
  return take(self, key, C.DML_GCRA, options)
end

--- The same within a window: the one of the clock, or with options.sliding the last one up to now.
---@param key string
---@param options { limit: number, window: number, cost?: number, sliding?: boolean }
---@return verdict? verdict
---@return string? word
function Store:window(key, options)
  return take(self, key, options.sliding and C.DML_SLIDING_WINDOW or C.DML_FIXED_WINDOW, options)
end

-- Once --------------------------------------------------------------------------------------

-- Values -> bytes that say their type, for those who wait for a value in other workers.
local function pack(value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    error("the function of store:once gives a text, a number or a boolean, not a " .. kind, 0)
  end
  return kind:sub(1, 1) .. (kind == "number" and ("%.17g"):format(value) or tostring(value))
end

local function unpack_value(bytes)
  local kind, text = bytes:sub(1, 1), bytes:sub(2)
  if kind == "n" then
    return tonumber(text)
  elseif kind == "b" then
    return text == "true"
  end
  return text
end

-- Runs f for those who wait on the same key, and tells them what came of it.
local function fly(self, seat, key, ttl, f)
  local ok, made, why = pcall(f)
  if not ok or made == nil then
    core.flight_drop(seat)
    if not ok then
      error(made, 0)
    end
    return nil, why
  end
  local bytes = pack(made)
  local kept, err = self:set(key, made, ttl)
  core.flight_land(seat, bytes)
  if not kept then
    return made, err
  end
  return made
end

--- The value of a key; when it is not there, one caller over all workers runs f, keeps its result for
--- ttl seconds and hands it to the others, who wait. When f returns nil, err or raises, the next one
--- of them tries. options.lease: seconds that f may take (30).
---@param key string
---@param ttl number seconds
---@param f fun(): any
---@param options? { lease?: number }
---@return any value
---@return string? word
function Store:once(key, ttl, f, options)
  check_key(key)
  ttl = check_ttl(ttl)
  local lease = options and options.lease or 30
  local flight = self.name .. "\0" .. key
  for _ = 1, TRIES do
    local value, err = self:get(key)
    if value ~= nil or err ~= "not_found" then
      return value, err
    end
    local seat, landed = core.flight_join(flight, lease)
    if seat == false then
      return unpack_value(landed)
    elseif seat then
      value = self:get(key) -- it may have come between the look and the seat
      if value == nil then
        return fly(self, seat, key, ttl, f)
      end
      core.flight_land(seat, pack(value))
      return value
    elseif landed ~= "timeout" then
      return nil, landed
    end
    core.flight_sweep() -- its owner has not come back in time
  end
  return nil, "timeout"
end

return M
