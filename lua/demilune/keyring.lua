-- SPDX-License-Identifier: Apache-2.0

-- Whose secret is this? A table of secrets (API keys, tokens) that is asked with what a request
-- brings. An entry is found by a keyed hash and compared in constant time, so that the time which
-- an answer takes does not tell how much of a guess was right. What a request brings is looked at
-- where it lies and never becomes a Lua text.
--
--   local ring = keyring.new()
--   ring:add("k-123", owner)         false when it is there already
--   ring:find(source, exchange)      its owner; false for a wrong one; nil when there is none
--
-- `source` is a selector (demilune.selector), an owner any value but nil and false.

local border = require "demilune.ffi"

local C, gateway, out = border.C, border.gateway, border.out
local NOT_FOUND = border.err.NOT_FOUND

local M = {}

local Keyring = { __name = "keyring" }
Keyring.__index = Keyring

function M.new()
  return setmetatable({ by_hash = {} }, Keyring)
end

-- Entries of one hash form a list, which nearly always has one: no loop, which would end a trace.
local function search(entry, ptr, len)
  if C.dml_equal(ptr, len, entry.secret, #entry.secret) == 1 then
    return entry.owner
  elseif entry.next then
    return search(entry.next, ptr, len)
  end
  return false
end

function Keyring:add(secret, owner)
  local hash = C.dml_hash(secret, #secret)
  local first = self.by_hash[hash]
  if first and search(first, secret, #secret) then
    return false
  end
  self.by_hash[hash] = { secret = secret, owner = owner, next = first }
  return true
end

function Keyring:find(source, exchange)
  local rc = C.dml_template_eval(gateway, exchange.h, source.template, out)
  if rc < 0 then
    if rc ~= NOT_FOUND then
      border.misuse(rc, "the request can't be read")
    end
    return nil
  end
  local entry = self.by_hash[C.dml_hash(out.ptr, out.len)]
  return entry and search(entry, out.ptr, out.len) or false
end

return M
