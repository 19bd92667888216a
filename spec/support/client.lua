-- SPDX-License-Identifier: Apache-2.0

-- A client of the gateway, from raw bytes (connect) to whole requests (get, request).

local connection = require "spec.support.connection"
local posix = require "spec.support.posix"

local M = {}

-- A connection to a port of 127.0.0.1 (or another place: posix.connect), or nil when nobody listens.
function M.try_connect(port)
  local fd = posix.connect(port)
  return fd and connection.new(fd)
end

function M.connect(port)
  return M.try_connect(port) or error(("nobody listens on %s"):format(port), 2)
end

local function write_head(method, target, headers, body)
  local lines = { ("%s %s HTTP/1.1"):format(method, target) }
  local has_host = false
  for name, value in pairs(headers) do
    has_host = has_host or name:lower() == "host"
    lines[#lines + 1] = name .. ": " .. value
  end
  if not has_host then
    lines[#lines + 1] = "Host: localhost"
  end
  if body then
    lines[#lines + 1] = "Content-Length: " .. #body
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- The bytes of a request. options: headers, body.
function M.bytes(method, target, options)
  options = options or {}
  return write_head(method, target, options.headers or {}, options.body) .. (options.body or "")
end

-- One request on a connection of its own.
function M.request(port, method, target, options)
  local c = M.connect(port)
  c:send(M.bytes(method, target, options))
  local response = c:response(method)
  c:close()
  return response
end

function M.get(port, target, options)
  return M.request(port, "GET", target, options)
end

return M
