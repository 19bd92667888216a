-- SPDX-License-Identifier: Apache-2.0

-- exchange.request: the request as it came, and as hooks have changed it.

local ffi = require "ffi"
local border = require "demilune.ffi"
local body = require "demilune.body"
local headers = require "demilune.headers"

local C, gateway, out = border.C, border.gateway, border.out
local ffi_string, raise, text, number = ffi.string, border.raise, border.text, border.number
local GONE, LIMIT = border.err.GONE, border.err.LIMIT
local REQUEST = headers.REQUEST

-- --- path parameters ---------------------------------------------------------------------------

local function param(self, name)
  if type(name) ~= "string" then
    return nil
  end
  local rc = C.dml_param(gateway, self.h, name, #name, out)
  if rc == 0 then
    return (ffi_string(out.ptr, out.len))
  elseif rc == GONE then
    raise "exchange is gone"
  end
end

local Cursor = ffi.typeof "struct { double h; int32_t index; }"

local function next_param(cursor)
  if C.dml_param_name(gateway, cursor.h, cursor.index, out) < 0 then
    return nil
  end
  local name = ffi_string(out.ptr, out.len)
  cursor.index = cursor.index + 1
  return name, param(cursor, name)
end

local Params = ffi.metatype("struct { double h; }", {
  __index = param,
  __newindex = function()
    raise "path parameters can only be read"
  end,
  __pairs = function(self)
    return next_param, Cursor(self.h, 0), nil
  end,
})

-- --- the request -------------------------------------------------------------------------------

---@class request
---@field method string  May be set.
---@field scheme string
---@field host string  May be set.
---@field port integer?
---@field path string  Normalised; may be set.
---@field query string?  Without the question mark; may be set.
---@field params table<string, string>  Path parameters by name, decoded.
---@field version number  1.1
---@field headers headers
---@field body body

local getters = {
  method = function(self) return (text(self.h, C.DML_TEXT_METHOD)) end,
  scheme = function(self) return (text(self.h, C.DML_TEXT_SCHEME)) end,
  host = function(self) return (text(self.h, C.DML_TEXT_HOST)) end,
  port = function(self) return (number(self.h, C.DML_NUMBER_PORT)) end,
  path = function(self) return (text(self.h, C.DML_TEXT_PATH)) end,
  query = function(self) return (text(self.h, C.DML_TEXT_QUERY)) end,
  params = function(self) return (Params(self.h)) end,
  version = function(self) return number(self.h, C.DML_NUMBER_VERSION) / 10 end,
  headers = function(self) return (headers.new(self.h, REQUEST)) end,
  body = function(self) return (body.new(self.h, REQUEST)) end,
}

-- What the text must be, for the message.
local settable = {
  method = { C.DML_TEXT_METHOD, "a method that can be sent" },
  path = { C.DML_TEXT_PATH, "a path: it begins with / and what RFC 3986 does not allow is %-coded" },
  query = { C.DML_TEXT_QUERY, "a query: no leading ?, and what RFC 3986 does not allow is %-coded" },
  host = { C.DML_TEXT_HOST, "a host, with a port or without" },
}

---@class request
local methods = {}

--- The first value of a query parameter, decoded.
---@param name string
---@return string? value
function methods.query_value(self, name)
  if type(name) ~= "string" then
    raise "the name of a query parameter is a text"
  end
  local rc = C.dml_query_value(gateway, self.h, name, #name, out)
  if rc == 0 then
    return (ffi_string(out.ptr, out.len))
  elseif rc == GONE then
    raise "exchange is gone"
  end
  return nil
end

local function set(self, name, value)
  local field = settable[name]
  if not field then
    border.not_settable("request", name, getters, settable)
  end
  local rc
  if value == nil and name == "query" then
    rc = C.dml_exchange_set_text(gateway, self.h, field[1], nil, 0)
  else
    value = border.as_text(value, "request." .. name)
    rc = C.dml_exchange_set_text(gateway, self.h, field[1], value, #value)
  end
  if rc == LIMIT then
    raise(("too late to set request.%s: the request is on its way"):format(name))
  elseif rc < 0 then
    border.misuse(rc, ("request.%s: %s is not %s"):format(
      name, name == "query" and "it" or ("%q"):format(value), field[2])) -- a query may have secrets
  end
end

local M = {}

M.new = ffi.metatype("struct { double h; }", {
  __index = function(self, name)
    local getter = getters[name]
    if getter then
      return (getter(self))
    end
    return methods[name] or border.no_field("request", name, getters, methods)
  end,
  __newindex = set,
  __tostring = function(self)
    return ("request %s %s"):format(self.method, self.path)
  end,
})

return M
