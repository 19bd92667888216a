-- SPDX-License-Identifier: Apache-2.0

-- Time in seconds. now and monotonic are those of the loop's present turn: cheap, the
-- same for all that happens in it, and moved by test.clock.

local ffi = require "ffi"
local border = require "demilune.ffi"

local C = border.C
local text_out = ffi.new "char[32]"
local number_out = ffi.new "double[1]"

---@class demilune.time
local M = {}

--- Seconds since 1970, UTC.
---@return number seconds
function M.now()
  return C.dml_now()
end

--- Seconds since some moment; never goes back.
---@return number seconds
function M.monotonic()
  return C.dml_monotonic()
end

local function written(n)
  if n < 0 then
    return border.failed(n)
  end
  return ffi.string(text_out, n)
end

--- "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7)
---@param seconds number since 1970
---@return string
function M.http_date(seconds)
  return written(C.dml_http_date(seconds or C.dml_now(), text_out))
end

--- The seconds of any of the three forms that HTTP dates may have, or nil, "syntax".
---@param text? string
---@return number? seconds
---@return string? word
function M.parse_http_date(text)
  if type(text) ~= "string" then
    return nil, "syntax"
  end
  local rc = C.dml_http_date_read(text, #text, number_out)
  if rc < 0 then
    return border.failed(rc)
  end
  return tonumber(number_out[0])
end

--- "2026-11-21T13:39:35.123Z" (RFC 3339)
---@param seconds number since 1970
---@return string
function M.format(seconds)
  return written(C.dml_iso_date(seconds or C.dml_now(), text_out))
end

-- Days since 1970 of a date of the Gregorian calendar: years that begin in March have the
-- odd day at their end.
local function days_of(year, month, day)
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  local era_year = math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
  return 365 * year + era_year + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

local DAYS = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function zone_seconds(zone)
  if zone == "Z" or zone == "z" then
    return 0
  end
  local sign, hours, minutes = zone:match "^([-+])(%d%d):(%d%d)$"
  if not sign then
    return nil
  end
  return (sign == "-" and -1 or 1) * (tonumber(hours) * 3600 + tonumber(minutes) * 60)
end

--- Seconds of an RFC 3339 date and time, or nil, "syntax".
---@param text? string
---@return number? seconds
---@return string? word
function M.parse(text)
  if type(text) ~= "string" then
    return nil, "syntax"
  end
  local year, month, day, hour, minute, rest =
    text:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)[Tt ](%d%d):(%d%d):(%d%d.*)$"
  if not year then
    return nil, "syntax"
  end
  local second, fraction, zone = rest:match "^(%d%d)(%.?%d*)(.*)$"
  local offset = zone_seconds(zone)
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  hour, minute = tonumber(hour), tonumber(minute)
  if not offset or fraction == "." or not DAYS[month] or day < 1 or day > DAYS[month] or hour > 23 or minute > 59
    or tonumber(second) > 60 then
    return nil, "syntax"
  end
  return days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + tonumber(second .. fraction) - offset
end

return M
