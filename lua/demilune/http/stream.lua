-- SPDX-License-Identifier: Apache-2.0

-- The calls of demilune.http whose bodies go by piece by piece.
--
--   local call, err = http.open { method = "POST", url = url }
--   call:send "part"          -- true; nil, "timeout" ...; nil, "closed" when the response has ended
--   call:finish()             -- the request is whole
--   local response, err = call:response()
--
-- One task may send while another reads the response.

local border = require "demilune.ffi"
local core = require "demilune.core"
local json = require "demilune.json"

local M = {}

local IDLE_TIMEOUT = 60
local PIECE = 65536

core.http_metatable().__name = "http stream"

-- Is it something that gives a body piece by piece?
function M.is_source(body)
  return type(body) == "function" or type(body) == "cdata"
    or type(body) == "table" and type(body.chunk) == "function" and getmetatable(body) ~= nil
end

-- --- responses ----------------------------------------------------------------------------------

---@class http.stream  A response that comes piece by piece.
---@field status integer
---@field headers table  By any case of the name; `:all(name)`, `pairs`.
local Response = { __name = "http response" }
Response.__index = Response

--- The next piece; nil at the end; nil and a word when it breaks off.
---@param timeout? number seconds
---@return string? piece
---@return string? word
function Response:chunk(timeout)
  return core.http_chunk(self.stream, timeout or self.idle_timeout)
end

local function next_chunk(self)
  local piece, word = self:chunk()
  if word then
    border.raise("the response broke off: " .. word)
  end
  return piece
end

--- An iterator over the pieces, which raises when the body breaks off.
---@return fun(): string? next
function Response:chunks()
  return next_chunk, self, nil
end

--- All that is left; nil, "body_too_large" when that is more than `most` bytes (limits.buffered_body).
---@param most? integer bytes
---@return string? text
---@return string? word
function Response:read(most)
  local parts, size = {}, 0
  most = most or core.http_held()
  while true do
    local piece, word = self:chunk()
    if word then
      return nil, word
    elseif not piece then
      return table.concat(parts)
    end
    parts[#parts + 1], size = piece, size + #piece
    if size > most then
      self:close()
      return nil, "body_too_large"
    end
  end
end

--- All that is left as a value of JSON.
---@return any value
---@return string? word
function Response:json()
  local text, word = self:read()
  if not text then
    return nil, word
  end
  return json.decode(text)
end

--- Enough of it: what has not come is not wanted any more.
function Response:close()
  core.http_close(self.stream)
end

-- --- calls --------------------------------------------------------------------------------------

---@class http.call  What `http.open` gives. One task may send while another reads the response.
local Call = { __name = "http call" }
Call.__index = Call

--- A piece of the request; waits until there is room. nil, "closed" when the response has ended.
---@param text string
---@return true? ok
---@return string? word
function Call:send(text)
  if type(text) ~= "string" then
    border.raise("a piece of a body is a text, not a " .. type(text))
  elseif #text <= PIECE then
    return core.http_send(self.stream, text, self.idle_timeout)
  end
  for i = 1, #text, PIECE do
    local ok, word = core.http_send(self.stream, text:sub(i, i + PIECE - 1), self.idle_timeout)
    if not ok then
      return nil, word
    end
  end
  return true
end

--- The request is whole.
---@return true? ok
---@return string? word
function Call:finish()
  return core.http_finish(self.stream)
end

--- Waits for the head of the response.
---@return http.stream? response
---@return string? word
function Call:response()
  if not self.answer then
    local status, flat = core.http_head(self.stream)
    if not status then
      self:close()
      return nil, flat
    end
    self.answer = setmetatable({
      status = status, headers = self.new_headers(flat), stream = self.stream, idle_timeout = self.idle_timeout,
    }, Response)
  end
  return self.answer
end

--- Gives the call up.
function Call:close()
  core.http_close(self.stream)
end

local function open(call, options, new_headers)
  local stream, word = core.http_open(call)
  if not stream then
    return nil, word
  end
  return setmetatable({
    stream = stream, idle_timeout = options.idle_timeout or IDLE_TIMEOUT, new_headers = new_headers,
  }, Call)
end

function M.open(call, options, new_headers)
  call.has_body, call.length = true, options.length
  return open(call, options, new_headers)
end

-- Sends what the source gives. nil and a word when that breaks off; a response that has come meanwhile is no failure.
local function send_all(call, source)
  local is_function = type(source) == "function"
  while true do
    local piece, word
    if is_function then
      piece, word = source()
    else
      piece, word = source:chunk()
    end
    if word then
      return nil, word
    elseif not piece then
      return call:finish()
    elseif not call:send(piece) then
      return true -- what the response says of it is worth more
    end
  end
end

-- body: a text, a source, or nil.
function M.request(call, body, options, new_headers)
  local is_text = type(body) == "string"
  call.has_body, call.length = body ~= nil, is_text and #body or options.length
  local opened, word = open(call, options, new_headers)
  if not opened then
    return nil, word
  end
  local ok = true
  if is_text then
    ok = opened:send(body) and opened:finish() or true
  elseif body ~= nil then
    ok, word = send_all(opened, body)
  end
  if not ok then
    opened:close()
    return nil, word
  end
  return opened:response()
end

return M
