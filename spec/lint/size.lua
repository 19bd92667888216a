-- A file or function that has grown too long wants to be divided. What is too
-- long today stands in size_exceptions.lua and may only shrink:
--
--   luajit spec/lint/size.lua --shrink     writes the smaller numbers

package.path = "spec/lint/support/?.lua;" .. package.path
local lint = require "lint"

local EXCEPTIONS = "spec/lint/size_exceptions.lua"
local FUNCTION = 80

local function limit_of(path)
  if path:find "^spec/.*%.[ch]$" or path:find "^spec/.*%.lua$" or path:find "_spec%.lua$" then
    return 800
  elseif path:find "%.c$" then
    return 600
  elseif path:find "%.h$" then
    return 250
  end
  return 400
end

-- Calls found(name, line, length) for each function. Both languages are read by their layout, which
-- clang-format and the style of this repository guarantee.
local function c_functions(text, found)
  local name, start, before
  for number, line in lint.lines(text) do
    if line == "{" and before then
      name, start = before:match "([%w_]+)%s*%(" or "?", number
    elseif line:find "^}" and start then
      found(name, start, number - start + 1)
      start = nil
    end
    if line:find "^[%a_].*%(" then
      before = line -- the first line of a signature, which may go on for some more
    elseif line:find "^[}#/]" or line == "" then
      before = nil
    end
  end
end

local function lua_functions(text, found)
  local open = {}
  for number, line in lint.lines(text) do
    local indent, head = line:match "^(%s*)([%w_%.:%[%]\"= ]-)%f[%w]function%f[%W]"
    if indent and not line:find "%f[%w]end%f[%W]" then
      local name = line:match "function%s+([%w_%.:]+)" or head:match "([%w_%.]+)%s*=%s*$" or "?"
      open[#open + 1] = { name = name, line = number, stop = "^" .. indent .. "end%f[%W]" }
    elseif #open > 0 and line:find(open[#open].stop) then
      local last = table.remove(open)
      found(last.name, last.line, number - last.line + 1)
    end
  end
end

-- All that is too long: key → { length, line, limit }.
local function measure(path, text, into)
  local count = select(2, text:gsub("\n", ""))
  if count > limit_of(path) then
    into[path] = { length = count, path = path, line = 1, limit = limit_of(path), what = "the file" }
  end
  local functions = path:find "%.lua$" and lua_functions or c_functions
  functions(text, function(name, line, length)
    if length > FUNCTION then
      into[path .. ":" .. name] = { length = length, path = path, line = line, limit = FUNCTION, what = name }
    end
  end)
end

local function compare(faults, long, exceptions)
  for key, found in pairs(long) do
    local allowed = exceptions[key]
    if not allowed then
      faults:add(found.path, found.line, "%s has %d lines (at most %d): divide it", found.what, found.length,
        found.limit)
    elseif found.length > allowed then
      faults:add(found.path, found.line, "%s has grown from %d to %d lines: divide it", found.what, allowed,
        found.length)
    elseif found.length < allowed then
      faults:add(EXCEPTIONS, 1, "%s has only %d lines now: run luajit spec/lint/size.lua --shrink", key, found.length)
    end
  end
  for key in pairs(exceptions) do
    if not long[key] then
      faults:add(EXCEPTIONS, 1, "%s is short enough now: run luajit spec/lint/size.lua --shrink", key)
    end
  end
  table.sort(faults)
end

local function check(faults, path, text, exceptions)
  local long = {}
  measure(path, text, long)
  compare(faults, long, exceptions)
end

local function c_function(lines)
  return "int f(int a,\n      int b)\n{\n" .. ("    a++;\n"):rep(lines - 2) .. "}\n"
end
local function lua_function(lines)
  return "local function f()\n" .. ("  a()\n"):rep(lines - 2) .. "end\n"
end

lint.self_check(check, {
  { "core/base/a.c", ("\n"):rep(601), {} },
  { "core/base/a.h", ("\n"):rep(251), {} },
  { "lua/demilune/a.lua", ("\n"):rep(401), {} },
  { "core/base/a.c", c_function(81), {} },
  { "lua/demilune/a.lua", lua_function(81), {} },
  { "core/base/a.c", c_function(90), { ["core/base/a.c:f"] = 89 } },
  { "core/base/a.c", c_function(90), { ["core/base/a.c:f"] = 91 } },
  { "core/base/a.c", c_function(10), { ["core/base/a.c:f"] = 91 } },
}, {
  { "core/base/a.c", ("\n"):rep(600), {} },
  { "core/base/a.c", c_function(80) .. c_function(80), {} },
  { "lua/demilune/a.lua", lua_function(80) .. lua_function(80), {} },
  { "core/base/a.c", c_function(90), { ["core/base/a.c:f"] = 90 } },
  { "plugins/a/a_spec.lua", ("\n"):rep(800), {} },
})

local function shrink(long, exceptions)
  local keys = {}
  for key, allowed in pairs(exceptions) do
    if long[key] then
      keys[#keys + 1] = key
      exceptions[key] = math.min(allowed, long[key].length)
    end
  end
  table.sort(keys)
  local out = assert(io.open(EXCEPTIONS, "w"))
  out:write "-- Files and functions that are still too long. A number here may only become smaller.\nreturn {\n"
  for _, key in ipairs(keys) do
    out:write(("  [%q] = %d,\n"):format(key, exceptions[key]))
  end
  out:write "}\n"
  out:close()
end

local long = {}
local files = lint.files "^[^.].*%.[chl]u?a?$"
for i = #files, 1, -1 do
  local path = files[i]
  if path == "lua/demilune/cdef.lua" or path:find "/corpus/" or path:find "/data/" then
    table.remove(files, i)
  else
    measure(path, lint.read(path), long)
  end
end

local exceptions = dofile(EXCEPTIONS)
if arg[1] == "--shrink" then
  shrink(long, exceptions)
end
local faults = lint.faults()
compare(faults, long, exceptions)
lint.finish(faults, #files)
