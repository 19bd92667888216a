-- SPDX-License-Identifier: Apache-2.0

-- What the pages say of a key of the configuration: its type, range and default in words.

local M = {}

local TYPES = {
  BOOL = "true or false", INT = "number", WORKERS = "auto, or a number", RATIO = "ratio (0.2, 20%)",
  DURATION = "duration (250ms, 10s)", SIZE = "size (64KiB, 1MiB)", TEXT = "text", NAME = "name",
  TEXTS = "list of texts", WORDS = "map of texts", ANY = "map",
}

local STEPS = {
  DURATION = { { 1000 * 3600, "h" }, { 1000, "s" }, { 1, "ms" } },
  SIZE = { { 1024 ^ 3, "GiB" }, { 1024 ^ 2, "MiB" }, { 1024, "KiB" }, { 1, "B" } },
}

local function amount(n, kind)
  for _, step in ipairs(STEPS[kind] or { { 1, "" } }) do
    if n >= step[1] and n % step[1] == 0 then
      return ("%.0f%s"):format(n / step[1], step[2])
    end
  end
  return ("%.0f"):format(n)
end

local function range(key)
  local is_counted = key.type == "INT" or key.type == "WORKERS" or STEPS[key.type]
  if not is_counted or not key.max then
    return ""
  elseif key.min then
    return (", %s to %s"):format(amount(key.min, key.type), amount(key.max, key.type))
  end
  return ", at most " .. amount(key.max, key.type)
end

-- "a map `tls`" of sections: the second result is the section's name.
function M.type(key)
  if key.type == "MAP" then
    return "map", key.of
  elseif key.type == "MAPS" then
    return "list of maps", key.of
  elseif key.type == "REDIRECT" then
    return "https, or a map", key.of
  elseif key.type == "ENUM" then
    return (key.of:gsub("|", ", "))
  end
  return TYPES[key.type] .. range(key)
end

-- What stands behind the description.
function M.remarks(key)
  local out = {}
  if key.is_secret then
    out[#out + 1] = "Never shown."
  end
  if key.later == "*" or key.later and not key.of then
    out[#out + 1] = "Not yet supported."
  elseif key.later then
    out[#out + 1] = "Not yet supported: " .. key.later:gsub("|", ", ") .. "."
  end
  return table.concat(out, " ")
end

-- A required key has no default; one without either is off or absent.
function M.default(key)
  return key.is_needed and "required" or key.fallback
end

return M
