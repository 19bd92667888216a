-- SPDX-License-Identifier: Apache-2.0

-- URLs and queries.
--
--   url.parse "https://example.com:8443/a?b=1"  { scheme, host, port, path, query }
--   url.build{ scheme, host, port, path, query }
--   url.resolve("https://a.example/b/c", "../d") "https://a.example/d"
--   url.encode(text), url.decode(text)          percent coding
--   url.query{ a = 1, b = { 2, 3 } }            "a=1&b=2&b=3", form coding
--   url.parse_query "a=1&b=2&b=3"               { a = "1", b = { "2", "3" } }

local ffi = require "ffi"
local border = require "demilune.ffi"

local C = border.C

---@class demilune.url
local M = {}

local as_text = border.as_text

local DEFAULT_PORTS = { http = 80, https = 443 }

local function encode(coding, text)
  local out = ffi.new("char[?]", 3 * #text + 1)
  return ffi.string(out, C.dml_encode(coding, text, #text, out))
end

local function decode(coding, text)
  local out = ffi.new("char[?]", #text + 1)
  local n = tonumber(C.dml_decode(coding, text, #text, out))
  if n < 0 then
    return border.failed(n)
  end
  return ffi.string(out, n)
end

--- Percent coding of all but unreserved characters.
---@param text string
---@return string
function M.encode(text)
  return encode(C.DML_CODING_PERCENT, as_text(text, "what url.encode takes"))
end

--- The reverse; nil, "encoding" for a bad escape.
---@param text string
---@return string? text
---@return string? word
function M.decode(text)
  return decode(C.DML_CODING_PERCENT, as_text(text, "what url.decode takes"))
end

--- The parts of an absolute http or https URL, or nil, "syntax".
---@param text string
---@return { scheme: string, host: string, port: integer, path: string, query?: string }? parts
---@return string? word
function M.parse(text)
  if type(text) ~= "string" or C.dml_text_is(C.DML_TEXT_IS_URL, text, #text) ~= 1 then
    return nil, "syntax"
  end
  text = text:gsub("#.*$", "")
  local scheme, authority, rest = text:match "^(%a+)://([^/?]*)(.*)$"
  local host, port = authority:match "^%[([^%]]+)%]:?(%d*)$"
  if not host then
    host, port = authority:match "^([^:]*):?(%d*)$"
  end
  scheme = scheme:lower()
  local path, query = rest:match "^([^?]*)%??(.*)$"
  return {
    scheme = scheme,
    host = host:lower(),
    port = tonumber(port) or DEFAULT_PORTS[scheme],
    path = path == "" and "/" or path,
    query = rest:find("?", 1, true) and query or nil,
  }
end

--- Host and port as a URL has them: the port only where it is not the scheme's own.
---@param scheme string
---@param host string  An IPv6 address with or without brackets.
---@param port? integer
---@return string
function M.authority(scheme, host, port)
  host = as_text(host, "a URL's host")
  if host:find(":", 1, true) and host:sub(1, 1) ~= "[" then
    host = "[" .. host .. "]"
  end
  return port and port ~= DEFAULT_PORTS[scheme] and host .. ":" .. port or host
end

--- The text of such parts.
---@param parts { scheme: string, host: string, port?: integer, path?: string, query?: string }
---@return string
function M.build(parts)
  return ("%s://%s%s%s"):format(parts.scheme, M.authority(parts.scheme, parts.host, parts.port), parts.path or "/",
    parts.query and "?" .. parts.query or "")
end

local function without_dots(path)
  local out, last = {}, nil
  for segment in path:gmatch "/([^/]*)" do
    if segment == ".." then
      out[#out] = nil
    elseif segment ~= "." then
      out[#out + 1] = segment
    end
    last = segment
  end
  if last == "." or last == ".." then
    out[#out + 1] = ""
  end
  return "/" .. table.concat(out, "/")
end

--- What a reference means that stands in the document of a URL (RFC 3986, 5.2). An absolute one is given as it is.
---@param base string  An absolute http or https URL.
---@param reference string
---@return string? url
---@return string? word  "syntax": base is none.
function M.resolve(base, reference)
  local parts, word = M.parse(base)
  reference = as_text(reference, "url.resolve's reference")
  if not parts then
    return nil, word
  elseif reference:find "^%a[%w+.-]*:" then
    return reference
  elseif reference:find "^//" then
    return parts.scheme .. ":" .. reference
  end
  local path, rest = reference:match "^([^?#]*)(.*)$"
  if path == "" then
    path = parts.path
    rest = rest:find "^?" and rest or (parts.query and "?" .. parts.query or "") .. rest
  else
    path = without_dots(path:find "^/" and path or parts.path:match "^.*/" .. path)
  end
  return base:match "^%a+://[^/?#]*" .. path .. rest
end

local function by_text(a, b)
  return tostring(a) < tostring(b)
end

--- A query in form coding. Names are in order, so that the same table always gives the same text.
---@param values table<string, any>
---@return string
function M.query(values)
  local names, out = {}, {}
  for name in pairs(values) do
    names[#names + 1] = name
  end
  table.sort(names, by_text)
  for _, name in ipairs(names) do
    local list = values[name]
    for _, value in ipairs(type(list) == "table" and list or { list }) do
      if type(value) == "boolean" then
        value = tostring(value)
      end
      out[#out + 1] = encode(C.DML_CODING_FORM, as_text(name, "a query's name")) .. "="
        .. encode(C.DML_CODING_FORM, as_text(value, "a query's value"))
    end
  end
  return table.concat(out, "&")
end

--- The values of a query by name; several are a list. What can not be decoded is given as it stands.
---@param text string
---@return table<string, string|string[]>
function M.parse_query(text)
  local values = {}
  for pair in as_text(text, "what url.parse_query takes"):gmatch "[^&]+" do
    local name, value = pair:match "^([^=]*)=?(.*)$"
    name = decode(C.DML_CODING_FORM, name) or name
    value = decode(C.DML_CODING_FORM, value) or value
    local before = values[name]
    if before == nil then
      values[name] = value
    elseif type(before) == "table" then
      before[#before + 1] = value
    else
      values[name] = { before, value }
    end
  end
  return values
end

return M
