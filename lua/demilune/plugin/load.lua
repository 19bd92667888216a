-- SPDX-License-Identifier: Apache-2.0

-- Finds and loads plugins, and looks whether they are what they must be: a table with a name, a
-- version and at least one hook.

local border = require "demilune.ffi"
local core = require "demilune.core"
local credential = require "demilune.credential"
local edit = require "demilune.edit"
local explain = core.explains and require "demilune.explain"
local strict = require "demilune.strict"

local M = {}

-- In the order of enum phase.
M.HOOKS = { "certificate", "rewrite", "access", "balance", "attempt", "response", "body", "log", "start", "stop" }

local HOOK_NAMES = {}
for _, hook in ipairs(M.HOOKS) do
  HOOK_NAMES[hook] = true
end

local MAY_BE_EDITS = { rewrite = true, access = true, response = true }

-- For one that has no hook at all: the function that is nearly one.
local function misspelt(plugin)
  for name, value in pairs(plugin) do
    local near = type(value) == "function" and type(name) == "string" and border.nearest(name, HOOK_NAMES)
    if near then
      return (', did you mean "%s" by "%s"?'):format(near, name)
    end
  end
  return ""
end

-- What is wrong with the table that a plugin returned, or nil.
local function fault_of(plugin, name)
  if type(plugin) ~= "table" then
    return "the module returns no table"
  elseif plugin.name ~= name then
    return ('its name is "%s", its folder\'s is "%s"'):format(tostring(plugin.name), name)
  elseif type(plugin.version) ~= "string" then
    return "it has no version"
  elseif plugin.new ~= nil and type(plugin.new) ~= "function" then
    return "its new is no function"
  elseif plugin.schema ~= nil and type(plugin.schema) ~= "table" then
    return "its schema is no table"
  elseif plugin.after ~= nil and type(plugin.after) ~= "table" then
    return 'its after is no list: after = { "oauth2" }'
  elseif plugin.guards ~= nil and type(plugin.guards) ~= "boolean" then
    return "its guards is neither true nor false"
  elseif plugin.answers_preflights ~= nil and type(plugin.answers_preflights) ~= "boolean" then
    return "its answers_preflights is neither true nor false"
  end
  local has_hook = false
  for _, hook in ipairs(M.HOOKS) do
    if plugin[hook] ~= nil then
      if type(plugin[hook]) ~= "function" then
        return ("its %s is no function"):format(hook)
      elseif plugin[hook] == edit.hook and not MAY_BE_EDITS[hook] then
        return ('its hook "%s" can\'t be a list of edits'):format(hook)
      end
      has_hook = true
    end
  end
  return not has_hook and "it has no hook" .. misspelt(plugin) or credential.fault_of(plugin.credential)
end

-- Names of the plugins that can be enabled → their files.
function M.installed()
  local found = {}
  for _, folder in ipairs(strict.folders()) do
    for _, name in ipairs(core.subfolders(folder)) do
      if not found[name] then
        found[name] = strict.find("demilune.plugins." .. name)
      end
    end
  end
  return found
end

local function not_installed(name)
  strict.note_missing(name)
  local near = border.nearest(name, M.installed())
  return ('the plugin "%s" is not installed%s'):format(name, near and (', did you mean "%s"?'):format(near) or "")
end

-- The plugin, or nil and a message.
function M.load(name)
  local module = "demilune.plugins." .. name
  if not name:find "^[%w][%w_-]*$" then
    return nil, ('"%s" is no name of a plugin'):format(name)
  elseif not package.loaded[module] and not strict.find(module) then
    return nil, not_installed(name)
  end
  local ok, plugin = pcall(require, module)
  local fault
  if ok then
    fault = fault_of(plugin, name)
  else
    fault = tostring(plugin):gsub("(module '[^\n]*' not found):\n.*", "%1") -- without the forty places searched
  end
  if fault then
    package.loaded[module] = nil -- so that its next place hears the same
    return nil, ('the plugin "%s" can\'t be used: %s'):format(name, fault)
  end
  if explain then
    explain.plugin(plugin, M.HOOKS)
  end
  return plugin
end

-- Why no plugin of this name can be used, or nil.
function M.missing(name)
  return (select(2, M.load(name)))
end

return M
