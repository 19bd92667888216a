-- SPDX-License-Identifier: Apache-2.0

-- The core's writer of access logs, for the plugin of that name.

local ffi = require "ffi"
local border = require "demilune.ffi"
local core = require "demilune.core"
local selector = require "demilune.selector"

local C, gateway, out = border.C, border.gateway, border.out
local message = ffi.new "struct dml_slice"

local M = {}

local Writer = { __name = "access log" }
Writer.__index = Writer


-- nil and why when the file can't be opened. Without a path it is standard output.
function M.open(path)
  if core.is_trial and path then
    if C.dml_access_log_probe(path, message) < 0 then
      return nil, ffi.string(message.ptr, message.len)
    end
    path = nil
  end
  local log = C.dml_access_log_new(path, message)
  if log == nil then
    return nil, ffi.string(message.ptr, message.len)
  end
  return setmetatable({ log = ffi.gc(log, C.dml_access_log_free) }, Writer)
end

local function add(filled, error_out, log, name, value)
  return C.dml_access_log_field(log, name, value, filled, error_out)
end

-- Gives a message when the template is none.
function Writer:field(name, value, context)
  local rc, err = selector.with_scope(context, C.DML_SCOPE_RESPONSE, add, self.log, name, value)
  return not rc and err or nil
end

function Writer:when(from, to)
  C.dml_access_log_when(self.log, from, to)
end

-- For a log whose lines go elsewhere: the line, or nil where the exchange gets none.
function Writer:line(exchange)
  if C.dml_access_log_line(gateway, exchange.h, self.log, out) < 0 then
    return nil
  end
  return (ffi.string(out.ptr, out.len))
end

function Writer:write(exchange)
  C.dml_access_log_write(gateway, exchange.h, self.log)
end

return M
