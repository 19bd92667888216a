-- SPDX-License-Identifier: Apache-2.0

-- Turns the annotations of the library (LuaCATS, as an editor's language server reads them) into lua/REFERENCE.md:
--
--   luajit lua/make_reference.lua            writes it
--   luajit lua/make_reference.lua --print    prints it (spec/lint/reference.lua compares)
--
-- A file has an opening comment, classes (---@class, ---@field) and functions with what stands above them (--- text,
-- ---@param, ---@return). What is ---@private, local, or has no annotation is left out.

local M = {}

local FOLDER = "lua/demilune/"

-- What is public, in the order of the reference: title, file, and the name that stands before a module's functions.
M.PUBLIC = {
  { title = "The exchange", file = "exchange", paragraphs = 1 },
  { title = "The request", file = "request" },
  { title = "The response", file = "response" },
  { title = "Headers", file = "headers" },
  { title = "Bodies", file = "body" },
  { title = "Attempts", file = "attempt" },
  { title = "TLS handshakes", file = "handshake" },
  { title = "The context", file = "plugin", paragraphs = 0 },
  { title = "demilune.http", file = "http", name = "http" },
  { title = "demilune.http, streams", file = "http/stream" },
  { title = "demilune.task", file = "task", name = "task" },
  { title = "demilune.store", file = "store", name = "store" },
  { title = "demilune.socket", file = "socket", name = "socket" },
  { title = "demilune.dns", file = "dns", name = "dns" },
  { title = "demilune.json", file = "json", name = "json" },
  { title = "demilune.crypto", file = "crypto", name = "crypto" },
  { title = "demilune.crypto, keys", file = "crypto/key", name = "crypto.key" },
  { title = "demilune.crypto, passwords", file = "crypto/password", name = "crypto.password" },
  { title = "demilune.jwt", file = "jwt", name = "jwt" },
  { title = "demilune.redis", file = "redis", name = "redis" },
  { title = "demilune.kafka", file = "kafka", name = "kafka" },
  { title = "demilune.url", file = "url", name = "url" },
  { title = "demilune.uuid", file = "uuid", name = "uuid" },
  { title = "demilune.time", file = "time", name = "time" },
  { title = "demilune.log", file = "log", name = "log" },
  { title = "demilune.metrics", file = "metrics", name = "metrics" },
  { title = "demilune.regex", file = "regex", name = "regex" },
  { title = "demilune.cache", file = "cache", name = "cache" },
  { title = "demilune.limit", file = "limit", name = "limit" },
  { title = "demilune.selector", file = "selector", name = "selector" },
  { title = "demilune.edit", file = "edit", name = "edit" },
  { title = "demilune.keyring", file = "keyring", name = "keyring" },
  { title = "demilune.marks", file = "marks", name = "marks" },
  { title = "demilune.identity", file = "identity", name = "identity" },
  { title = "demilune.networks", file = "networks", name = "networks" },
  { title = "demilune.test", file = "test", name = "test" },
  { title = "demilune.test, upstreams", file = "test/upstream" },
  { title = "demilune.test, hooks without sockets", file = "test/exchange" },
  { title = "demilune.test, Redis", file = "test/redis" },
  { title = "demilune.test, Kafka", file = "test/kafka" },
  { title = "demilune.test, issuers", file = "test/issuer" },
}

-- --- reading ---------------------------------------------------------------------------------------

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- The type at the beginning of a text, and the rest: types may have blanks in them, within brackets.
local function split_type(text)
  local depth, i = 0, 1
  while i <= #text do
    local c = text:sub(i, i)
    if c:find "[%(%[{<]" then
      depth = depth + 1
    elseif c:find "[%)%]}>]" then
      depth = depth - 1
    elseif c == " " and depth == 0 and not text:sub(1, i - 1):find "[:,|]$" then
      break
    end
    i = i + 1
  end
  return text:sub(1, i - 1), (text:sub(i + 1):gsub("^ +", ""))
end

local TAGS = {}

function TAGS.class(block, rest)
  local name, text = rest:match "^(%S+) *(.*)$"
  block.classes[#block.classes + 1] = { name = name, text = text, fields = {} }
end

function TAGS.field(block, rest)
  if rest:find "^private " then -- of the object itself; for the language server alone
    return
  end
  local name, more = rest:match "^(%[?[%w_]+%]?%??) +(.*)$"
  local kind, text = split_type(more)
  local class = block.classes[#block.classes]
  class.fields[#class.fields + 1] = { name = name, kind = kind, text = text }
end

function TAGS.param(block, rest)
  local name, more = rest:match "^(%S+) +(.*)$"
  local kind, text = split_type(more)
  block.params[#block.params + 1] = { name = name, kind = kind, text = text }
end

TAGS["return"] = function(block, rest)
  local kind, text = split_type(rest)
  block.returns[#block.returns + 1] = { kind = kind, text = text }
end

-- For the language server alone.
function TAGS.alias()
end

function TAGS.generic()
end

function TAGS.private(block)
  block.is_private = true
end

-- A list of blocks { text, params, returns, classes, code = the line behind them, line = its number }.
local function blocks_of(source)
  local list, block, number = {}, nil, 0
  for line in (source .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    local tag, rest = line:match "^%-%-%-@(%a+) *(.*)$"
    local text = line:match "^%-%-%- ?(.*)$"
    if text then
      block = block or { text = {}, params = {}, returns = {}, classes = {} }
      if text:find "^|" then -- a value of an alias
        block.has_alias = true
      elseif not tag then
        block.text[#block.text + 1] = text
      elseif TAGS[tag] then
        TAGS[tag](block, rest)
      else
        error(("line %d: no such annotation here: @%s"):format(number, tag), 0)
      end
    elseif block or line:find "^function " then
      block = block or { text = {}, params = {}, returns = {}, classes = {}, is_bare = true }
      block.code, block.line = line, number
      list[#list + 1], block = block, nil
    end
  end
  return list
end

-- "-- text" after the licence, up to the first line without, or so many paragraphs of it.
local function intro_of(source, paragraphs)
  local lines, left = {}, paragraphs or math.huge
  for line in source:gsub("^%-%- SPDX[^\n]*\n\n?", ""):gmatch "([^\n]*)\n" do
    local text = line:match "^%-%- ?(.*)$"
    left = text == "" and left - 1 or left
    if not text or left <= 0 then
      break
    end
    lines[#lines + 1] = text
  end
  return lines
end

-- What a function is called by those who use it, its parameters; nil for what is no public function's definition.
local function call_of(block, module, owners)
  local owner, mark, name, params = block.code:match "^function ([%w_]+)([.:])([%w_]+)%((.-)%)"
  if not owner or name:sub(1, 2) == "__" then
    return nil
  elseif owner == "M" then
    return module and module .. "." .. name, params
  elseif mark == "." and owner == "methods" then
    params = params:gsub("^self,? *", "")
  elseif mark == "." then
    return nil
  end
  return owners[owner] and owners[owner] .. ":" .. name, params
end

-- --- writing ---------------------------------------------------------------------------------------

-- Lines that are indented are code.
local function prose(lines)
  local out, is_code = {}, false
  for i, line in ipairs(lines) do
    local goes_on = is_code and line == "" and (lines[i + 1] or ""):find "^  " ~= nil
    local indented = goes_on or line:find "^  " ~= nil
    if indented ~= is_code then
      out[#out + 1] = indented and "```lua" or "```"
      is_code = indented
    end
    out[#out + 1] = is_code and line:gsub("^  ", "") or line
  end
  if is_code then
    out[#out + 1] = "```"
  end
  return table.concat(out, "\n")
end

local function cell(text)
  return (text:gsub("|", "\\|"))
end

local function rows_of(head, list, row)
  local out = { head, (head:gsub("[^|]+", "---")) }
  for i, item in ipairs(list) do
    out[i + 2] = row(item)
  end
  return table.concat(out, "\n")
end

local function write_class(out, class, module)
  if class.name ~= module then -- which has its heading
    out[#out + 1] = ("### %s\n"):format(class.name)
  end
  if class.text ~= "" then
    out[#out + 1] = class.text .. "\n"
  end
  if #class.fields > 0 then
    out[#out + 1] = rows_of("| field | type | |", class.fields, function(field)
      return ("| `%s` | `%s` | %s |"):format(field.name, cell(field.kind), field.text)
    end) .. "\n"
  end
end

local function write_function(out, call, params, block)
  out[#out + 1] = ("#### `%s(%s)`\n"):format(call, params)
  out[#out + 1] = prose(block.text) .. "\n"
  local list = {}
  for _, param in ipairs(block.params) do
    list[#list + 1] = ("- `%s`: `%s` %s"):format(param.name, param.kind, param.text)
  end
  for i, result in ipairs(block.returns) do
    list[#list + 1] = ("- %s `%s` %s"):format(i == 1 and "gives" or "and", result.kind, result.text)
  end
  if #list > 0 then
    out[#out + 1] = (table.concat(list, "\n"):gsub(" +\n", "\n"):gsub(" +$", "")) .. "\n"
  end
end

local function has_content(class)
  return class.text ~= "" or #class.fields > 0
end

local function write_file(out, entry, source)
  local owners = {}
  out[#out + 1] = ("## %s\n"):format(entry.title)
  out[#out + 1] = prose(intro_of(source, entry.paragraphs)) .. "\n"
  for _, block in ipairs(blocks_of(source)) do
    for _, class in ipairs(block.classes) do
      local variable = block.code:match "^local ([%w_]+) = "
      if variable and class == block.classes[1] then
        owners[variable] = class.name
      end
      if has_content(class) then
        write_class(out, class, "demilune." .. (entry.name or ""))
      end
    end
    local call, params = call_of(block, entry.name, owners)
    if call and not block.is_private and not block.is_bare then
      write_function(out, call, params, block)
    end
  end
end

local HEAD = [[
<!-- Made by lua/make_reference.lua from the annotations in lua/demilune/. Not to be edited. -->

# The library of plugins

What hooks are given, then the modules, which a plugin gets by `require "demilune.http"` and the like at the top of its
file. What expects to fail returns nil and a word; misuse raises at the plugin's line. Every wait ends with
`nil, "cancelled"` when the exchange has ended.

An editor with the Lua language server completes all of this: `demilune new plugin` writes a `.luarc.json` that
names the folder `lua/` of the installation (or of the source) in `workspace.library`, and a hook says what it gets:
`---@param exchange exchange`.
]]

function M.generate()
  local out = { HEAD }
  for _, entry in ipairs(M.PUBLIC) do
    write_file(out, entry, read(FOLDER .. entry.file .. ".lua"))
  end
  return (table.concat(out, "\n"):gsub("\n\n\n+", "\n\n"))
end

-- --- faults (for the lint) ---------------------------------------------------------------------------

-- The fields of classes, by the variable that a class stands above.
local function fields_of(source)
  local fields = {}
  for _, block in ipairs(blocks_of(source)) do
    local variable = block.code:match "^local ([%w_]+) = "
    local class = variable and block.classes[1]
    for _, field in ipairs(class and class.fields or {}) do
      fields[variable .. "." .. field.name] = true
    end
  end
  return fields
end

-- What is assigned is documented as a field, for nothing tells what it is called with.
local function look_at_assigned(entry, source, add)
  local fields, number, above = fields_of(source), 0, ""
  for line in source:gmatch "([^\n]*)\n" do
    number = number + 1
    for owner, name in (line:match "^(%u[%w_., ]-) = " or ""):gmatch "(%u%w*)%.(%l[%w_]*)" do
      local is_public = owner ~= "M" or entry.name
      if is_public and not fields[owner .. "." .. name] and above ~= "---@private" then
        add(number, ("%s is not documented: write ---@field above its class"):format(name))
      end
    end
    above = line
  end
end

-- Adds what is missing in a public file: functions without a word, parameters that are not told.
function M.look(entry, source, add)
  local owners = {}
  look_at_assigned(entry, source, add)
  for _, block in ipairs(blocks_of(source)) do
    for _, class in ipairs(block.classes) do
      local variable = block.code:match "^local ([%w_]+) = "
      owners[variable or ""] = owners[variable or ""] or class.name
    end
    local owner, name, params = block.code:match "^function ([%w_]+)[.:]([%w_]+)%((.-)%)"
    local is_public = owner == "M" and entry.name or owner == "methods" or owners[owner]
    if is_public and not block.is_private and name:sub(1, 2) ~= "__" then
      if #block.text == 0 then
        add(block.line, ("%s is not documented: write --- above it"):format(name))
      end
      local told = {}
      for _, param in ipairs(block.params) do
        told[param.name:gsub("%?$", "")] = true
      end
      for param in params:gmatch "[%w_.]+" do
        if param ~= "self" and not told[param] then
          add(block.line, ("%s: its parameter %s is not told: ---@param %s"):format(name, param, param))
        end
      end
    end
  end
end

M.FOLDER = FOLDER

if arg and arg[0] and arg[0]:find "make_reference%.lua$" then
  if arg[1] == "--print" then
    io.write(M.generate())
  else
    local file = assert(io.open("lua/REFERENCE.md", "wb"))
    file:write(M.generate())
    file:close()
  end
end

return M
