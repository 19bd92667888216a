-- SPDX-License-Identifier: Apache-2.0

-- `demilune test`: busted inside the runtime. It runs in one coroutine of the scheduler, so specs
-- and their before_each, after_each and finally may wait as hooks do, while the loop goes on.
--
-- busted is made to fit in three places: where it would end the process, where it forgets the
-- modules that a file has loaded (ours stay: C knows some of their tables), and around each spec
-- and describe, so that what they have started is stopped with them (test/scope.lua).

local scope = require "demilune.test.scope"
local strict = require "demilune.strict"

local M = {}

local EXIT = {} -- raised where busted would end the process

-- --- modules ------------------------------------------------------------------------------------

local function is_ours(name)
  return name:sub(1, 9) == "demilune." and name:sub(1, 17) ~= "demilune.plugins."
end

-- A file's own modules are loaded anew for each file; those of the runtime are not.
local function keep_modules()
  local kept, load_module = {}, require
  table.insert(package.loaders, 1, function(name)
    local module = kept[name]
    return module ~= nil and function() return module end or nil
  end)
  rawset(_G, "require", function(name)
    local module = load_module(name)
    if type(name) == "string" and is_ours(name) then
      kept[name] = module
    end
    return module
  end)
end

-- --- busted -------------------------------------------------------------------------------------

local function scoped(executor)
  return function(...)
    scope.enter()
    executor(...)
    scope.leave()
  end
end

local SCOPES = { it = true, describe = true, file = true }

-- A busted whose specs and describes are scopes.
local function make_busted(new)
  local busted = new()
  local register = busted.register
  function busted.register(descriptor, executor, attributes)
    if SCOPES[descriptor] and type(executor) == "function" then
      executor = scoped(executor)
    end
    return register(descriptor, executor, attributes)
  end
  return busted
end

local function load_busted()
  local compatibility = require "busted.compatibility"
  function compatibility.exit(code)
    error({ [EXIT] = true, code = code }, 0)
  end
  local new = require "busted.core"
  package.loaded["busted.core"] = function() return make_busted(new) end
  return require "busted.runner"
end

-- --- plugins ------------------------------------------------------------------------------------

-- A plugin is found from within its own folder, and in a folder of plugins.
local function find_plugins(args)
  local path = require "pl.path"
  for i = 1, #args do
    local place = args[i]
    if path.exists(place) then
      local folder = path.abspath(path.isdir(place) and place or path.dirname(place))
      strict.add_folder(path.dirname(folder))
      strict.add_folder(folder)
    end
  end
end

-- busted names itself after the chunk that calls it.
local call_runner = assert(loadstring("local run, options = ...\nrun(options)\n", "@demilune test"))

-- busted's output "sound" starts a program that speaks.
local SOUNDS = { ["-s"] = true, ["--enable-sound"] = true, ["-osound"] = true, ["--output=sound"] = true }

local function wants_sound(args)
  for i = 1, #args do
    if SOUNDS[args[i]] or args[i] == "sound" and (args[i - 1] == "-o" or args[i - 1] == "--output") then
      return true
    end
  end
  return false
end

-- --- help ---------------------------------------------------------------------------------------

local NOT_HERE = { "-s", "--lua", "--ignore" }

-- busted's own list of what it takes, without what has no meaning here.
local function help()
  local cli = require "busted.modules.cli" { output = "plainTerminal" }
  local _, text = cli:parse { "--help" }
  text = "\n" .. text:match "OPTIONS: *\n(.*\n)[^\n]*$"
  for _, option in ipairs(NOT_HERE) do
    text = text:gsub("\n  " .. option:gsub("%-", "%%-") .. "[^\n]*\n(.-)\n  %-", "\n  -")
  end
  text = text:gsub("output library to load", "plainTerminal, utfTerminal, TAP, json, junit or gtest")
  io.write("\n  FILE or FOLDER              specs to run; of a folder those whose names fit --pattern", text)
end

local function wants_help(args)
  for i = 1, #args do
    if args[i] == "--" then
      return false
    elseif args[i] == "--help" or args[i] == "-h" then
      return true
    end
  end
  return false
end

-- It is not a part of the gateway: who only runs one does without.
local function lacks_busted()
  return not package.searchpath("busted.runner", package.path)
end

-- Called with busted's arguments; gives the exit status.
function M.main(args)
  if lacks_busted() then
    io.stderr:write "demilune test: busted is not installed (Debian: lua-busted; or: luarocks install busted)\n"
    return 1
  end
  if wants_help(args) then
    help()
    return 0
  end
  if wants_sound(args) then
    io.stderr:write 'demilune test: the output "sound" starts other programs, which is not available here\n'
    return 1
  end
  keep_modules()
  find_plugins(args)
  package.path = package.path .. ";./?.lua;./?/init.lua"
  local list = { [0] = "demilune test", "--ignore-lua" }
  for i = 1, #args do
    list[i + 1] = args[i]
  end
  rawset(_G, "arg", list)
  local ok, message = xpcall(call_runner, function(message)
    return type(message) == "string" and debug.traceback(message, 2) or message
  end, load_busted(), { standalone = false })
  io.stdout:flush()
  if ok then
    return 0
  elseif type(message) == "table" and message[EXIT] then
    return message.code
  end
  error(message, 0)
end

return M
