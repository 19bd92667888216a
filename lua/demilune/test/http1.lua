-- SPDX-License-Identifier: Apache-2.0

-- HTTP/1.1 in plain Lua over a socket, for both ends of a test. It is lenient about
-- nothing that a test should see, and independent of the core's own codec.

local M = {}

-- Reading -----------------------------------------------------------------------------------

local Reader = {}
Reader.__index = Reader

function M.reader(socket, timeout)
  return setmetatable({ socket = socket, held = "", timeout = timeout or 5 }, Reader)
end

-- More bytes into `held`; nil and a word at the end or on failure.
function Reader:more()
  local bytes, err = self.socket:read(65536, self.timeout)
  if not bytes then
    return nil, err
  end
  self.held = self.held .. bytes
  return true
end

function Reader:line()
  while true do
    local line, rest = self.held:match "^(.-)\r\n(.*)$"
    if line then
      self.held = rest
      return line
    end
    local ok, err = self:more()
    if not ok then
      return nil, err
    end
  end
end

function Reader:exactly(n)
  while #self.held < n do
    local ok, err = self:more()
    if not ok then
      return nil, err, self.held
    end
  end
  local bytes = self.held:sub(1, n)
  self.held = self.held:sub(n + 1)
  return bytes
end

function Reader:all()
  while true do
    local ok, err = self:more()
    if not ok then
      if err ~= "closed" then
        return nil, err, self.held
      end
      local bytes = self.held
      self.held = ""
      return bytes
    end
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
    local name, value = line:match "^([^:%s]+):%s*(.-)%s*$"
    if not name then
      return nil, "not a field: " .. line
    end
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
