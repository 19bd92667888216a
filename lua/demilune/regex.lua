-- SPDX-License-Identifier: Apache-2.0

-- Regular expressions (PCRE2 with its compiler, backtracking bounded). Compile once,
-- at load; then
--
--   re:test(text)          true or false
--   re:match(text, from)   nil, or { [0] = all, [1] = ..., name = ..., first = 3, last = 9 }
--   re:find(text, from)    nil, or where the match begins and ends
--   re:each(text)          iterator over the matches
--   re:replace(text, with) with: a text where $1 or ${name} are groups, or a function of the match
--   re:split(text)         { ... }, the texts between the matches

local ffi = require "ffi"
local border = require "demilune.ffi"

local C = border.C
local no_self = border.no_self
local GROUPS_MAX = 32

---@class demilune.regex
local M = {}
---@class regex
local Regex = { __name = "regex" }
Regex.__index = Regex

local message = ffi.new "char[256]"
local offset = ffi.new "int[1]"
local spans = ffi.new("int32_t[?]", 2 * GROUPS_MAX)

-- (?<name>...) and (?P<name>...): the names, for the fields of a match.
local function names_of(pattern, compiled)
  local names = {}
  for name in pattern:gmatch "%(%?P?[<']([%a_][%w_]*)[>']" do
    local index = C.dml_regex_group(compiled, name)
    if index > 0 then
      names[name] = index
    end
  end
  return names
end

--- An expression. flags: "i" without regard to case, "u" the text is UTF-8. nil and a message when it is none.
---@param pattern string
---@param flags? string
---@return regex? regex
---@return string? message
function M.compile(pattern, flags)
  if type(pattern) ~= "string" then
    error("regex.compile wants a text", 2)
  end
  flags = flags or ""
  local bits = (flags:find("i", 1, true) and C.DML_REGEX_CASELESS or 0)
    + (flags:find("u", 1, true) and C.DML_REGEX_UTF or 0)
  local compiled = C.dml_regex_new(pattern, #pattern, bits, message, 256, offset)
  if compiled == nil then
    return nil, ("%s at %d"):format(ffi.string(message), offset[0])
  end
  compiled = ffi.gc(compiled, C.dml_regex_free)
  return setmetatable({
    is_utf = flags:find("u", 1, true) ~= nil,
    re = compiled, pattern = pattern, groups = C.dml_regex_groups(compiled), names = names_of(pattern, compiled),
  }, Regex)
end

local function want_text(text)
  if type(text) ~= "string" then
    border.raise("a regex searches a text, not a " .. type(text))
  end
end

local function run(self, text, from, n)
  want_text(text)
  local rc = C.dml_regex_match(self.re or no_self(), text, #text, from, spans, n)
  if rc < 0 then
    return border.failed(rc)
  end
  return rc > 0
end

--- Does it match? nil, "limit" for a text on which it would search too long.
---@param text string
---@return boolean? matches
---@return string? word
function Regex:test(text)
  return run(self, text, 0, 0)
end

local function taken(text, i)
  local first = spans[2 * i]
  return first >= 0 and text:sub(first + 1, spans[2 * i + 1]) or nil
end

--- The first match from the byte `from` on: its groups by number (0 is all of it) and name, `first` and `last`.
---@param text string
---@param from? integer 1
---@return table? match
---@return string? word
function Regex:match(text, from)
  local found, err = run(self, text, (from or 1) - 1, math.min(self.groups + 1, GROUPS_MAX))
  if not found then
    return nil, err
  end
  local result = { first = spans[0] + 1, last = spans[1] }
  for i = 0, math.min(self.groups, GROUPS_MAX - 1) do
    result[i] = taken(text, i)
  end
  for name, index in pairs(self.names) do
    result[name] = result[index]
  end
  return result
end

--- Where the first match from the byte `from` on begins and ends; without looking at its groups.
---@param text string
---@param from? integer 1
---@return integer? first
---@return integer|string? last_or_word  One before first where the match is empty.
function Regex:find(text, from)
  local found, err = run(self, text, (from or 1) - 1, 1)
  if not found then
    return nil, err
  end
  return spans[0] + 1, spans[1]
end

-- Where the search goes on behind a match; an empty one moves on by a character.
local function behind(self, text, match)
  local at = match.last + 1
  if match.last < match.first then
    repeat
      at = at + 1
      local byte = text:byte(at)
    until not (self.is_utf and byte and byte >= 0x80 and byte < 0xc0)
  end
  return at
end

--- An iterator over the matches. It raises where it would search too long, since a loop can't tell that from the end.
---@param text string
---@return fun(): table? next
function Regex:each(text)
  local from = 1
  want_text(text)
  return function()
    if from > #text + 1 then
      return nil
    end
    local match, err = self:match(text, from)
    if not match then
      from = #text + 2
      if err then
        error(("regex %s: %s"):format(self.pattern, err), 2)
      end
      return nil
    end
    from = behind(self, text, match)
    return match
  end
end

local function filled(with, match)
  return (with:gsub("%$(%$?)({?)([%w_]*)(}?)", function(dollar, open, name, close)
    if dollar == "$" then
      return "$" .. open .. name .. close
    end
    return (match[tonumber(name) or name] or "") .. (open == "" and close or "")
  end))
end

--- The text with each match replaced: by a text where $1 or ${name} are groups, or by what a function gives for the
--- match; and how many these were.
---@param text string
---@param with string|fun(match: table): string
---@param most? integer  Matches that are replaced.
---@return string? text
---@return integer|string n_or_word
function Regex:replace(text, with, most)
  local out, from, at, n = {}, 1, 1, 0
  want_text(text)
  while at <= #text + 1 and n < (most or math.huge) do
    local match, err = self:match(text, at)
    if err then
      return nil, err
    elseif not match then
      break
    end
    out[#out + 1] = text:sub(from, match.first - 1)
    out[#out + 1] = type(with) == "function" and (with(match) or match[0]) or filled(with, match)
    from, at, n = math.max(from, match.last + 1), behind(self, text, match), n + 1
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out), n
end

--- The texts between the matches, which are not empty.
---@param text string
---@param most? integer  Parts; the last one is what is left.
---@return string[]? parts
---@return string? word
function Regex:split(text, most)
  local out, from, at = {}, 1, 1
  want_text(text)
  while at <= #text + 1 and #out + 1 < (most or math.huge) do
    local first, last = self:find(text, at)
    if not first and last then
      return nil, last
    elseif not first then
      break
    end
    if last >= first then
      out[#out + 1] = text:sub(from, first - 1)
      from = last + 1
    end
    at = behind(self, text, { first = first, last = last })
  end
  out[#out + 1] = text:sub(from)
  return out
end

return M
