-- SPDX-License-Identifier: Apache-2.0

-- exchange.response: before there is a response it has no status, and headers that are set are laid
-- over whatever response comes, replies and errors included.

local ffi = require "ffi"
local border = require "demilune.ffi"
local body = require "demilune.body"
local headers = require "demilune.headers"

local C, gateway, raise = border.C, border.gateway, border.raise
local number, err = border.number, border.err
local RESPONSE = headers.RESPONSE

---@class response
---@field status integer?  nil before there is a response; may be set in response hooks.
---@field headers headers  Before there is a response: laid over whatever comes.
---@field body body

local getters = {
  status = function(self) return (number(self.h, C.DML_NUMBER_STATUS)) end,
  headers = function(self) return (headers.new(self.h, RESPONSE)) end,
  body = function(self) return (body.new(self.h, RESPONSE)) end,
}

local setters = {}

function setters.status(self, status)
  if type(status) ~= "number" or status ~= math.floor(status) or status < 200 or status > 599 then
    raise "a status is a number from 200 to 599"
  end
  local rc = C.dml_exchange_set_status(gateway, self.h, status)
  if rc == err.NOT_FOUND then
    raise "there is no response yet: its status can be set in response hooks"
  elseif rc < 0 then
    border.misuse(rc, "too late to set the status: it can be set in response hooks")
  end
end

local M = {}

M.new = ffi.metatype("struct { double h; }", {
  __index = function(self, name)
    local getter = getters[name]
    if getter then
      return (getter(self))
    end
    border.no_field("response", name, getters)
  end,
  __newindex = function(self, name, value)
    local setter = setters[name]
    if not setter then
      border.not_settable("response", name, getters, setters)
    end
    setter(self, value)
  end,
  __tostring = function(self)
    return "response " .. tostring(self.status or "(none yet)")
  end,
})

return M
