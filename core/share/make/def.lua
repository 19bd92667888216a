-- SPDX-License-Identifier: Apache-2.0

-- Reads the tables of core/*.def, which C includes: rows of MACRO(value, ..., .field = value). A value is text (literals
-- side by side are one), a number, true or false, nil (NULL), or else what stands there, as { code = text }.

local M = {}

local ESCAPES = { n = "\n", t = "\t", ['"'] = '"', ["'"] = "'", ["\\"] = "\\" }
local UNITS = { KIB = 1024, MIB = 1024 * 1024 }

local function unescape(text)
  return (text:gsub("\\(.)", ESCAPES))
end

-- The next token: its kind ("text", "char", "mark", "word") and value, and where it ends.
local function token(text, at)
  at = text:find("%S", at)
  if not at then
    return nil
  end
  local c = text:sub(at, at)
  if c == '"' or c == "'" then
    local stop = at + 1
    while text:sub(stop, stop) ~= c do
      stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
    end
    return c == '"' and "text" or "char", unescape(text:sub(at + 1, stop - 1)), stop + 1
  end
  local word = text:match("^[%w_%.]+", at)
  if word then
    return "word", word, at + #word
  end
  return "mark", c, at + 1
end

local function number(words)
  local code = table.concat(words, " ")
  if code:find "[^%d%s%.%*%a]" then
    return nil
  end
  local product = 1
  for factor in code:gmatch "[^%s%*]+" do
    local n = UNITS[factor] or tonumber(factor)
    if not n then
      return nil
    end
    product = product * n
  end
  return product
end

local function value_of(kinds, values)
  local first = values[1]
  if kinds[1] == "text" then
    return table.concat(values)
  elseif kinds[1] == "char" then
    return first
  elseif #values == 1 and (first == "true" or first == "false") then
    return first == "true"
  elseif #values == 1 and first == "NULL" then
    return nil
  end
  return number(values) or { code = table.concat(values, " ") }
end

-- One row's arguments, from behind its "(": positional ones by number, others by name; and where it ends.
local function arguments(text, at)
  local row, kinds, values, name, n, depth = {}, {}, {}, nil, 0, 0
  while true do
    local kind, value, stop = token(text, at)
    assert(kind, "a row has no end")
    at = stop
    if kind == "mark" and depth == 0 and (value == "," or value == ")") then
      if name then
        row[name] = value_of(kinds, values)
      elseif #values > 0 then
        n = n + 1
        row[n] = value_of(kinds, values)
      end
      kinds, values, name = {}, {}, nil
      if value == ")" then
        return row, at
      end
    elseif kind == "mark" and value == "=" then
      name, kinds, values = values[1]:sub(2), {}, {}
    else
      depth = depth + (value == "(" and kind == "mark" and 1 or value == ")" and kind == "mark" and -1 or 0)
      kinds[#kinds + 1], values[#values + 1] = kind, value
    end
  end
end

-- The rows of a file's text, in order: { macro = "KEY", "workers", { code = "WORKERS" }, fallback = "auto" ... }.
function M.parse(text)
  local rows, at = {}, 1
  text = text:gsub("/%*.-%*/", "")
  while true do
    local kind, word, stop = token(text, at)
    if not kind then
      return rows
    end
    assert(kind == "word", "a row begins with the name of a macro")
    local row = {}
    local open = text:match("^%s*%(()", stop)
    if open then
      row, stop = arguments(text, open)
    end
    row.macro = word
    rows[#rows + 1], at = row, stop
  end
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- The command line: summary, status, options (list, and by id), commands, each with the options that it takes.
function M.command_line()
  local line = { options = {}, commands = {} }
  for _, row in ipairs(M.parse(read "core/app/cli_commands.def")) do
    if row.macro == "TEXT" then
      line[row[1].code] = row[2]
    elseif row.macro == "OPTION" then
      local letter = row[2] ~= 0 and row[2] or nil
      local option = { id = row[1].code, letter = letter, name = row[3], value = row[4], text = row[5] }
      line.options[#line.options + 1] = option
    else
      local command = { name = row[1], usage = row.usage, brief = row.brief, about = row.about, options = {},
        takes_all = row.takes_all }
      local wanted = (row.options and row.options.code or "") .. (row.takes_all and "" or " ( HELP )")
      for _, option in ipairs(line.options) do
        if wanted:find("( " .. option.id .. " )", 1, true) then
          command.options[#command.options + 1] = option
        end
      end
      line.commands[#line.commands + 1] = command
    end
  end
  return line
end

-- The configuration: sections in order, each { name, text, keys }.
function M.configuration()
  local sections = {}
  for _, row in ipairs(M.parse(read "core/gate/conf_keys.def")) do
    if row.macro == "SECTION" then
      sections[#sections + 1] = { name = row[1].code, text = row[2], keys = {} }
    elseif row.macro == "KEY" then
      row.name, row.type = row[1], row[2].code
      table.insert(sections[#sections].keys, row)
    end
  end
  return sections
end

return M
