-- SPDX-License-Identifier: Apache-2.0

-- The plugin contract. Loads plugins and looks whether they are what they must be, checks their
-- configs against their schemas, makes an instance per place where one is enabled, and says what each
-- chain does in each phase.

local border = require "demilune.ffi"
local chain = require "demilune.chain"
local core = require "demilune.core"
local edit = require "demilune.edit"
local exchange = require "demilune.exchange"
local schema = require "demilune.schema"
local selector = require "demilune.selector"
local strict = require "demilune.strict"

local M = {}

core.open_metatable(getmetatable(schema.open ""))

-- In the order of enum phase.
M.HOOKS = { "certificate", "rewrite", "access", "balance", "attempt", "response", "body", "log", "start", "stop" }

local NOT_YET = { certificate = true }
local MAY_BE_EDITS = { rewrite = true, access = true, response = true }

-- --- loading ------------------------------------------------------------------------------------

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
  end
  local has_hook = false
  for _, hook in ipairs(M.HOOKS) do
    if plugin[hook] ~= nil then
      if type(plugin[hook]) ~= "function" then
        return ("its %s is no function"):format(hook)
      elseif NOT_YET[hook] then
        return ('its hook "%s" is not yet supported'):format(hook)
      elseif plugin[hook] == edit.hook and not MAY_BE_EDITS[hook] then
        return ('its hook "%s" can\'t be a list of edits'):format(hook)
      end
      has_hook = true
    end
  end
  return not has_hook and "it has no hook" or nil
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
    fault = tostring(plugin)
  end
  if fault then
    package.loaded[module] = nil -- so that its next place hears the same
    return nil, ('the plugin "%s" can\'t be used: %s'):format(name, fault)
  end
  return plugin
end

-- Why no plugin of this name can be used, or nil.
function M.missing(name)
  return (select(2, M.load(name)))
end

-- --- checking -----------------------------------------------------------------------------------

local NO_CONFIG = { type = "object", properties = {} }
local compiled = {} -- by plugin

local uses = {}        -- by index in the snapshot: { plugin, instance, context, continues }
local credentials = {} -- by kind

-- The config as the plugin gets it, or nil and a list of faults { text = path, message }.
local function convert(plugin, config, params)
  local check = compiled[plugin]
  if not check then
    check = schema.compile(plugin.schema or NO_CONFIG)
    compiled[plugin] = check
  end
  return check:check(config == nil and {} or config, { formats = selector.checks(params) })
end

-- A hook and what it is called on: the instance, or the list of edits that it has in the hook's place.
-- nil where there is none: an instance whose config leaves nothing to do has false there.
function M.hook_of(plugin, instance, phase)
  local hook = plugin[phase]
  if not hook or instance[phase] == false then
    return nil
  end
  return hook, hook == edit.hook and instance[phase] or instance
end

-- The numbers of the hooks that a use has.
local function hooks_of(use)
  local list = {}
  for i, phase in ipairs(M.HOOKS) do
    if M.hook_of(use.plugin, use.instance, phase) then
      list[#list + 1] = i - 1
    end
  end
  return list
end

-- Called by plugin.c for each place where a plugin is enabled: the numbers of its hooks, or nil and
-- a list of faults, each with a path within the config (none: the place itself). The third result is
-- a list of paths: what must never be shown.
function M.check(index, name, config, params, place)
  local faults, secrets = M.make(index, name, config, params, place)
  local paths = {}
  for i, path in ipairs(secrets or {}) do
    paths[i] = schema.path_text(path)
  end
  if faults then
    return nil, faults, paths
  end
  return hooks_of(uses[index]), nil, paths
end

-- Is `name` told to stand after `other`?
function M.stands_after(name, other)
  for _, before in ipairs(M.load(name).after or {}) do
    if before == other then
      return true
    end
  end
  return false
end

function M.guards(name)
  return M.load(name).guards == true
end

-- --- instances ----------------------------------------------------------------------------------

-- Another configuration has come into this VM.
function M.reset()
  uses, credentials = {}, {}
  exchange.reset()
end

-- The credentials of a kind: { consumer = { name, groups }, credential = table } each. One list for
-- all places, made when it is first asked for.
local function consumers(kind)
  local list = credentials[kind]
  if not list then
    list = core.consumers(kind)
    credentials[kind] = list
  end
  return list
end

local function fallback(config)
  return { config = config }
end

-- What is wrong with what new has returned, or nil.
local function fault_of_instance(plugin, instance)
  if type(instance) ~= "table" then
    return "new returned no table"
  end
  for _, phase in ipairs(M.HOOKS) do
    if plugin[phase] == edit.hook and instance[phase] ~= false and not edit.is_list(instance[phase]) then
      return ("new has put no list of edits in the place of %s"):format(phase)
    end
  end
end

-- Makes the instance of a place; returns nil, or a list of faults as M.check. params: names of the
-- route's path parameters, nil where any may be meant; `place` has route, scope and version.
function M.make(index, name, config, params, place, continues)
  local plugin, message = M.load(name)
  if not plugin then
    return { { message = message, of_name = true } }
  end
  local ok, value, faults, secrets = pcall(convert, plugin, config, params)
  if not ok then
    return { { message = ('the plugin "%s" can\'t be used: %s'):format(name, tostring(value)), of_name = true } }
  elseif value == nil then
    return faults, secrets
  end
  local context = {
    plugin = name,
    route = place.route,
    scope = place.scope,
    params = params,
    version = place.version,
    worker = core.worker,
    first = core.worker == 1,
    consumers = consumers,
    consumer = core.consumer,
  }
  local instance, path
  ok, instance, message, path = xpcall(plugin.new or fallback, debug.traceback, value, context)
  if not ok then
    return { { message = "new failed: " .. tostring(instance) } }, secrets
  elseif instance == nil and type(message) == "string" then -- new found the config at fault
    return { { message = message, text = path } }, secrets
  end
  if not plugin.new then
    setmetatable(instance, { __index = plugin })
  end
  local fault = fault_of_instance(plugin, instance)
  if fault then
    return { { message = fault } }, secrets
  end
  uses[index] = { plugin = plugin, instance = instance, context = context, continues = continues }
  return nil, secrets
end

-- --- chains -------------------------------------------------------------------------------------

-- Where all the hooks of a chain are lists of edits: those and their addresses, else nil.
local function edits_of(phase, indices)
  local lists, addresses = {}, {}
  for i, index in ipairs(indices) do
    local use = uses[index]
    if use.plugin[phase] ~= edit.hook then
      return nil
    end
    lists[i] = use.instance[phase]
    addresses[i] = lists[i]:address()
  end
  return lists, addresses
end

-- What a chain does in a phase: a function that C calls with the exchange's handle; or nil, lists of
-- edits, and their addresses. `indices` are the uses that have this hook, in the order in which they run.
function M.chain(phase, indices)
  local lists, addresses = edits_of(phase, indices)
  if lists then
    return nil, lists, addresses
  end
  local hooks, objects, continues = {}, {}, {}
  for i, index in ipairs(indices) do
    local use = uses[index]
    hooks[i], objects[i] = M.hook_of(use.plugin, use.instance, phase)
    continues[i] = use.continues
  end
  return chain.maker(phase, hooks, continues)(objects, indices)
end

-- start or stop of one place: the hook and its arguments.
function M.background(phase, index)
  local use = uses[index]
  return use.plugin[phase], use.instance, use.context
end

return M
