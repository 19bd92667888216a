-- SPDX-License-Identifier: Apache-2.0

-- The client of the test kit: one request per connection, or raw bytes.

local http1 = require "demilune.test.http1"
local socket = require "demilune.socket"

local M = {}

local Connection = {}
Connection.__index = Connection

-- A raw connection: send(text), receive(max), response(method), close(reset).
function M.connect(address, timeout)
  local s, err = socket.connect(address, nil, timeout or 5)
  if not s then
    return nil, err
  end
  return setmetatable({ socket = s, reader = http1.reader(s, timeout) }, Connection)
end

function Connection:send(text)
  return self.socket:write(text, 5)
end

-- What has come, or comes next; nil, "closed" at the end.
function Connection:receive(max)
  local rest = self.reader:rest()
  if rest ~= "" then
    return rest
  end
  return self.socket:read(max or 65536, self.reader.timeout)
end

-- The next response: { version, status, reason, headers, list, body }; nil, a word, and what there is of it.
function Connection:response(method)
  local line, err = self.reader:line()
  if not line then
    return nil, err
  end
  local version, status, reason = line:match "^HTTP/(%d%.%d) (%d%d%d) ?(.*)$"
  if not version then
    return nil, "not a status line: " .. line
  end
  local response = { version = version, status = tonumber(status), reason = reason }
  response.headers, response.list = self.reader:fields()
  if not response.headers then
    return nil, response.list, response
  end
  local body, why, part = self.reader:body(response.headers, true, response.status, method)
  response.body = body or part
  if type(part) == "table" then
    response.trailers = part
  end
  if not body then
    return nil, why, response
  elseif response.status < 200 and response.status ~= 101 then
    return self:response(method)
  end
  return response
end

function Connection:close(reset)
  if reset then
    self.socket:reset()
  else
    self.socket:close()
  end
end

local function body_of(request)
  local body = request.body
  if type(body) == "table" then
    return require("demilune.json").encode(body), "application/json"
  end
  return body
end

-- The text of a request { method, path, headers, body, host }. A list as `chunks` is sent chunked.
function M.request_text(request, address)
  local body, kind = body_of(request)
  local headers, framing = request.headers, ""
  if not http1.has(headers, "host") then
    framing = ("Host: %s\r\n"):format(request.host or address)
  end
  if kind and not http1.has(headers, "content-type") then
    framing = framing .. ("Content-Type: %s\r\n"):format(kind)
  end
  if request.chunks then
    framing = framing .. "Transfer-Encoding: chunked\r\n"
    local out = {}
    for i, chunk in ipairs(request.chunks) do
      out[i] = ("%x\r\n%s\r\n"):format(#chunk, chunk)
    end
    body = table.concat(out) .. "0\r\n\r\n"
  elseif body and not http1.has(headers, "content-length") then
    framing = framing .. ("Content-Length: %d\r\n"):format(#body)
  end
  return ("%s %s HTTP/1.1\r\n%s%s\r\n%s"):format(request.method or "GET", request.path or "/", framing,
    http1.fields_text(headers), body or "")
end

-- The response, or nil, a word, and what came of it.
function M.request(address, request)
  local connection, err = M.connect(address, request.timeout)
  if not connection then
    return nil, err
  end
  connection:send(M.request_text(request, address))
  local response, why, part = connection:response(request.method)
  connection:close()
  return response, why, part
end

return M
