-- SPDX-License-Identifier: Apache-2.0

-- HTTP/1.1 in plain Lua over a socket, for both ends of a test. It is lenient about
-- nothing that a test should see, and independent of the core's own codec.

local M = {}

-- Reading -----------------------------------------------------------------------------------

-- What has come and was not asked for yet is held from `at` on. It is copied once in a while, not
-- with each piece that comes: a body may be large, and its chunks many.
local Reader = {}
Reader.__index = Reader

function M.reader(socket, timeout)
  return setmetatable({ socket = socket, held = "", at = 1, timeout = timeout or 5 }, Reader)
end

-- More bytes; nil and a word at the end or on failure.
function Reader:more()
  return self.socket:read(65536, self.timeout)
end

-- All that is held: the caller's from now on.
function Reader:rest()
  local rest = self.held:sub(self.at)
  self.held, self.at = "", 1
  return rest
end

function Reader:line()
  while true do
    local stop = self.held:find("\r\n", self.at, true)
    if stop then
      local line = self.held:sub(self.at, stop - 1)
      self.at = stop + 2
      return line
    end
    local bytes, err = self:more()
    if not bytes then
      return nil, err
    end
    self.held = self:rest() .. bytes
  end
end

-- On failure the third result is what did come.
function Reader:exactly(n)
  local have = #self.held - self.at + 1
  if have < n then
    local pieces = { self:rest() }
    while have < n do
      local bytes, err = self:more()
      if not bytes then
        return nil, err, table.concat(pieces)
      end
      pieces[#pieces + 1] = bytes
      have = have + #bytes
    end
    self.held = table.concat(pieces)
  end
  local bytes = self.held:sub(self.at, self.at + n - 1)
  self.at = self.at + n
  return bytes
end

function Reader:all()
  local pieces = { self:rest() }
  while true do
    local bytes, err = self:more()
    if not bytes then
      local text = table.concat(pieces)
      if err ~= "closed" then
        return nil, err, text
      end
      return text
    end
    pieces[#pieces + 1] = bytes
  end
end

-- Fields by lower-case name, several joined by ", "; in order in `list`.
function Reader:fields()
  local fields, list = {}, {}
  while true do
    local line, err = self:line()
    if not line then
      return nil, err
    elseif line == "" then
      return fields, list
    end
    local name, value = line:match "^([^:%s]+):%s*(.*)$"
    if not name then
      return nil, "not a field: " .. line
    end
    value = value:match "^.*%S" or ""
    list[#list + 1] = { name, value }
    name = name:lower()
    fields[name] = fields[name] and fields[name] .. ", " .. value or value
  end
end

function Reader:chunked()
  local out = {}
  while true do
    local line, err = self:line()
    if not line then
      return nil, err, table.concat(out)
    end
    local size = tonumber(line:match "^%x+", 16)
    if not size then
      return nil, "not a chunk: " .. line, table.concat(out)
    elseif size == 0 then
      local trailers, why = self:fields()
      return trailers and table.concat(out), why, trailers
    end
    local bytes, broken, part = self:exactly(size)
    if not bytes then
      return nil, broken, table.concat(out) .. (part or "")
    end
    out[#out + 1] = bytes
    self:exactly(2)
  end
end

-- The body of a message with these fields: the text; nil, a word and what did come.
function Reader:body(fields, is_response, status, method)
  if method == "HEAD" or status == 204 or status == 304 or (status and status < 200) then
    return ""
  elseif (fields["transfer-encoding"] or ""):lower() == "chunked" then
    return self:chunked()
  elseif fields["content-length"] then
    return self:exactly(tonumber(fields["content-length"]))
  elseif is_response then
    return self:all()
  end
  return ""
end

-- Writing -----------------------------------------------------------------------------------

-- headers: a map whose values may be lists, or a list of pairs, to decide about order and spelling.
function M.fields_text(headers)
  local out = {}
  for name, value in pairs(headers or {}) do
    if type(name) == "number" then
      out[#out + 1] = ("%s: %s\r\n"):format(value[1], value[2])
    else
      for _, one in ipairs(type(value) == "table" and value or { value }) do
        out[#out + 1] = ("%s: %s\r\n"):format(name, one)
      end
    end
  end
  return table.concat(out)
end

function M.has(headers, wanted)
  for name, value in pairs(headers or {}) do
    if (type(name) == "number" and value[1] or name):lower() == wanted then
      return true
    end
  end
  return false
end

return M
