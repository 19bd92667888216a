-- SPDX-License-Identifier: Apache-2.0

-- The plugin contract as the core meets it: checks plugins' configs against their schemas, makes an
-- instance per place where one is enabled, and says what each chain does in each phase. Finding and
-- loading them is demilune.plugin.load's, what C calls for a chain demilune.chain's.

local border = require "demilune.ffi"
local chain = require "demilune.chain"
local configs = require "demilune.plugin.config"
local core = require "demilune.core"
local credential = require "demilune.credential"
local edit = require "demilune.edit"
local exchange = require "demilune.exchange"
local explain = core.explains and require "demilune.explain"
local loading = require "demilune.plugin.load"
local schema = require "demilune.schema"

local M = {}

core.open_metatable(getmetatable(schema.open ""))

M.HOOKS, M.installed, M.load, M.missing = loading.HOOKS, loading.installed, loading.load, loading.missing

-- --- checking -----------------------------------------------------------------------------------

local NONE = {}
local HERE = debug.getinfo(1, "S").source
local LIBRARY = HERE:match "^(.*/)"

local uses = {}        -- by index in the snapshot: { plugin, instance, continues, context of start and stop }
local credentials = {} -- by kind

-- A hook and what it is called on: the instance, or the list of edits that it has in the hook's place.
-- nil where there is none: an instance whose config leaves nothing to do has false there.
function M.hook_of(plugin, instance, phase)
  local hook = plugin[phase]
  if not hook or instance[phase] == false then
    return nil
  end
  return hook, hook == edit.hook and instance[phase] or instance
end

-- The hooks that a use has: a bit for each, in the order of M.HOOKS.
local function hooks_of(use)
  local bits = 0
  for i, phase in ipairs(M.HOOKS) do
    if M.hook_of(use.plugin, use.instance, phase) then
      bits = bits + 2 ^ (i - 1)
    end
  end
  return bits
end

-- What new has found to be doubtful in the config and left in `warnings`, a list of { message, path } (with no value in it): as
-- faults.
local function warnings_of(instance)
  local list
  for i, item in ipairs(rawget(instance, "warnings") or NONE) do
    list = list or {}
    list[i] = { message = item[1], text = item[2], is_warning = true, is_bare = true }
  end
  return list
end

-- Called by plugin.c for each place where a plugin is enabled, in the first VM: makes its instance, and
-- returns its hooks' bits and warnings or nil, or nil and a list of faults, each with a path within the config (none: the
-- place itself). The third result is a list of paths, or nil: what must never be shown. The fourth is the config
-- for M.make_again.
function M.check(index, name, config, context, continues)
  local faults, secrets, text = M.make(index, name, config, context, continues)
  local paths
  for i, path in ipairs(secrets or NONE) do
    paths = paths or {}
    paths[i] = schema.path_text(path)
  end
  if faults then
    return nil, faults, paths
  end
  return hooks_of(uses[index]), warnings_of(uses[index].instance), paths, text
end

-- What is wrong with the credentials of a kind, the name of a plugin that can be used: as
-- demilune.credential says it.
function M.check_credentials(kind)
  return (select(2, credential.read(kind, M.load(kind).credential)))
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

function M.answers_preflights(name)
  return M.load(name).answers_preflights == true
end

function M.answers(name)
  return M.load(name).answers == true
end

function M.looks_back(name)
  return M.load(name).remark ~= nil
end

-- What the plugin of one place says of another place before it, by the selectors that this one turns request headers on:
-- a warning, or nil.
function M.remark(index, before)
  local use, other = uses[index], uses[before]
  local selectors = other.instance.turns_on
  return selectors and use.plugin.remark(use.instance, other.plugin.name, selectors) or nil
end

-- --- instances ----------------------------------------------------------------------------------

-- Another configuration has come into this VM.
function M.reset()
  uses, credentials = {}, {}
  exchange.reset()
end

-- The credentials of a kind, as demilune.credential gives them. One list for all places, made when
-- it is first asked for.
local function consumers(kind)
  local list = credentials[kind]
  if not list then
    local plugin = M.load(kind)
    list = credential.read(kind, plugin and plugin.credential)
    credentials[kind] = list
  end
  return list
end

---@class context  Of `new`, `start` and `stop`: where the plugin is enabled.
---@field plugin string
---@field route string?  nil when it is enabled globally, or for a consumer.
---@field scope string  The place, as a text that survives reloads.
---@field must_answer boolean?  The route has no upstream, respond or redirect: its plugins answer (`answers = true`).
---@field params string[]?  The path parameters of the route; nil where any may be meant.
---@field version integer  Of the configuration.
---@field worker integer  1, 2, ...
---@field first boolean  True in exactly one worker.
---@field consumers fun(kind: string): table[]  All credentials of a kind: { consumer, credential }.
---@field consumer fun(name: string): table?  A consumer of the configuration.
---@field has_group fun(name: string): boolean  Is any consumer of the configuration in this group?

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

local shared = {} -- what the contexts of a plugin have in common, by its name

local function context_of(name, context)
  local common = shared[name]
  if not common then
    common = { __index = {
      plugin = name, worker = core.worker, first = core.worker == 1, consumers = consumers, consumer = core.consumer,
      has_group = core.has_group,
    } }
    if explain then
      explain.context(common.__index)
    end
    shared[name] = common
  end
  return setmetatable(context, common)
end

-- In one line: what new has raised, and where it was called from, as far as that is the plugin's own code.
local function describe_failure(value)
  local text = type(value) == "table" and rawget(value, "message") or value
  text = type(text) == "string" and text or ("(the error is a %s)"):format(type(value))
  local places, level = {}, 2
  local at = debug.getinfo(level, "Sl")
  while at and at.source ~= HERE do
    local place = ("%s:%d"):format(at.short_src, at.currentline)
    local is_new = at.currentline > 0 and at.source:sub(1, #LIBRARY) ~= LIBRARY and text:sub(1, #place) ~= place
    places[#places + 1] = is_new and place or nil
    level = level + 1
    at = debug.getinfo(level, "Sl")
  end
  return #places > 0 and ("%s (called at %s)"):format(text, table.concat(places, ", ")) or text
end

-- Makes the instance of a place; returns nil, or a list of faults as M.check. context: of the place alone.
local function instantiate(index, plugin, config, context, continues)
  context_of(plugin.name, context)
  if explain then
    explain.config(plugin, config)
  end
  local ok, instance, message, path = xpcall(plugin.new or fallback, describe_failure, config, context)
  if not ok then
    return { { message = "new failed: " .. instance } }
  elseif instance == nil and type(message) == "string" then -- new found the config at fault
    return { { message = message, text = path } }
  end
  if not plugin.new then
    setmetatable(instance, { __index = plugin })
  end
  local fault = fault_of_instance(plugin, instance)
  if fault then
    return { { message = fault } }
  end
  local works_alone = plugin.start or plugin.stop
  uses[index] = {
    plugin = plugin, instance = instance, continues = continues, context = works_alone and context or nil,
  }
end

-- Of a config as it is written: nil or the faults, the paths of secrets, and the config for M.make_again.
-- context: route, scope, version, and params, the names of the route's path parameters (nil where any may
-- be meant).
function M.make(index, name, config, context, continues)
  local plugin, message = M.load(name)
  if not plugin then
    return { { message = message, of_name = true } }
  end
  local ok, text, secrets, faults = pcall(configs.write, plugin, config, context.params)
  if not ok then
    return { { message = ('the plugin "%s" can\'t be used: %s'):format(name, tostring(text)), of_name = true } }
  elseif text == nil then
    return faults, secrets
  end
  return instantiate(index, plugin, configs.read(text), context, continues), secrets, text
end

-- The same where another VM has done so already: of its config.
function M.make_again(index, name, text, context, continues)
  local plugin, message = M.load(name)
  if not plugin then
    return { { message = message, of_name = true } }
  end
  return instantiate(index, plugin, configs.read(text), context, continues)
end

-- --- chains -------------------------------------------------------------------------------------

-- The function of a chain for a phase: called by C with the exchange's handle. `indices` are the
-- uses that have this hook, in the order in which they run. is_timed: it tells when each has ended.
function M.chain(phase, indices, is_timed)
  local hooks, objects, continues = {}, {}, {}
  for i, index in ipairs(indices) do
    local use = uses[index]
    hooks[i], objects[i] = M.hook_of(use.plugin, use.instance, phase)
    continues[i] = use.continues
    if explain then
      hooks[i] = explain.hook(use.plugin.name, phase, hooks[i])
    end
  end
  return chain.maker(phase, hooks, continues, is_timed)(objects, indices)
end

-- Where the core has a part of all of these hooks: what that lives in, and its addresses; else nil. It is a list of edits,
-- or what the instance says in core_hooks: by phase, of an object of the library's that lives as long as the instance.
function M.steps(phase, indices)
  local owners, addresses = {}, {}
  for i, index in ipairs(indices) do
    local use = uses[index]
    local is_list = use.plugin[phase] == edit.hook
    local hook = is_list and use.instance[phase]:core_hook() or not is_list and (use.instance.core_hooks or NONE)[phase]
    if not hook then
      return nil
    end
    owners[i], addresses[i] = use.instance, border.address(hook)
  end
  return owners, addresses
end

-- The hook of one place, and what it is called on; nil when it has none.
function M.hook_at(phase, index)
  local use = uses[index]
  return M.hook_of(use.plugin, use.instance, phase)
end

-- start or stop of one place: the hook and its arguments.
function M.background(phase, index)
  local use = uses[index]
  return use.plugin[phase], use.instance, use.context
end

return M
