-- SPDX-License-Identifier: Apache-2.0

-- One end of a connection, in raw bytes, with a reader for HTTP/1.1 messages on top. What is read but not asked
-- for stays in `rest`.

local posix = require "spec.support.posix"

local Connection = {}
Connection.__index = Connection

local M = {}

function M.new(fd)
  return setmetatable({ fd = fd, rest = "" }, Connection)
end

function Connection:send(...)
  local ok, word = posix.send(self.fd, table.concat { ... }, posix.PATIENCE)
  if not ok then
    error("sending: " .. word, 2)
  end
  return self
end

-- Sends what may or may not be taken any more.
function Connection:try(...)
  return posix.send(self.fd, table.concat { ... }, posix.PATIENCE)
end

-- Would the kernel take bytes within so long?
function Connection:has_room(seconds)
  return posix.writable(self.fd, seconds)
end

-- Sends what it takes at once; bytes taken.
function Connection:send_some(bytes)
  return posix.send_some(self.fd, bytes)
end

-- Reads more into `rest`; nil and "closed", "reset" or "timeout" when there is no more.
function Connection:more(seconds)
  local bytes, word = posix.recv(self.fd, seconds or posix.PATIENCE)
  if not bytes then
    return nil, word
  end
  self.rest = self.rest .. bytes
  return true
end

-- The spec's own line, however deep in the helpers it went wrong.
local function place()
  for level = 3, 20 do
    local info = debug.getinfo(level, "Sl")
    if info and info.short_src:find "_spec%.lua$" then
      return ("%s:%d: "):format(info.short_src, info.currentline)
    end
  end
  return ""
end

local function fail(self, what, word)
  error(("%s%s: %s; read so far: %q"):format(place(), what, word, self.rest:sub(1, 500)), 0)
end

-- Everything up to and including the plain text.
function Connection:read_until(text)
  local from = 1
  while true do
    local _, stop = self.rest:find(text, from, true)
    if stop then
      local bytes = self.rest:sub(1, stop)
      self.rest = self.rest:sub(stop + 1)
      return bytes
    end
    from = math.max(1, #self.rest - #text)
    local ok, word = self:more()
    if not ok then
      fail(self, ("waiting for %q"):format(text), word)
    end
  end
end

function Connection:read(n)
  while #self.rest < n do
    local ok, word = self:more()
    if not ok then
      fail(self, ("waiting for %d bytes"):format(n), word)
    end
  end
  local bytes = self.rest:sub(1, n)
  self.rest = self.rest:sub(n + 1)
  return bytes
end

-- All until the other end closes; the second result is "closed" or "reset".
function Connection:read_all()
  while true do
    local ok, word = self:more()
    if word == "timeout" then
      fail(self, "waiting for the end", word)
    elseif not ok then
      local bytes = self.rest
      self.rest = ""
      return bytes, word
    end
  end
end

-- Has the other end closed (or reset), with nothing sent before?
function Connection:is_ended(seconds)
  local ok, word = self:more(seconds)
  return not ok and word ~= "timeout" and self.rest == ""
end

-- Does nothing come for so long?
function Connection:is_silent(seconds)
  return self.rest == "" and not posix.readable(self.fd, seconds)
end

local function parse_head(text)
  local message = { head = text, headers = {} }
  message.first = text:match "^[^\r\n]*"
  for name, value in text:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do
    name = name:lower()
    local before = message.headers[name]
    message.headers[name] = before and before .. ", " .. value or value
  end
  return message
end

local function read_chunked(self)
  local parts = {}
  while true do
    local size = tonumber(self:read_until("\r\n"):match "^%x+", 16)
    if size == 0 then
      break
    end
    parts[#parts + 1] = self:read(size)
    assert(self:read(2) == "\r\n", "a chunk without its end")
  end
  repeat until self:read_until "\r\n" == "\r\n" -- trailers
  return table.concat(parts)
end

function Connection:read_body(message, until_close)
  local headers = message.headers
  if (headers["transfer-encoding"] or ""):lower() == "chunked" then
    return read_chunked(self)
  elseif headers["content-length"] then
    return self:read(tonumber(headers["content-length"]))
  end
  return until_close and self:read_all() or ""
end

-- The head of a request: { method, target, headers, first, head }.
function Connection:request_head()
  local message = parse_head(self:read_until "\r\n\r\n")
  message.method, message.target = message.first:match "^(%S+) (%S+) HTTP/1%.1$"
  return message
end

function Connection:request()
  local message = self:request_head()
  message.body = self:read_body(message, false)
  return message
end

function Connection:response_head()
  local message = parse_head(self:read_until "\r\n\r\n")
  message.status = tonumber(message.first:match "^HTTP/1%.[01] (%d%d%d)")
  return message
end

-- The final response to a request of that method (GET).
function Connection:response(method)
  local message
  repeat
    message = self:response_head()
  until message.status >= 200 or message.status == 101
  local bodiless = method == "HEAD" or message.status == 204 or message.status == 304 or message.status == 101
  message.body = bodiless and "" or self:read_body(message, true)
  return message
end

function Connection:respond(status, headers, body)
  local lines = { ("HTTP/1.1 %d Status"):format(status) }
  for name, value in pairs(headers or {}) do
    lines[#lines + 1] = name .. ": " .. value
  end
  lines[#lines + 1] = ("Content-Length: %d\r\n\r\n%s"):format(#(body or ""), body or "")
  return self:send(table.concat(lines, "\r\n"))
end

function Connection:shutdown()
  posix.shutdown(self.fd)
end

function Connection:close()
  if self.fd then
    posix.close(self.fd)
    self.fd = nil
  end
end

function Connection:reset()
  posix.reset(self.fd)
  self.fd = nil
end

return M
