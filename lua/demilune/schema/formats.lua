-- SPDX-License-Identifier: Apache-2.0

-- The formats of texts. Three of them are units and convert: a duration becomes
-- seconds, a size bytes, a ratio a fraction. Selectors and templates are checked by
-- whoever knows the place where they stand (options.formats of Schema:check), else
-- as they may stand anywhere.

local border = require "demilune.ffi"
local value_of = require "demilune.schema.value"

local C = border.C
local ffi = require "ffi"
local number_out = ffi.new "double[1]"

local M = {}

-- Units ------------------------------------------------------------------------------------

local UNITS = {
  duration = { kind = C.DML_UNIT_DURATION, words = "a duration such as 250ms, 10s or 5m" },
  size = { kind = C.DML_UNIT_SIZE, words = "a size such as 64KiB or 1MiB", takes_numbers = true },
  ratio = { kind = C.DML_UNIT_RATIO, words = "a share such as 20% or 0.2", takes_numbers = true },
}

function M.is_unit(name)
  return UNITS[name] ~= nil
end

-- A unit's text or number -> a number, or nil. 0 needs no unit.
local function to_unit(unit, value)
  if type(value) == "number" then
    if value ~= 0 and not unit.takes_numbers then
      return nil
    end
    value = ("%.17g"):format(value)
  elseif value_of.is_open(value) then
    value = value.text
  elseif type(value) ~= "string" then
    return nil
  end
  if C.dml_unit(unit.kind, value, #value, number_out) ~= 0 then
    return nil
  end
  return tonumber(number_out[0])
end

local function make_unit(unit, source)
  local others = {}
  for _, name in ipairs(type(source.type) == "table" and source.type or {}) do
    if name ~= "string" and name ~= "number" and name ~= "integer" then
      others[#others + 1] = name
    end
  end
  return function(run, frame)
    for _, name in ipairs(others) do
      if value_of.is_a(frame.value, name) then
        return true
      end
    end
    local number = to_unit(unit, frame.value)
    if not number then
      return run:fault(unit.words, frame.value)
    end
    frame.out = number
    return true
  end
end

-- Texts ------------------------------------------------------------------------------------

local function by_core(kind, words)
  return { words = words, fits = function(text) return C.dml_text_is(kind, text, #text) == 1 end }
end

local function by_pattern(pattern, words, more)
  return { words = words, fits = function(text) return text:find(pattern) ~= nil and (not more or more(text)) end }
end

local function is_date(text)
  local year, month, day = text:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)"
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  local days = { 31, year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0) and 29 or 28, 31, 30, 31, 30, 31, 31, 30,
    31, 30, 31 }
  return month >= 1 and month <= 12 and day >= 1 and day <= days[month]
end

-- A leap second is the last of a day in UTC.
local function is_leap(hour, minute, sign, zone_hour, zone_minute)
  local shift = (sign == "-" and 1 or -1) * (zone_hour * 60 + zone_minute)
  return (hour * 60 + minute + shift) % 1440 == 23 * 60 + 59
end

local function is_time(text)
  local hour, minute, second, zone = text:match "^(%d%d):(%d%d):(%d%d)(.*)$"
  hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second)
  zone = zone and zone:gsub("^%.%d+", "")
  if not hour or hour > 23 or minute > 59 or second > 60 then
    return false
  end
  local sign, zone_hour, zone_minute = "+", 0, 0
  if zone ~= "Z" and zone ~= "z" then
    sign, zone_hour, zone_minute = zone:match "^([-+])(%d%d):(%d%d)$"
    zone_hour, zone_minute = tonumber(zone_hour), tonumber(zone_minute)
  end
  return zone_hour ~= nil and zone_hour < 24 and zone_minute < 60
    and (second < 60 or is_leap(hour, minute, sign, zone_hour, zone_minute))
end

-- RFC 5321, 4.1.2: words with dots between, or a quoted text; a host, or an address in brackets.
local function is_mailbox(text)
  local name, domain = text:match '^("[^"\\%c]*")@([^@]+)$'
  if not name then
    name, domain = text:match "^([^@%s]+)@([^@]+)$"
    if not name or name:find "^%." or name:find "%.$" or name:find("..", 1, true) or name:find '[%c"(),:;<>%[%]\\]' then
      return false
    end
  end
  local v6, v4 = domain:match "^%[IPv6:(.*)%]$", domain:match "^%[(.*)%]$"
  if v6 or v4 then
    return C.dml_text_is(v6 and C.DML_TEXT_IS_IPV6 or C.DML_TEXT_IS_IPV4, v6 or v4, #(v6 or v4)) == 1
  end
  return C.dml_text_is(C.DML_TEXT_IS_HOST, domain, #domain) == 1
end

local uri -- RFC 3986 as a regular expression, made when it is first wanted

local function is_uri(text)
  if not uri then
    local char = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
    local name = "(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
    local path = ("(?:/%s*)*"):gsub("%%s", function() return char end)
    uri = assert(require("demilune.regex").compile("^[A-Za-z][A-Za-z0-9+.-]*:(?://(?:(?:" .. name .. "|:)*@)?(?:\\[(?:"
      .. "[0-9A-Fa-f:.]+|v[0-9A-Fa-f]+\\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\\]|" .. name .. "*)(?::[0-9]*)?" .. path
      .. "|/?(?:" .. char .. "+" .. path .. ")?)(?:\\?(?:" .. char .. "|[/?])*)?(?:#(?:" .. char .. "|[/?])*)?$"))
  end
  -- Whose scheme is HTTP's has to be one that can be asked.
  local is_http = text:lower():find "^https?:" and not text:find "^%a+://[^/?#]*@"
  return uri:test(text) == true and (not is_http or C.dml_text_is(C.DML_TEXT_IS_URL, text, #text) == 1)
end

local function is_regex(text)
  return (require("demilune.regex").compile(text, "u")) ~= nil
end

-- By the function of the place, else by that of demilune.selector.
local function of_place(name, words)
  return {
    words = words,
    fits = function(text, run)
      local check = run.formats[name] or require("demilune.selector").check[name]
      local fits, expected = check(text)
      return fits, expected
    end,
  }
end

local FORMATS = {
  uri = { words = "a URI such as https://example.com/path", fits = is_uri },
  cidr = by_core(C.DML_TEXT_IS_CIDR, "an address or a network such as 10.0.0.0/8"),
  ip = by_core(C.DML_TEXT_IS_IP, "an IP address"),
  ipv4 = by_core(C.DML_TEXT_IS_IPV4, "an IPv4 address"),
  ipv6 = by_core(C.DML_TEXT_IS_IPV6, "an IPv6 address"),
  hostname = by_core(C.DML_TEXT_IS_HOST, "a host name"),
  header = by_core(C.DML_TEXT_IS_TOKEN, "the name of a header field"),
  ["settable-header"] = by_core(C.DML_TEXT_IS_SETTABLE,
    "the name of a header field that is not the gateway's own (as Content-Length is)"),
  regex = { words = "a regular expression (PCRE2)", fits = is_regex },
  uuid = by_pattern("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$", "a UUID"),
  email = { words = "an e-mail address", fits = is_mailbox },
  date = by_pattern("^%d%d%d%d%-%d%d%-%d%d$", "a date such as 2026-11-21", is_date),
  time = { words = "a time such as 13:39:35Z", fits = is_time },
  ["date-time"] = by_pattern("^%d%d%d%d%-%d%d%-%d%d[Tt ]%d%d:%d%d:%d%d", "a date and time such as 2026-11-21T13:39:35Z",
    function(text) return is_date(text) and is_time(text:sub(12)) end),
  selector = of_place("selector", "a selector such as client_ip or header:x-tenant"),
  template = of_place("template", "a template such as orders-{header:x-tenant}"),
  key = of_place("key", "a selector such as client_ip, or a template such as {client_ip}-{path}"),
  ["response-selector"] = of_place("response-selector", "a selector such as status or client_ip"),
  ["response-template"] = of_place("response-template", "a template such as {status}"),
}

-- The schema keyword. In an open schema a format is a note, as in the standard.
function M.make(compiler, _, name, source, where)
  if compiler.is_open then
    return nil
  elseif UNITS[name] then
    return make_unit(UNITS[name], source)
  end
  local format = FORMATS[name]
  if not format then
    local names = { "duration", "size", "ratio" }
    for known in pairs(FORMATS) do
      names[#names + 1] = known
    end
    table.sort(names)
    local near = value_of.nearest(tostring(name), names)
    compiler:refuse(where, 'no such format: "%s"%s', tostring(name),
      near and (', did you mean "%s"?'):format(near) or "")
  end
  return function(run, frame)
    local text = value_of.is_open(frame.value) and frame.value.text or frame.value
    if type(text) ~= "string" then
      return true -- its type is another keyword's matter
    end
    local fits, why = format.fits(text, run)
    if fits then
      return true
    end
    return run:fault(format.words, text, why and { message = why } or nil)
  end
end

return M
