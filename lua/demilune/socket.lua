-- SPDX-License-Identifier: Apache-2.0

-- TCP, unix and UDP sockets that wait without holding up anybody else.
--
--   local socket = require "demilune.socket"
--   local s, err = socket.connect("127.0.0.1", 7)            -- or "unix:/run/x.sock"; nil, "refused"
--   s:write "hello\n"                                        -- true; nil, "reset"
--   local line, err, rest = s:read_until("\n")               -- nil, "closed", what had come
--   s:close()
--
--   local s, err, why = socket.connect("example.com", 443, { tls = true })
--
-- tls = true verifies the certificate with the system's authorities, and its name; a table changes that: { verify =
-- false, ca = PEM, server_name = "x", cert = PEM, key = PEM }. s:start_tls(host, options) begins it later on.
--
--   local u = socket.udp("127.0.0.1", 8125)                  -- datagrams; or socket.udp_bind("0.0.0.0", 8125)
--   u:send "requests:1|c"
--   local text, err = u:receive(0.5)                         -- nil, "timeout"
--
-- Where outbound.deny forbids it nobody goes: nil, "denied".
-- Every wait has a deadline, the last argument, in seconds: 60 unless given, 5 for connecting.
-- A socket that is forgotten is closed in the end; closing it is better.

local border = require "demilune.ffi"
local core = require "demilune.core"
local dns = require "demilune.dns"
local task = require "demilune.task"

local TIMEOUT, CONNECT_TIMEOUT = 60, 5
local CHUNK, LONGEST = 65536, 1048576
local OPTIONS = border.option_names "timeout tls"

---@class demilune.socket
local M = {}

-- --- connections --------------------------------------------------------------------------------

---@class socket
---@field shutdown fun(self: socket)  Says that no more will be written; reading goes on.
---@field close fun(self: socket)  What was written is still sent.
---@field reset fun(self: socket)  Closes it so that the peer sees a reset.
local Socket = core.net_metatable()
Socket.__name = "socket"
Socket.__index = Socket

--- What has come, up to `most` bytes; waits for the first.
---@param most? integer bytes
---@param timeout? number seconds
---@return string? text
---@return string? word
function Socket:read(most, timeout)
  return core.net_read(self, most or CHUNK, timeout or TIMEOUT)
end

--- So many bytes; nil, a word and what had come when there are fewer.
---@param n integer bytes
---@param timeout? number seconds
---@return string? text
---@return string? word
---@return string? part
function Socket:read_exactly(n, timeout)
  return core.net_read_exactly(self, n, timeout or TIMEOUT)
end

--- All up to the text, the text included; nil, "limit" when it does not stand in the first `most` bytes.
---@param text string
---@param most? integer bytes
---@param timeout? number seconds
---@return string? text
---@return string? word
---@return string? part
function Socket:read_until(text, most, timeout)
  return core.net_read_until(self, text, most or LONGEST, timeout or TIMEOUT)
end

--- Everything until the peer ends; nil, "limit" beyond `most` bytes.
---@param most? integer bytes
---@param timeout? number seconds
---@return string? text
---@return string? word
function Socket:read_all(most, timeout)
  most = most or LONGEST
  local parts, size = {}, 0
  while true do
    local part, word = core.net_read(self, CHUNK, timeout or TIMEOUT)
    if not part then
      if word == "closed" then
        return table.concat(parts)
      end
      return nil, word, table.concat(parts)
    end
    parts[#parts + 1], size = part, size + #part
    if size > most then
      return nil, "limit", table.concat(parts)
    end
  end
end

--- True once the system has all of it but some 256 KiB.
---@param text string
---@param timeout? number seconds
---@return true? ok
---@return string? word
function Socket:write(text, timeout)
  return core.net_write(self, text, timeout or TIMEOUT)
end

Socket.shutdown, Socket.close, Socket.reset = core.net_shutdown, core.net_close, core.net_reset

--- The address of the other end.
---@return string address
function Socket:peer()
  return core.net_address(self, "peer")
end

--- The address of this end.
---@return string address
function Socket:address()
  return core.net_address(self, "local")
end

--- From now on all that is read and written is TLS; host is the name that is verified. nil, "tls" and what
--- OpenSSL says when the peer is not believed: the socket is closed then.
---@param host string
---@param options? tls.options|true
---@param timeout? number seconds
---@return true? ok
---@return string? word
---@return string? why
function Socket:start_tls(host, options, timeout)
  border.check_options("start_tls", { tls = options }, OPTIONS)
  return core.tls_start(self, host, options or true, timeout or CONNECT_TIMEOUT)
end

local function address_of(host, port)
  if type(host) ~= "string" then
    border.raise("the host is a text, not a " .. type(host))
  elseif port == nil then
    return host
  elseif type(port) ~= "number" or port % 1 ~= 0 or port < 0 or port > 65535 then
    border.raise "the port is a whole number from 0 to 65535"
  end
  return (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
end

local function connect_by_name(host, port, timeout)
  local addresses, word = dns.resolve(host)
  local s
  for _, address in ipairs(addresses or {}) do
    s, word = core.net_connect(address_of(address, port), timeout)
    if s or word == "cancelled" then
      break
    end
  end
  return s, not s and word or nil
end

local function connect_plain(host, port, timeout)
  local s, word = core.net_connect(address_of(host, port), timeout)
  if s or word ~= "syntax" or port == nil then
    return s, word
  end
  return task.deadline(timeout, connect_by_name, host, port, timeout)
end

--- host: an address or a name, or "unix:/path" with no port. options: { timeout, tls }, or a timeout.
---@param host string
---@param port? integer
---@param options? number|{ timeout?: number, tls?: tls.options|true }
---@return socket? socket
---@return string? word
---@return string? why
function M.connect(host, port, options)
  if type(options) ~= "table" then
    options = { timeout = options }
  end
  border.check_options("socket.connect", options, OPTIONS)
  local timeout = options.timeout or CONNECT_TIMEOUT
  local s, word = connect_plain(host, port, timeout)
  if not s or not options.tls then
    return s, word
  end
  local ok, why
  ok, word, why = s:start_tls(host, options.tls, timeout)
  if ok then
    return s
  end
  return nil, word, why
end

-- --- datagrams -----------------------------------------------------------------------------------

---@class socket.udp
---@field close fun(self: socket.udp)
---@field address fun(self: socket.udp): string, integer  Its own address and port.
local Udp = core.udp_metatable()
Udp.__name = "udp socket"
Udp.__index = Udp

--- The next datagram; of a bound socket also who has sent it: its address and port. nil, "refused" when
--- the system has heard that nobody listens there.
---@param timeout? number seconds
---@return string? text
---@return string? host_or_word
---@return integer? port
function Udp:receive(timeout)
  return core.udp_receive(self, timeout or TIMEOUT)
end

--- True once the system has it; of a bound socket to an address and port. nil, "limit": it is too long.
---@param text string
---@param host? string
---@param port? integer
---@return true? ok
---@return string? word
function Udp:send(text, host, port)
  return core.udp_send(self, text, TIMEOUT, host and address_of(host, port))
end

Udp.close, Udp.address = core.udp_close, core.udp_address

--- Datagrams to and from one peer, and no other. host: an address or a name.
---@param host string
---@param port integer
---@return socket.udp? socket
---@return string? word
function M.udp(host, port)
  local u, word = core.udp_open(address_of(host, port), false)
  if u or word ~= "syntax" then
    return u, word
  end
  local addresses
  addresses, word = dns.resolve(host)
  for _, address in ipairs(addresses or {}) do
    u, word = core.udp_open(address_of(address, port), false)
    if u then
      break
    end
  end
  return u, not u and word or nil
end

--- Datagrams at an address of our own, from anybody. Port 0: the system chooses one.
---@param host string
---@param port integer
---@return socket.udp? socket
---@return string? word
function M.udp_bind(host, port)
  return core.udp_open(address_of(host, port), true)
end

-- --- listening ----------------------------------------------------------------------------------

---@class socket.listener
---@field close fun(self: socket.listener)
---@field address fun(self: socket.listener): string, integer  The text of the address, and the port.
local Listener = core.listen_metatable()
Listener.__name = "listener"
Listener.__index = Listener

--- The next connection.
---@param timeout? number seconds
---@return socket? socket
---@return string? word
function Listener:accept(timeout)
  return core.listen_accept(self, timeout or TIMEOUT)
end

Listener.close, Listener.address = core.listen_close, core.listen_address

--- The port that it listens on.
---@return integer port
function Listener:port()
  return (select(2, core.listen_address(self)))
end

--- Port 0: the system chooses one; see listener:port().
---@param host string  or "host:port"
---@param port? integer
---@return socket.listener? listener
---@return string? word
function M.listen(host, port)
  return core.listen_open(address_of(host, port))
end

return M
