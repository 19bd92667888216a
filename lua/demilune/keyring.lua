-- SPDX-License-Identifier: Apache-2.0

-- Whose secret is this? A table of the consumers' secrets (API keys, tokens) that is asked with what a
-- request brings. It lies in C, where it is searched by a keyed hash and compared in constant time.
--
--   local ring = keyring.new(context.version)
--   ring:add("k-123", item.number)      false when it is there already
--   ring:identify(source, exchange)     true, and exchange.consumer is its owner; false for a wrong
--                                       one; nil when there is none
--
-- `source` is a selector (demilune.selector), an item one of context.consumers(kind).

local ffi = require "ffi"
local border = require "demilune.ffi"

local C, gateway = border.C, border.gateway
local no_self = border.no_self
local NOT_FOUND = border.err.NOT_FOUND

---@class demilune.keyring
local M = {}

---@class keyring
local Keyring = { __name = "keyring" }
Keyring.__index = Keyring

--- version: of the configuration whose consumers they are.
---@param version integer
---@return keyring
function M.new(version)
  local ring = ffi.gc(C.dml_keyring_new(version), C.dml_keyring_free)
  return setmetatable({ ring = ring, version = version }, Keyring)
end

--- A consumer's secret. False when it is there already.
---@param secret string
---@param number integer of the consumer
---@return boolean is_new
function Keyring:add(secret, number)
  return C.dml_keyring_add(self.ring or no_self(), secret, #secret, number) == 0
end

--- True, and exchange.consumer is the owner; false for a secret that nobody has; nil when the request brings none.
---@param source template
---@param exchange exchange
---@return boolean? is_known
function Keyring:identify(source, exchange)
  local template = source.template or border.raise "keyring:identify wants a template, of demilune.selector"
  local rc = C.dml_keyring_identify(gateway, exchange.h, self.ring or no_self(), template)
  if rc >= 0 then
    return rc == 1
  elseif rc ~= NOT_FOUND then
    border.misuse(rc, "the request can't be read")
  end
  return nil
end

return M
