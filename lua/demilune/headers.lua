-- SPDX-License-Identifier: Apache-2.0

-- Header fields as a plugin sees them. A field is looked up in C when it is asked for; there is no
-- table of them.
--
--   headers["x-a"]            the value, several fields joined by ", " (Set-Cookie: the first), or nil
--   headers["x-a"] = "1"      instead of all that there were; nil removes
--   headers:add("x-a", "1")   one more
--   headers:all "x-a"         a list, one entry per field
--   for name, value in pairs(headers)      each field, its name in lower case

local ffi = require "ffi"
local border = require "demilune.ffi"

local C, gateway, out, field = border.C, border.gateway, border.out, border.field
local ffi_string, lower = ffi.string, string.lower
local raise, as_text = border.raise, border.as_text
local GONE, ARG = border.err.GONE, border.err.ARG

local SET, ADD, REMOVE = C.DML_HEADER_SET, C.DML_HEADER_ADD, C.DML_HEADER_REMOVE

local M = {
  REQUEST = tonumber(C.DML_REQUEST),
  RESPONSE = tonumber(C.DML_RESPONSE),
  ATTEMPT_RESPONSE = tonumber(C.DML_ATTEMPT_RESPONSE),
  ATTEMPT_REQUEST = tonumber(C.DML_ATTEMPT_REQUEST),
}

local function refuse(rc, name, value)
  if rc == GONE then
    raise "exchange is gone"
  elseif rc ~= ARG then
    raise(('too late to set the header "%s": the head has been sent'):format(name))
  elseif C.dml_header_is_core(name, #name) == 1 then
    raise(('the header "%s" is the gateway\'s own: it follows from the message'):format(name))
  elseif lower(name) == "host" then
    raise "a request has exactly one Host: it can be set, to a host with a port or without"
  elseif not value or not name:find "^[%w!#$%%&'*+.^_`|~-]+$" then
    raise(("not a header name: %q"):format(name))
  end
  raise(('not a value for the header "%s" (%s)'):format(name, border.flaw(value)))
end

local function change(self, op, name, value)
  if type(name) ~= "string" then
    raise "the name of a header is a text"
  end
  local rc
  if value == nil then
    rc = C.dml_header_change(gateway, self.h, REMOVE + self.side, name, #name, nil, 0)
  else
    value = as_text(value, "the value of a header")
    rc = C.dml_header_change(gateway, self.h, op + self.side, name, #name, value, #value)
  end
  if rc < 0 then
    refuse(rc, name, value)
  end
end

---@class headers  Fields by name, in any case: get, set, nil removes. Several are joined by ", " (Set-Cookie: the first).
---@field [string] string?
local methods = {}

--- One more field of this name.
---@param name string
---@param value string|number
function methods.add(self, name, value)
  if value == nil then
    raise "the value of a header is a text, not nil"
  end
  change(self, ADD, name, value)
end

--- The values of all fields of this name, one entry per field.
---@param name string
---@return string[]
function methods.all(self, name)
  local list, index = {}, 0
  if type(name) ~= "string" then
    raise "the name of a header is a text"
  end
  while true do
    index = C.dml_header_next(gateway, self.h, self.side, index, name, #name, field)
    if index == GONE then
      raise "exchange is gone"
    elseif index < 0 then
      return list
    end
    list[#list + 1] = ffi_string(field.value.ptr, field.value.len)
  end
end

local function get(self, name)
  if type(name) ~= "string" then
    raise "the name of a header is a text"
  end
  local method = methods[name]
  if method then
    return method
  end
  local rc = C.dml_header_get(gateway, self.h, self.side, name, #name, out)
  if rc == 0 then
    return (ffi_string(out.ptr, out.len))
  elseif rc == GONE then
    raise "exchange is gone"
  end
end

local function set(self, name, value)
  change(self, SET, name, value)
end

-- An iterator without a closure, so that loops over headers stay compiled.
local Cursor = ffi.typeof "struct { double h; int32_t side; int32_t index; }"

local function step(cursor)
  local index = C.dml_header_next(gateway, cursor.h, cursor.side, cursor.index, nil, 0, field)
  if index < 0 then
    return nil
  end
  cursor.index = index
  return lower(ffi_string(field.name.ptr, field.name.len)), ffi_string(field.value.ptr, field.value.len)
end

M.new = ffi.metatype("struct { double h; int32_t side; }", {
  __index = get,
  __newindex = set,
  __pairs = function(self)
    return step, Cursor(self.h, self.side, 0), nil
  end,
  __tostring = function()
    return "headers"
  end,
})

return M
