-- SPDX-License-Identifier: Apache-2.0

-- A message's body as a plugin sees it. What has not come yet is waited for.
--
--   body:read()      all of it as a text; or nil and a word ("body_too_large", "cancelled"...)
--   body:json()      the value in it; or nil and a word
--   body:set(text)   what goes on instead; a table becomes JSON
--   for chunk in body:chunks()      piece by piece; raises when it breaks off

local ffi = require "ffi"
local border = require "demilune.ffi"
local core = require "demilune.core"
local headers = require "demilune.headers"
local json = require "demilune.json"

local C, gateway, raise = border.C, border.gateway, border.raise
local err = border.err
local read, chunk = core.body_read, core.body_chunk

---@class body
local methods = {}

--- All of the body as a text, waited for; nil and a word ("body_too_large", "cancelled" ...).
---@return string? text
---@return string? word
function methods.read(self)
  return read(self.h, self.side)
end

--- The value in the body; nil and a word.
---@return any value
---@return string? word
function methods.json(self)
  local text, word = read(self.h, self.side)
  if not text then
    return nil, word
  end
  return json.decode(text)
end

--- One piece; nil at the end; or nil and a word.
---@return string? piece
---@return string? word
function methods.chunk(self)
  return chunk(self.h, self.side)
end

local function next_chunk(self)
  local piece, word = chunk(self.h, self.side)
  if word then
    raise("the body broke off: " .. word)
  end
  return piece
end

--- An iterator over the pieces, which raises when the body breaks off.
---@return fun(): string? next
function methods.chunks(self)
  return next_chunk, self, nil
end

--- What goes on instead. A table becomes JSON.
---@param content string|number|table
function methods.set(self, content)
  local is_value = type(content) == "table"
  if is_value then
    content = json.encode(content)
  end
  content = border.as_text(content, "a body")
  local rc = C.dml_body_set(gateway, self.h, self.side, content, #content)
  if rc == err.LIMIT then
    raise(self.side == headers.REQUEST and "too late to set the request's body: it is on its way"
      or "the response's body can be set in response hooks only")
  elseif rc < 0 then
    border.misuse(rc, "can't set the body: " .. border.words[rc])
  end
  if is_value then
    headers.new(self.h, self.side)["content-type"] = "application/json"
  end
end

local M = {}

M.new = ffi.metatype("struct { double h; int32_t side; }", {
  __index = function(_, name)
    return methods[name] or border.no_field("body", name, methods)
  end,
  __newindex = function()
    raise "a body has no fields to set: use body:set(text)"
  end,
  __tostring = function()
    return "body"
  end,
})

return M
