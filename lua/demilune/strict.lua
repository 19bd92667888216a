-- SPDX-License-Identifier: Apache-2.0

-- Loading of plugin files. A module demilune.plugins.NAME[.SUB] is searched in the folders of
-- plugin_path, then in the LuaRocks trees, then among the shipped plugins. Its chunk gets an
-- environment in which writing an undeclared global is an error: such a variable would be shared
-- by all requests, and is nearly always a forgotten "local". Modules of others are left alone.
--
-- And require, from a hook, gives only what is loaded already: reading a file would hold up all
-- requests of the worker, and a module can't wait while it loads.

local core = require "demilune.core"

local M = {}

local loaded, searchpath = package.loaded, package.searchpath

local environment = setmetatable({}, {
  __index = _G,
  __newindex = function(_, name)
    error(('assignment to the undeclared global "%s": write "local %s"'):format(tostring(name),
      tostring(name)), 2)
  end,
  __metatable = false,
})

local function templates(folders)
  local list = {}
  for folder in folders:gmatch "[^;]+" do
    list[#list + 1] = folder .. "/?.lua"
    list[#list + 1] = folder .. "/?/init.lua"
  end
  return table.concat(list, ";")
end

local folders = {} -- of plugin_path
for folder in core.plugin_dirs:gmatch "[^;]+" do
  folders[#folders + 1] = folder
end

local before, shipped = templates(core.plugin_dirs), templates(core.shipped_dir)

-- One more folder of plugins, searched after those before it (tests).
function M.add_folder(folder)
  folders[#folders + 1] = folder
  before = templates(table.concat(folders, ";"))
end

-- The folders of plugin_path.
function M.plugin_path()
  return folders
end

-- The file of a plugin's module, or nil and the places that were looked at.
function M.find(name)
  local short = name:match "^demilune%.plugins%.(.+)$"
  local tried = {}
  for _, place in ipairs {
    { short, before }, { name, package.path }, { short, shipped },
  } do
    local path, missing = searchpath(place[1], place[2])
    if path then
      return path
    end
    tried[#tried + 1] = missing
  end
  return nil, table.concat(tried)
end

-- Folders whose subfolders may be plugins, in the order in which they are searched.
function M.folders()
  local list = { unpack(folders) }
  for template in package.path:gmatch "[^;]+" do
    list[#list + 1] = template:match "^(.*)/%?%.lua$" and template:gsub("%?%.lua$", "demilune/plugins")
  end
  for folder in core.shipped_dir:gmatch "[^;]+" do
    list[#list + 1] = folder
  end
  return list
end

-- Files that were loaded, and where those would be that are not there, each with its print from before it was read: who
-- waits for a change (watch) looks at them.
M.seen = {}

local function note(path)
  M.seen[path] = M.seen[path] or core.file_print(path)
end

-- A plugin that is not installed (yet).
function M.note_missing(plugin)
  for _, folder in ipairs(folders) do
    note(("%s/%s/init.lua"):format(folder, plugin))
  end
end

table.insert(package.loaders, 2, function(name)
  if name:sub(1, 17) ~= "demilune.plugins." then
    return nil
  end
  local path, missing = M.find(name)
  if not path then
    return missing
  end
  note(path)
  local chunk, message = loadfile(path)
  if not chunk then
    error(message, 0)
  end
  return setfenv(chunk, environment)
end)

-- Modules of the library that are designed and do not exist yet; the last loader that is asked.
local LATER = { trace = true }

table.insert(package.loaders, function(name)
  if LATER[name:match "^demilune%.([^.]*)"] then
    error(('module "%s" is not yet supported'):format(name), 3)
  end
end)

local load_module = require

function require(name) -- luacheck: ignore 121
  local module = loaded[name]
  local kind = type(module)
  if kind ~= "nil" and kind ~= "userdata" and kind ~= "number" then -- a mark of one that is being loaded, or was not
    return module
  elseif module == nil and core.in_request() then
    error(('module "%s" is not loaded yet, and a hook may not load it: write require at the top of the file')
      :format(tostring(name)), 2)
  end
  return load_module(name)
end

M.environment = environment

return M
