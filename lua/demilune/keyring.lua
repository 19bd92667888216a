-- SPDX-License-Identifier: Apache-2.0

-- Secrets to be recognised, and what each stands for. One is found by a keyed digest, so that
-- the search tells nothing about the others, and then compared in constant time. The credential
-- of a request is looked at where it lies; no Lua text is made of it.

local border = require "demilune.ffi"

local C, gateway, out = border.C, border.gateway, border.out

local M = {}

local Keyring = { __name = "keyring" }
Keyring.__index = Keyring

function M.new()
  return setmetatable({ entries = {} }, Keyring)
end

-- false when the secret is there already.
function Keyring:add(secret, value)
  local digest = C.dml_hash(secret, #secret)
  local entry = self.entries[digest]
  while entry do
    if entry.secret == secret then
      return false
    end
    entry = entry.next
  end
  self.entries[digest] = { secret = secret, value = value, next = self.entries[digest] }
  return true
end

-- Two secrets with one digest: so rare that it may leave the compiled path. (A loop in `find` would, each time.)
local function find_further(entry, ptr, len)
  while entry do
    if C.dml_equal(ptr, len, entry.secret, #entry.secret) == 1 then
      return entry.value
    end
    entry = entry.next
  end
  return nil, true
end

-- The value of the secret that a selector (demilune.selector) finds in the request; nil, true for one
-- that is not known, nil, false when the request brings none.
function Keyring:find(selector, exchange)
  if C.dml_template_eval(gateway, exchange.h, selector.template, out) < 0 then
    return nil, false
  end
  local ptr, len = out.ptr, out.len
  local entry = self.entries[C.dml_hash(ptr, len)]
  if not entry then
    return nil, true
  elseif C.dml_equal(ptr, len, entry.secret, #entry.secret) == 1 then
    return entry.value
  end
  return find_further(entry.next, ptr, len)
end

return M
