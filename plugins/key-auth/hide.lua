-- SPDX-License-Identifier: Apache-2.0

-- Takes a credential out of a request: a header field, a parameter of the query, a cookie.

local url = require "demilune.url"

local M = {}

local function from_header(request, name)
  request.headers[name] = nil
end

-- The text without the parts (between separators) that are named so, or nil when none is left.
local function without(text, name, pattern, separator, decode)
  local kept = {}
  for part in text:gmatch(pattern) do
    local own = part:match "^%s*([^=]*)"
    if (decode and decode(own) or own) ~= name then
      kept[#kept + 1] = part
    end
  end
  return #kept > 0 and table.concat(kept, separator) or nil
end

local function query_name(text)
  return (next(url.parse_query(text .. "="))) -- one pair: its only key is the name
end

local function from_query(request, name)
  local query = request.query
  if query then
    local rest = without(query, name, "[^&]+", "&", query_name)
    if rest ~= query then
      request.query = rest
    end
  end
end

local function from_cookie(request, name)
  local cookie = request.headers["cookie"]
  if cookie then
    local rest = without(cookie, name, "[^;]+", ";")
    if rest ~= cookie then
      request.headers["cookie"] = rest and rest:gsub("^%s+", "") or nil
    end
  end
end

local FROM = { header = from_header, query = from_query, cookie = from_cookie }

-- { from = function(request, name), name } for a selector, or nil when nothing can be hidden there.
function M.of(text)
  local kind, name = text:match "^(%a+):(.+)$"
  local from = FROM[kind]
  return from and { from = from, name = name } or nil
end

return M
