-- SPDX-License-Identifier: Apache-2.0

-- Sets of networks. They lie in C, sorted, so that thousands take little longer than one:
--
--   local inside = networks.new { "10.0.0.0/8", "192.0.2.7", "2001:db8::/32" }
--   inside:has_client(exchange)       is its client_ip in one of them?

local ffi = require "ffi"
local border = require "demilune.ffi"

local C, gateway = border.C, border.gateway
local no_self = border.no_self

---@class demilune.networks
local M = {}

---@class networks
local Networks = { __name = "networks" }
Networks.__index = Networks

--- A set of these addresses and networks; nil, a word and the text that is neither.
---@param list string[]
---@return networks? set
---@return string? word
---@return string? text
function M.new(list)
  local set = ffi.gc(C.dml_networks_new(), C.dml_networks_free)
  for _, text in ipairs(list) do
    local rc = C.dml_networks_add(set, text, #text)
    if rc < 0 then
      local _, word = border.failed(rc)
      return nil, word, text
    end
  end
  C.dml_networks_sort(set)
  return setmetatable({ set = set }, Networks)
end

--- Whether it has the client's address. A client on a unix socket has none.
---@param exchange exchange
---@return boolean
function Networks:has_client(exchange)
  local rc = C.dml_networks_have_client(gateway, exchange.h, self.set or no_self())
  if rc < 0 then
    border.raise "exchange is gone"
  end
  return rc == 1
end

return M
