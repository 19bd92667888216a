-- SPDX-License-Identifier: Apache-2.0

-- What a certificate hook is given: a client has said hello on a listener with TLS, and there is no request yet.
--
--   function Plugin:certificate(handshake)
--     local found = self:look_up(handshake.server_name)       -- it may wait: for Redis, an HTTP service...
--     if found then
--       assert(handshake:use(found.cert, found.key))          -- PEM texts; else the configuration's own is shown
--     elseif found == false then
--       handshake:refuse()
--     end
--   end
--
-- handshake.server_name  the name that the client asks for, in lower case; nil when it asks for none
-- handshake.client_ip    its address
-- handshake.listener     the listener's address, as the configuration has it
-- handshake.alpn         list of the protocols that the client offers
--
-- All of it has to end within limits.header_timeout. A hook that fails refuses the handshake.

local core = require "demilune.core"

core.handshake_metatable().__name = "handshake"

---@class handshake  What a certificate hook is given.
---@field server_name string?  The name that the client asks for, in lower case; nil when it asks for none.
---@field client_ip string  Its address.
---@field listener string  The listener's address, as the configuration has it.
---@field alpn string[]  The protocols that the client offers.
local Handshake = { __name = "handshake" }
Handshake.__index = Handshake

--- Shows this certificate, with its chain behind it, in place of the configuration's. Texts are parsed once
--- and known again. True; or nil and what is wrong with them.
---@param cert string PEM
---@param key string PEM
---@return true? ok
---@return string? message
function Handshake:use(cert, key)
  local ok, why = core.handshake_use(self.raw, cert, key)
  self.is_settled = ok
  return ok, why
end

--- The client gets an alert (access_denied).
---@return true? ok
---@return string? message
function Handshake:refuse()
  local ok, why = core.handshake_refuse(self.raw)
  self.is_settled = ok
  return ok, why
end

if core.explains then
  require("demilune.explain").class("handshake", Handshake,
    { server_name = true, client_ip = true, listener = true, alpn = true, raw = true, is_settled = true })
end

local M = {}

--- From the core.
---@private
function M.new(raw)
  local server_name, client_ip, listener, alpn = core.handshake_read(raw)
  return setmetatable({ raw = raw, server_name = server_name, client_ip = client_ip, listener = listener, alpn = alpn },
    Handshake)
end

return M
