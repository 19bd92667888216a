-- SPDX-License-Identifier: Apache-2.0

-- The credentials of consumers, as the plugin after which they are called describes them:
--
--   KeyAuth.credential = {
--     schema = { type = "object", properties = { key = { type = "string", writeOnly = true } } },
--     unique = "key",         -- optional: no two credentials have the same of this
--   }
--
-- They are checked once for the whole configuration, wherever the plugin is enabled, and what a
-- plugin gets of them (context.consumers) is checked, converted and has its defaults filled in. For a
-- plugin that describes none there can be none.

local core = require "demilune.core"
local schema = require "demilune.schema"

local M = {}

local compiled = setmetatable({}, { __mode = "k" }) -- description → its schema

-- What is wrong with a plugin's description, or nil.
function M.fault_of(description)
  if description == nil then
    return nil
  elseif type(description) ~= "table" or type(description.schema) ~= "table" then
    return "its credential has no schema: credential = { schema = { ... } }"
  elseif description.unique ~= nil and type(description.unique) ~= "string" then
    return "its credential.unique is no name of an option"
  end
  local ok, why = pcall(schema.compile, description.schema)
  if not ok then
    return "its credential: " .. tostring(why)
  end
end

local function check_of(description)
  local check = compiled[description]
  if not check then
    check = schema.compile(description.schema)
    compiled[description] = check
  end
  return check
end

local function add_faults(faults, found, place)
  for _, fault in ipairs(found) do
    fault.place = place
    faults[#faults + 1] = fault
  end
end

local function fault_of_twin(item, option, first)
  return {
    place = item.place,
    text = option,
    is_bare = true,
    message = ('this is the %s of another credential already: %s, of the consumer "%s"')
      :format(option, first.place, first.consumer.name),
  }
end

-- The credentials of a kind, of the configuration that is at hand: a list of { consumer = { name,
-- groups }, number, credential }; the number is the consumer's, for demilune.keyring. The second result:
-- a list of faults { place, text = path in it, message }.
function M.read(kind, description)
  if not description then
    return {}, {}
  end
  local check, unique = check_of(description), description.unique or ""
  local list, faults, seen = {}, {}, {}
  for _, item in ipairs(core.consumers(kind)) do
    local credential, found = check:check(item.credential)
    local name = credential and credential[unique]
    if not credential then
      add_faults(faults, found, item.place)
    elseif name and seen[name] then
      faults[#faults + 1] = fault_of_twin(item, unique, seen[name])
    else
      if name then
        seen[name] = item
      end
      list[#list + 1] = { consumer = item.consumer, number = item.number, credential = credential }
    end
  end
  return list, faults
end

return M
