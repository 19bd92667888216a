-- SPDX-License-Identifier: Apache-2.0

-- UUIDs (RFC 9562): v4 is random, v7 begins with the time, so that ids sort by age.

local ffi = require "ffi"
local C = require("demilune.ffi").C

local out = ffi.new "char[36]"

---@class demilune.uuid
local M = {}

--- A random one.
---@return string
function M.v4()
  C.dml_uuid(4, out)
  return ffi.string(out, 36)
end

--- One that begins with the time.
---@return string
function M.v7()
  C.dml_uuid(7, out)
  return ffi.string(out, 36)
end

--- Is it the text of a UUID?
---@param text any
---@return boolean
function M.is(text)
  return type(text) == "string"
    and text:find "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$" ~= nil
end

return M
