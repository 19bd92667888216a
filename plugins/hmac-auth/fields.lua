-- SPDX-License-Identifier: Apache-2.0

-- The structured fields (RFC 8941) of message signatures: dictionaries of inner lists of texts, and of bytes. Strict:
-- what is not written as the RFCs want it is nil, and so is a dictionary that has a key twice.

local crypto = require "demilune.crypto"

local M = {}

local SIZE_MAX = 4096 -- bytes of a field
local ITEMS_MAX = 32  -- of a list, and parameters

-- Of a bare item that begins at `at`: its value, its text, and where it ends. Texts with escapes are not taken.
local function bare_item(text, at)
  local raw = text:match('^"[^"\\%z%c\127-\255]*"', at)
  if raw then
    return raw:sub(2, -2), raw, at + #raw
  end
  raw = text:match("^%-?%d+", at)
  if raw and #raw <= 16 then
    return tonumber(raw), raw, at + #raw
  end
  raw = text:match("^[%a*][%w!#$%%&'*+.^_`|~:/-]*", at) or text:match("^%?[01]", at)
  if raw then
    return raw, raw, at + #raw
  end
end

-- ;a=1;b="x" at `at`: the values by name, their text, and where they end; nil when they are malformed.
local function parameters(text, at)
  local values, parts = {}, {}
  while text:sub(at, at) == ";" do
    local name, stop = text:match("^; *([%l*][%l%d_.*-]*)()", at)
    if not name or values[name] ~= nil or #parts == ITEMS_MAX then
      return nil
    end
    local value, raw = true, nil
    if text:sub(stop, stop) == "=" then
      value, raw, stop = bare_item(text, stop + 1)
      if value == nil then
        return nil
      end
    end
    values[name] = value
    parts[#parts + 1] = raw and (";%s=%s"):format(name, raw) or ";" .. name
    at = stop
  end
  return values, table.concat(parts), at
end

-- ("a" "b");x=1 at `at`: { items, parameters, text } and where it ends. An item with parameters of its own changes what
-- is signed in ways that are not known here, and is nil, too.
local function inner_list(text, at)
  local items, raws = {}, {}
  if text:sub(at, at) ~= "(" then
    return nil
  end
  at = text:match("^ *()", at + 1)
  while text:sub(at, at) ~= ")" do
    local value, raw, stop = bare_item(text, at)
    if not value or raw:sub(1, 1) ~= '"' or not text:find("^[ )]", stop) or #items == ITEMS_MAX then
      return nil
    end
    items[#items + 1], raws[#raws + 1] = value, raw
    at = text:match("^ *()", stop)
  end
  local values, raw, stop = parameters(text, at + 1)
  if not values then
    return nil
  end
  return { items = items, parameters = values, text = ("(%s)%s"):format(table.concat(raws, " "), raw) }, stop
end

local function bytes(text, at)
  local coded, stop = text:match("^:([%w+/=]*):()", at)
  local value = coded and crypto.unbase64(coded)
  if value then
    return value, stop
  end
end

-- A dictionary whose values `read` reads: a list of { key, value } in order.
local function dictionary(text, read)
  if not text or #text > SIZE_MAX then
    return nil
  end
  local list, seen, at = {}, {}, 1
  while true do
    local key, start = text:match("^([%l*][%l%d_.*-]*)=()", at)
    if not key or seen[key] then
      return nil
    end
    local value, stop = read(text, start)
    if not value then
      return nil
    end
    seen[key] = true
    list[#list + 1] = { key = key, value = value }
    if stop > #text then
      return list
    end
    at = text:match("^[ \t]*,[ \t]*()", stop)
    if not at then
      return nil
    end
  end
end

-- Signature-Input: a list of { key, value = { items, parameters, text } }, or nil.
function M.inputs(text)
  return dictionary(text, inner_list)
end

-- Signature, Content-Digest: bytes by key, or nil.
function M.bytes(text)
  local list = dictionary(text, bytes)
  if not list then
    return nil
  end
  local by_key = {}
  for _, member in ipairs(list) do
    by_key[member.key] = member.value
  end
  return by_key
end

return M
