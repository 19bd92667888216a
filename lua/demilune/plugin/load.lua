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

-- The fields of the contract, and what each is. A plugin may have others, but none that looks like one of these.
local FIELDS = {
  name = "string", version = "string", new = "function", schema = "table", after = "table", guards = "boolean",
  answers_preflights = "boolean", answers = "boolean", credential = "table", remark = "function",
}
for _, hook in ipairs(M.HOOKS) do
  FIELDS[hook] = "function"
end

-- What other gateways call hooks.
local FOREIGN = { header_filter = "response", body_filter = "body", init_worker = "start" }

local MAY_BE_EDITS = { rewrite = true, access = true, response = true }

local function letters(text)
  local list = { text:lower():byte(1, -1) }
  table.sort(list)
  return table.concat(list, " ")
end

-- Which field of the contract was probably meant, or nil: of the same type, as a plugin may have functions
-- and constants of its own. Short names are near to many words, so those must have the very same letters.
local function meant_by(key, value)
  local alike = {}
  for field, kind in pairs(FIELDS) do
    if kind == type(value) then
      if letters(field) == letters(key) then
        return field
      end
      alike[field] = true
    end
  end
  return FOREIGN[key] or (type(value) ~= "function" or #key > 4) and border.nearest(key, alike) or nil
end

-- The first field that looks misspelt, in a message; nil when none does.
local function fault_of_names(plugin)
  local names = {}
  for key in pairs(plugin) do
    if type(key) == "string" and not FIELDS[key] and key:sub(1, 1) ~= "_" then
      names[#names + 1] = key
    end
  end
  table.sort(names)
  for _, key in ipairs(names) do
    local near = meant_by(key, plugin[key])
    if near then
      return ('it has an unknown field "%s", did you mean "%s"?'):format(key, near)
    end
  end
end

-- What is wrong with the table that a plugin returned, or nil.
local function fault_of(plugin, name)
  if type(plugin) ~= "table" then
    return "the module returns no table"
  end
  local misspelt = fault_of_names(plugin)
  if misspelt then
    return misspelt
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
  elseif plugin.answers ~= nil and type(plugin.answers) ~= "boolean" then
    return "its answers is neither true nor false"
  end
  if plugin.remark ~= nil and type(plugin.remark) ~= "function" then
    return "its remark is no function"
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
  return not has_hook and "it has no hook" or credential.fault_of(plugin.credential)
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

-- A plugin that may be there, where this user may not look: "/etc/x/init.lua: Permission denied". Or nil.
local function unreadable(name)
  local DENIED = 13 -- EACCES
  for _, folder in ipairs(strict.folders()) do
    local file, message, code = io.open(("%s/%s/init.lua"):format(folder, name))
    if file then
      file:close()
    elseif code == DENIED then
      return message
    end
  end
end

local function not_installed(name)
  strict.note_missing(name)
  local near, denied = border.nearest(name, M.installed()), unreadable(name)
  return ('the plugin "%s" is not installed%s'):format(name, near and (', did you mean "%s"?'):format(near)
    or denied and ", unless it is what can't be read: " .. denied or "")
end

local fine = {} -- by name: those that were looked at, for they are loaded again at each place

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
  if ok and plugin == fine[name] then
    return plugin
  elseif ok then
    fault = fault_of(plugin, name)
  else
    fault = tostring(plugin):gsub("(module '[^\n]*' not found):\n.*", "%1") -- without the forty places searched
  end
  if fault then
    package.loaded[module] = nil -- so that its next place hears the same
    return nil, ('the plugin "%s" can\'t be used: %s'):format(name, fault)
  end
  if explain then
    explain.modules()
  end
  fine[name] = plugin
  return plugin
end

-- Why no credential can stand under this name, or nil.
function M.missing(name)
  local plugin, message = M.load(name)
  if plugin and not plugin.credential then
    return ('the plugin "%s" has no credentials'):format(name)
  end
  return message
end

return M
