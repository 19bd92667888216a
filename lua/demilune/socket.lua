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

local M = {}

-- --- connections --------------------------------------------------------------------------------

local Socket = core.net_metatable()
Socket.__name = "socket"
Socket.__index = Socket

-- What has come, up to `most` bytes; waits for the first.
function Socket:read(most, timeout)
  return core.net_read(self, most or CHUNK, timeout or TIMEOUT)
end

function Socket:read_exactly(n, timeout)
  return core.net_read_exactly(self, n, timeout or TIMEOUT)
end

-- All up to the text, the text included; nil, "limit" when it does not stand in the first `most` bytes.
function Socket:read_until(text, most, timeout)
  return core.net_read_until(self, text, most or LONGEST, timeout or TIMEOUT)
end

-- Everything until the peer ends; nil, "limit" beyond `most` bytes.
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

-- True once the system has all of it but some 256 KiB.
function Socket:write(text, timeout)
  return core.net_write(self, text, timeout or TIMEOUT)
end

-- Says that no more will be written; reading goes on.
Socket.shutdown = core.net_shutdown

-- What was written is still sent.
Socket.close = core.net_close

-- Breaks it off, so that the peer sees a reset.
Socket.reset = core.net_reset

function Socket:peer()
  return core.net_address(self, "peer")
end

function Socket:address()
  return core.net_address(self, "local")
end

-- From now on all that is read and written is TLS; host is the name that is verified. nil, "tls" and what OpenSSL says
-- when the peer is not believed: the socket is closed then.
function Socket:start_tls(host, options, timeout)
  border.check_options("start_tls", { tls = options }, OPTIONS)
  return core.tls_start(self, host, options or true, timeout or CONNECT_TIMEOUT)
end

local function address_of(host, port)
  if port == nil then
    return host
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

-- host: an address or a name, or "unix:/path" with no port. options: { timeout, tls }, or a timeout.
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

local Udp = core.udp_metatable()
Udp.__name = "udp socket"
Udp.__index = Udp

-- The next datagram; of a bound socket also who has sent it: its address and port. nil, "refused" when
-- the system has heard that nobody listens there.
function Udp:receive(timeout)
  return core.udp_receive(self, timeout or TIMEOUT)
end

-- True once the system has it; of a bound socket to an address and port. nil, "limit": it is too long.
function Udp:send(text, host, port)
  return core.udp_send(self, text, TIMEOUT, host and address_of(host, port))
end

Udp.close = core.udp_close

-- Its own address and port.
Udp.address = core.udp_address

-- Datagrams to and from one peer, and no other. host: an address or a name.
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

-- Datagrams at an address of our own, from anybody. Port 0: the system chooses one.
function M.udp_bind(host, port)
  return core.udp_open(address_of(host, port), true)
end

-- --- listening ----------------------------------------------------------------------------------

local Listener = core.listen_metatable()
Listener.__name = "listener"
Listener.__index = Listener

-- The next connection.
function Listener:accept(timeout)
  return core.listen_accept(self, timeout or TIMEOUT)
end

Listener.close = core.listen_close

-- The text of the address, and the port.
Listener.address = core.listen_address

function Listener:port()
  return (select(2, core.listen_address(self)))
end

-- Port 0: the system chooses one; see listener:port().
function M.listen(host, port)
  return core.listen_open(address_of(host, port))
end

return M
