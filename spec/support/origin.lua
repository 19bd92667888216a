-- SPDX-License-Identifier: Apache-2.0

-- An upstream in the hand of the spec: it accepts a connection when the spec says so, and each has the raw bytes
-- both ways (connection.lua).

local connection = require "spec.support.connection"
local posix = require "spec.support.posix"

local Origin = {}
Origin.__index = Origin

local M = {}

-- On a free port (or that one).
function M.listen(port)
  local fd, bound = posix.listen(port)
  return setmetatable({ fd = fd, port = bound }, Origin)
end

-- A port that nobody uses just now.
function M.free_port()
  local fd, port = posix.listen()
  posix.close(fd)
  return port
end

-- The next connection of the gateway.
function Origin:accept()
  local fd = posix.accept(self.fd, posix.PATIENCE)
  return fd and connection.new(fd) or error("the gateway opened no connection to the upstream", 2)
end

-- Does none come for so long?
function Origin:is_left_alone(seconds)
  return not posix.readable(self.fd, seconds)
end

-- Accepts a connection, reads a request, and answers it. Returns both.
function Origin:serve(status, headers, body)
  local c = self:accept()
  local request = c:request()
  c:respond(status, headers, body)
  return request, c
end

function Origin:close()
  posix.close(self.fd)
end

-- An environment in which each of the names is a port that was free a moment ago.
function M.free_ports(names)
  local env, held = {}, {}
  for _, name in ipairs(names) do
    held[name] = M.listen()
    env[name] = tostring(held[name].port)
  end
  for _, one in pairs(held) do
    one:close()
  end
  return env
end

return M
