-- SPDX-License-Identifier: Apache-2.0

-- Writes a value as JSON, keys in order, so that two results can be compared by diff. A table
-- is a list when it has a [1] or is empty.

local M = {}

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t" }

local function text(value)
  return '"' .. value:gsub('[%c"\\]', function(c)
    return ESCAPES[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function number(value)
  if value ~= value or value == math.huge or value == -math.huge then
    return "null"
  end
  return ("%.6g"):format(value):find("e", 1, true) and ("%.0f"):format(value) or ("%.6g"):format(value)
end

local function write(value, indent)
  if type(value) == "string" then
    return text(value)
  elseif type(value) == "number" then
    return number(value)
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local inner, parts = indent .. "  ", {}
  if value[1] ~= nil or next(value) == nil then
    for i, member in ipairs(value) do
      parts[i] = inner .. write(member, inner)
    end
    return #parts == 0 and "[]" or "[\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "]"
  end
  local names = {}
  for name in pairs(value) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    parts[i] = inner .. text(name) .. ": " .. write(value[name], inner)
  end
  return "{\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "}"
end

function M.encode(value)
  return write(value, "") .. "\n"
end

return M
