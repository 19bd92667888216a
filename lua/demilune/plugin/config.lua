-- SPDX-License-Identifier: Apache-2.0

-- Configs of plugins, checked and converted by their schemas once for all workers: the first VM that
-- meets one writes down what came of it, and all of them read that, each place a copy of its own.
-- Equal configs of a plugin are converted once, however many places have them.

local buffer = require "string.buffer"
local json = require "demilune.json"
local schema = require "demilune.schema"
local selector = require "demilune.selector"

local M = {}

local NO_CONFIG = { type = "object", properties = {} }

-- A list stays a list when it is empty, and what came from ${} is no plain text.
local KINDS = { metatable = { json.array_mt, json.object_mt, getmetatable(schema.open "") } }

local writer = buffer.new(KINDS)
local reader = buffer.new(KINDS)

local compiled = {} -- by plugin
local formats = {}  -- checks of texts that may name certain path parameters, by these

-- By plugin: what was written for a config, { text, secrets }, by config and parameters. The collector takes it
-- when the VM has been built.
local known = setmetatable({}, { __mode = "v" })

local function formats_of(params)
  local key = params and "/" .. table.concat(params, "/") or ""
  local checks = formats[key]
  if not checks then
    checks = selector.checks(params)
    formats[key] = checks
  end
  return checks
end

local function schema_of(plugin)
  local check = compiled[plugin]
  if not check then
    check = schema.compile(plugin.schema or NO_CONFIG)
    compiled[plugin] = check
  end
  return check
end

-- The config as `new` gets it, as a text for M.read, and the paths of what must never be shown; or nil,
-- these paths, and a list of faults { text = path, message }. Raises when the schema can't be used.
function M.write(plugin, config, params)
  local mine = known[plugin]
  if not mine then
    mine = {}
    known[plugin] = mine
  end
  local key = writer:reset():encode(config):encode(params):tostring()
  local same = mine[key]
  if same then
    return same.text, same.secrets
  end
  local value, faults, secrets = schema_of(plugin):check(config == nil and {} or config,
    { formats = formats_of(params) })
  if value == nil then
    return nil, secrets, faults
  end
  local text = writer:reset():encode(value):tostring()
  mine[key] = { text = text, secrets = secrets }
  return text, secrets
end

function M.read(text)
  return reader:set(text):decode()
end

return M
