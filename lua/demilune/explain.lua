-- SPDX-License-Identifier: Apache-2.0

-- `demilune run --dev`: explains misuse of the plugin interface that otherwise goes by in silence: a field that
-- is not there, a result that nobody looks at. (What can't go on anyhow is always told: a misspelt hook, an
-- exchange's fields, require in a hook, a global.) Loaded only there, for it costs time.

local border = require "demilune.ffi"
local json = require "demilune.json"
local log = require "demilune.log"

local M = {}

local told = {}

-- Once in this VM.
local function warn(plugin, message)
  local key = plugin .. " " .. message
  if not told[key] then
    told[key] = true
    log.warn(message, { plugin = plugin })
  end
end

local function no_field(object, known)
  return function(_, name)
    if type(name) == "string" and rawget(known, name) == nil then
      border.no_field(object, name, known)
    end
  end
end

-- --- tables that are given to plugins --------------------------------------------------------------

-- A table with these fields, present or not: reading any other raises.
function M.fields(object, t, known)
  local metatable = getmetatable(t)
  if metatable == nil or metatable == json.object_mt then -- a map is one without its mark, too
    setmetatable(t, { __index = no_field(object, known) })
  end
end

-- The same for what objects of a class have.
function M.class(object, class, known)
  local names = {}
  for name in pairs(known) do
    names[name] = true
  end
  for name in pairs(class) do
    names[name] = true
  end
  local missing = no_field(object, names)
  class.__index = function(self, name)
    local value = rawget(class, name)
    if value == nil then
      return missing(self, name)
    end
    return value
  end
end

local PUBLIC = {}
for name in ([[
  cache crypto dns edit http identity json jwt kafka keyring limit log marks metrics networks redis regex selector
  socket store task time trace url uuid]]):gmatch "%S+" do
  PUBLIC["demilune." .. name] = true
end

-- A public module of the library has the functions that it has. Called when a plugin has been loaded, and with it the
-- modules that it requires.
function M.modules()
  for name, module in pairs(package.loaded) do
    if PUBLIC[name] and type(module) == "table" then
      M.fields(name, module, module)
    end
  end
end

local CONTEXT = {
  plugin = true, route = true, scope = true, params = true, version = true, worker = true, first = true,
  consumers = true, consumer = true, has_group = true,
}

-- Keywords by which a config may have more keys than its properties.
local OPEN = {
  "$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "patternProperties",
  "additionalProperties", "unevaluatedProperties",
}

-- What all contexts of a plugin have in common, where a field is looked for last.
function M.context(common)
  M.fields("context", common, CONTEXT)
end

-- What `new` gets.
function M.config(plugin, config)
  local schema = plugin.schema
  if type(config) ~= "table" or type(schema) ~= "table" or type(schema.properties) ~= "table" then
    return
  end
  for _, keyword in ipairs(OPEN) do
    if schema[keyword] then
      return
    end
  end
  M.fields("config", config, schema.properties)
end

-- --- plugins -----------------------------------------------------------------------------------------

local USELESS = {
  certificate = "handshake:use or handshake:refuse",
  rewrite = "exchange:reply", access = "exchange:reply", balance = "attempt.endpoint and the like",
  response = "exchange:reply, or exchange.response", log = "nothing: the answer has been sent",
}

local function look(plugin, phase, ...)
  if select("#", ...) > 0 and (...) ~= nil then
    warn(plugin, ("its %s hook has returned a %s, which nobody looks at; what it decides it says by %s")
      :format(phase, type((...)), USELESS[phase]))
  end
end

-- A hook as it is called.
function M.hook(plugin, phase, hook)
  if not USELESS[phase] or hook == require("demilune.edit").hook then
    return hook
  end
  return function(...)
    return look(plugin, phase, hook(...))
  end
end

return M
