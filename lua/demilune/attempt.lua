-- SPDX-License-Identifier: Apache-2.0

-- One try against one endpoint: the argument of balance and attempt hooks, and the entries of
-- exchange.attempts.

local ffi = require "ffi"
local border = require "demilune.ffi"
local headers = require "demilune.headers"

local C, gateway, out = border.C, border.gateway, border.out
local ffi_string, raise, err = ffi.string, border.raise, border.err

local function text(self, which)
  local rc = C.dml_attempt_text(gateway, self.h, self.number_, which, out)
  if rc == 0 then
    return (ffi_string(out.ptr, out.len))
  elseif rc == err.GONE then
    raise "exchange is gone"
  end
end

local function number(self, which)
  local n = C.dml_attempt_number(gateway, self.h, self.number_, which)
  if n >= 0 then
    return n
  elseif n == err.GONE then
    raise "exchange is gone"
  end
end

-- --- what it has brought -----------------------------------------------------------------------

local response_fields = {
  status = function(self) return (number(self, C.DML_ATTEMPT_STATUS)) end,
  headers = function(self) return (headers.new(self.h, headers.ATTEMPT_RESPONSE)) end,
}

local Response = ffi.metatype("struct { double h; int32_t number_; }", {
  __index = function(self, name)
    local getter = response_fields[name]
    if getter then
      return (getter(self))
    end
    border.no_field("attempt.response", name, response_fields)
  end,
  __newindex = function()
    raise "an attempt's response can only be read: change exchange.response in a response hook"
  end,
})

-- --- the attempt -------------------------------------------------------------------------------

local getters = {
  number = function(self) return self.number_ end,
  upstream = function(self) return (text(self, C.DML_ATTEMPT_UPSTREAM)) end,
  endpoint = function(self) return (text(self, C.DML_ATTEMPT_ENDPOINT)) end,
  error = function(self) return (text(self, C.DML_ATTEMPT_ERROR)) end,
  status = function(self) return (number(self, C.DML_ATTEMPT_STATUS)) end,
  duration = function(self) return (number(self, C.DML_ATTEMPT_DURATION)) end,
  timeout = function(self) return (number(self, C.DML_ATTEMPT_TIMEOUT)) end,
  connect_timeout = function(self) return (number(self, C.DML_ATTEMPT_CONNECT_TIMEOUT)) end,
  headers = function(self) return (headers.new(self.h, headers.ATTEMPT_REQUEST)) end,
  response = function(self)
    return number(self, C.DML_ATTEMPT_STATUS) and Response(self.h, self.number_) or nil
  end,
}

local setters = {}

local function settle(rc, name, what)
  if rc == err.LIMIT then
    raise(("attempt.%s can be set in balance hooks only"):format(name))
  elseif rc < 0 then
    border.misuse(rc, ("attempt.%s: %s"):format(name, what))
  end
end

function setters.endpoint(self, address)
  address = border.as_text(address, "attempt.endpoint")
  settle(C.dml_attempt_set_endpoint(gateway, self.h, self.number_, address, #address), "endpoint",
    ('the upstream has no endpoint "%s"'):format(address))
end

local function set_timeout(self, name, which, seconds)
  if type(seconds) ~= "number" then
    raise(("attempt.%s is a number of seconds"):format(name))
  end
  settle(C.dml_attempt_set_timeout(gateway, self.h, self.number_, which, seconds), name,
    "from 0.001 seconds to a day")
end

function setters.timeout(self, seconds)
  set_timeout(self, "timeout", C.DML_ATTEMPT_TIMEOUT, seconds)
end

function setters.connect_timeout(self, seconds)
  set_timeout(self, "connect_timeout", C.DML_ATTEMPT_CONNECT_TIMEOUT, seconds)
end

local M = {}

M.new = ffi.metatype("struct { double h; int32_t number_; }", {
  __index = function(self, name)
    local getter = getters[name]
    if getter then
      return (getter(self))
    end
    border.no_field("attempt", name, getters)
  end,
  __newindex = function(self, name, value)
    local setter = setters[name]
    if not setter then
      border.not_settable("attempt", name, getters, setters)
    end
    setter(self, value)
  end,
  __tostring = function(self)
    return ("attempt %d"):format(self.number_)
  end,
})

-- The one that balance and attempt hooks are about: the latest, unless two are under way.
function M.latest(handle)
  return M.new(handle, border.number(handle, C.DML_NUMBER_ATTEMPT) or 0)
end

return M
