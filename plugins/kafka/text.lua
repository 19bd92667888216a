-- SPDX-License-Identifier: Apache-2.0

-- Templates that may also mention what the core's selectors have no names for: the event's own content.
--
--   {body} {body:PATH}                     the request's body, or the batch's record; a value in it, where it is JSON
--   {response_body} {response_body:PATH}   the same of the response
--   {time}                                 now, as RFC 3339 has it
--
-- A template without these is the core's alone. One with them is cut at them, and each piece keeps its own way.

local json = require "demilune.json"
local selector = require "demilune.selector"
local time = require "demilune.time"

local M = {}

local OWN = { body = "body", response_body = "response", time = "time" }

local Mixed = {}
Mixed.__index = Mixed

-- The next selector of ours from a place on: where it begins and ends, its kind, and its path.
local function find_own(text, from)
  while true do
    local open = text:find("{", from, true)
    if not open then
      return nil
    elseif text:sub(open, open + 1) == "{{" then
      from = open + 2
    else
      local name, path, close = text:match("^{([%a_]+):?([^{}]*)}()", open)
      if name and OWN[name] then
        return open, close, OWN[name], path ~= "" and path or nil
      end
      from = open + 1
    end
  end
end

local function add_foreign(parts, text, context, options)
  if text == "" then
    return
  end
  local part, message = selector.template(text, context, options)
  parts[#parts + 1] = part
  return message
end

local function cut(text, context, options)
  local parts, from = {}, 1
  while true do
    local open, close, kind, path = find_own(text, from)
    local message = add_foreign(parts, text:sub(from, open and open - 1), context, options)
    if message or not open then
      return parts, message
    end
    parts[#parts + 1] = { kind = kind, path = path }
    from = close
  end
end

-- A template: t:value(exchange, source) is a text, or nil when there is nothing in it. nil and a message when it is
-- none. options.response: it is for response and log hooks. `needs` is told what it looks at.
function M.compile(text, context, options, needs)
  if not find_own(text, 1) then
    return selector.template(text, context, options)
  end
  local parts, message = cut(text, context, options)
  if message then
    return nil, message
  end
  for _, part in ipairs(parts) do
    if part.kind then
      needs[part.kind] = true
    end
  end
  return setmetatable({ parts = parts }, Mixed)
end

-- The one of ours that a text is from its beginning to its end: its kind and path; or nil.
function M.single(text)
  local open, close, kind, path = find_own(text, 1)
  if open == 1 and close == #text + 1 then
    return kind, path
  end
end

-- A decoded value in a text.
local function written(value)
  if value == nil or value == json.null then
    return ""
  end
  return type(value) == "string" and value or json.encode(value)
end

local function text_of(part, exchange, source)
  if part.kind == "time" then
    return time.format(time.now())
  elseif part.kind then
    return part.path and written(source:at(part.kind, part.path)) or source[part.kind] or ""
  end
  return part:value(exchange) or ""
end

function Mixed:value(exchange, source)
  local texts = {}
  for i, part in ipairs(self.parts) do
    texts[i] = text_of(part, exchange, source)
  end
  local text = table.concat(texts)
  return text ~= "" and text or nil
end

return M
