-- SPDX-License-Identifier: Apache-2.0

-- An upstream for tests: a real HTTP/1.1 server on a free loopback port, scripted.
--
--   test.upstream(function(request) return 200, { ["x-a"] = "1" }, "body" end)
--   test.upstream{ status = 503 }                     always this answer
--   test.upstream{ delay = 0.1, handler = f }         waits before it answers
--   test.upstream{ stall = "head" | "body" }          stops before the head, or in the middle of the body
--   test.upstream{ reset = "head" | "body" }          breaks the connection off there
--   test.upstream{ truncate = 3 }                     sends 3 bytes of the body, then closes
--   test.upstream{ trickle = 0.001 }                  sends a byte at a time, so many seconds apart
--   test.upstream{ garbage = "..." }                  answers with these bytes
--   test.upstream{ { reset = "head" }, { status = 200 } }     one after the other, by request; then the last
--   test.upstream{ tls = true }                       speaks TLS, with a certificate of its own for loopback:
--                                                     test.gateway{ upstream = it } verifies that; others may by
--                                                     `ca` (PEM) or `ca_file`
--
-- A function may give such options, too, in place of a status. A request is { method, path, query, headers,
-- list, body, version }. What came is in `requests`; a handler that raises answers 500 with the message, so
-- that the test shows it.

local core = require "demilune.core"
local http1 = require "demilune.test.http1"
local socket = require "demilune.socket"
local task = require "demilune.task"

local M = {}

---@class test.upstream
---@field url string
---@field address string
---@field requests table[]  What has come.
---@field connections integer  How many have come.
---@field ca_file? string  Of one with TLS: the file that its certificate is verified by.
local Upstream = {}
Upstream.__index = Upstream

local STALLED = 600 -- longer than any test
local HANDSHAKE = 10

local function read_request(reader)
  local line, err = reader:line()
  if not line then
    return nil, err
  end
  local method, target, version = line:match "^(%S+) (%S+) HTTP/(%d%.%d)$"
  if not method then
    return nil, "not a request line"
  end
  local request = { method = method, version = version, target = target }
  request.path, request.query = target:match "^([^?]*)%??(.*)$"
  request.headers, request.list = reader:fields()
  if not request.headers then
    return nil, request.list
  end
  local body, trailers
  body, err, trailers = reader:body(request.headers, false)
  request.body, request.trailers = body, type(trailers) == "table" and trailers or nil
  return body and request, err
end

local function answer_of(options, request)
  if options.handler then
    local ok, status, headers, body = pcall(options.handler, request)
    if not ok then
      return 500, {}, tostring(status)
    end
    return status or 200, headers or {}, body or ""
  end
  return options.status or 200, options.headers or {}, options.body or ""
end

local function head_text(status, headers, body, method)
  local framing = ""
  if not http1.has(headers, "content-length") and not http1.has(headers, "transfer-encoding")
    and status ~= 204 and status ~= 304 and (method ~= "HEAD" or body ~= "") then
    framing = ("Content-Length: %d\r\n"):format(#body)
  end
  return ("HTTP/1.1 %d Test\r\n%s%s\r\n"):format(status, http1.fields_text(headers), framing)
end

local function trickle(s, text, seconds)
  for i = 1, #text do
    if not s:write(text:sub(i, i)) then
      return nil
    end
    task.sleep(seconds)
  end
  return true
end

-- False: the connection is not to be used again.
local function send_answer(s, options, request)
  if options.delay then
    task.sleep(options.delay)
  end
  if options.garbage then
    s:write(options.garbage)
    return false
  elseif options.stall == "head" then
    task.sleep(STALLED)
    return false
  elseif options.reset == "head" then
    s:reset()
    return false
  end
  local status, headers, body = answer_of(options, request)
  if type(status) == "table" then
    return send_answer(s, status, request)
  end
  local head = head_text(status, headers, body, request.method)
  if request.method == "HEAD" then
    return s:write(head)
  end
  local cut = options.truncate or (options.stall == "body" or options.reset == "body") and math.floor(#body / 2) or nil
  if not cut then
    local ok
    if options.trickle then
      ok = trickle(s, head .. body, options.trickle)
    else
      ok = s:write(head .. body)
    end
    return ok and (request.headers["connection"] or ""):lower() ~= "close"
  end
  s:write(head .. body:sub(1, cut))
  if options.stall == "body" then
    task.sleep(STALLED)
  elseif options.reset == "body" then
    task.sleep(0.02) -- so that the head has been read when the reset comes
    s:reset()
  end
  return false
end

-- What the next request gets.
local function next_options(upstream)
  local options = upstream.options
  if not options[1] then
    return options
  end
  upstream.turn = math.min(upstream.turn + 1, #options)
  return options[upstream.turn]
end

local function serve(upstream, s)
  local reader = http1.reader(s, STALLED)
  upstream.sockets[s] = true
  if upstream.ca and not core.tls_serve(s, upstream.ca, upstream.key, HANDSHAKE) then
    upstream.sockets[s] = nil
    return
  end
  while true do
    local request = read_request(reader)
    if not request then
      break
    end
    upstream.requests[#upstream.requests + 1] = request
    local options = next_options(upstream)
    if not send_answer(s, options, request) or options.close then
      break
    end
  end
  upstream.sockets[s] = nil
  s:close()
end

local function accept_all(upstream)
  while true do
    local s = upstream.listener:accept(STALLED)
    if not s then
      return
    end
    upstream.connections = upstream.connections + 1
    task.detach(serve, upstream, s)
  end
end

local OPTIONS = {}
for name in ([[
  handler status headers body address delay stall reset truncate trickle garbage close
  tls]]):gmatch "%S+" do
  OPTIONS[name] = true
end

-- A script as a table of options, or a list of such; what is misspelt raises.
local function options_of(script)
  if type(script) == "function" then
    return { handler = script }
  end
  local options = script or {}
  for key, value in pairs(options) do
    if type(key) == "number" then
      options[key] = options_of(value)
    elseif not OPTIONS[key] then
      error(("test.upstream: there is no option %q"):format(tostring(key)), 4)
    end
  end
  return options
end

-- It is its own authority.
local function begin_tls(upstream)
  upstream.url = "https://" .. upstream.address
  upstream.ca, upstream.key = core.tls_self_signed()
  upstream.ca_file = os.tmpname()
  local file = assert(io.open(upstream.ca_file, "w"))
  file:write(upstream.ca)
  file:close()
end

function M.new(script)
  local options = options_of(script)
  local listener = assert(socket.listen(options.address or "127.0.0.1:0"))
  local address = listener:address()
  local upstream = setmetatable({
    listener = listener, address = address, url = "http://" .. address, options = options,
    requests = {}, connections = 0, sockets = {}, turn = 0,
  }, Upstream)
  if options.tls then
    begin_tls(upstream)
  end
  task.detach(accept_all, upstream)
  return upstream
end

--- Another script from the next request on.
---@param script function|table
function Upstream:script(script)
  self.options, self.turn = options_of(script), 0
end

--- The latest request.
---@return table? request
function Upstream:last()
  return self.requests[#self.requests]
end

--- No connection is taken any more, and the open ones are closed.
function Upstream:close()
  self.listener:close()
  if self.ca_file then
    os.remove(self.ca_file)
  end
  for s in pairs(self.sockets) do
    s:reset()
  end
  self.sockets = {}
end

return M
