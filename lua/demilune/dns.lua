-- SPDX-License-Identifier: Apache-2.0

-- Names to addresses, by the gateway's resolver: one query for many askers, answers kept as
-- long as they say.
--
--   local addresses, ttl = dns.resolve "api.example.com"     { "192.0.2.1", ... }, or nil and a word

local core = require "demilune.core"

---@class demilune.dns
local M = {}

--- The addresses of a name, and for how long they hold; nil and a word.
---@param name string
---@return string[]? addresses
---@return number|string ttl_or_word
function M.resolve(name)
  if type(name) ~= "string" or name == "" then
    error("dns.resolve wants a name", 2)
  end
  return core.dns_resolve(name)
end

return M
