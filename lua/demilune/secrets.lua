-- SPDX-License-Identifier: Apache-2.0

-- Whose secret is this? A table of secrets (API keys, tokens) that is asked with what a request
-- brings, and whose time does not tell how much of a guess was right: entries are found by a keyed
-- hash and compared in constant time. What a request brings never becomes a Lua text.
--
--   local keys = secrets.new()
--   keys:add("k-123", owner)         false when it is there already
--   keys:find(source, exchange)      its owner; false for a wrong one; nil when there is none
--
-- `source` is a selector (demilune.selector), an owner any table.

local border = require "demilune.ffi"

local C, gateway, out = border.C, border.gateway, border.out
local NOT_FOUND = border.err.NOT_FOUND

local M = {}

local Secrets = { __name = "secrets" }
Secrets.__index = Secrets

function M.new()
  return setmetatable({ by_hash = {} }, Secrets)
end

-- Entries of one hash form a list, which nearly always has one.
local function search(entry, ptr, len)
  if C.dml_equal(ptr, len, entry.secret, #entry.secret) == 1 then
    return entry.owner
  elseif entry.next then
    return search(entry.next, ptr, len)
  end
  return false
end

function Secrets:add(secret, owner)
  local hash = C.dml_hash(secret, #secret)
  local first = self.by_hash[hash]
  if first and search(first, secret, #secret) then
    return false
  end
  self.by_hash[hash] = { secret = secret, owner = owner, next = first }
  return true
end

function Secrets:find(source, exchange)
  local rc = C.dml_template_eval(gateway, exchange.h, source.template, out)
  if rc < 0 then
    if rc ~= NOT_FOUND then
      border.misuse(rc, "the secret can't be read")
    end
    return nil
  end
  local entry = self.by_hash[C.dml_hash(out.ptr, out.len)]
  return entry and search(entry, out.ptr, out.len) or false
end

return M
