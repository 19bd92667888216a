-- SPDX-License-Identifier: Apache-2.0

-- Lists of changes to header fields, compiled at load and applied in one call:
--
--   local list = edit.new("response", { set = { ["x-served-by"] = "{upstream}" }, remove = { "server" } }, context)
--   list:apply(exchange)
--
-- Values are templates. The order is remove, set, add, default, and by name within each.
--
-- A hook that does nothing else can be such a list. Where it is all that a chain does in a phase, the
-- core applies it without entering Lua:
--
--   Mine.response = edit.hook                     the plugin has the hook
--   self.response = edit.new("response", ...)     and each instance a list in its place, or false

local ffi = require "ffi"
local border = require "demilune.ffi"
local selector = require "demilune.selector"

local C, gateway = border.C, border.gateway
local no_self = border.no_self

---@class demilune.edit
---@field hook function  What a plugin has as its hook where each instance has a list in that place.
local M = {}

local SIDES = { request = tonumber(C.DML_REQUEST), response = tonumber(C.DML_RESPONSE) }

---@class edit
---@field apply fun(self: edit, exchange: exchange)  Makes the changes.
local Edit = { __name = "edit" }
Edit.__index = Edit

local function sorted(map)
  local names = {}
  for name in pairs(map or {}) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function add(filled, message, list, op, name, value)
  return C.dml_edit_add(list, op, name, value, filled, message)
end

-- nil, or what is wrong with the field.
local function put(list, op, name, value, context, flags)
  local rc, err = selector.with_scope(context, flags, add, list, op, name, tostring(value))
  return not rc and ('the field "%s": %s'):format(name, err) or nil
end

local VALUED = { "set", "add", "default" }
local OPS = { set = C.DML_EDIT_SET, add = C.DML_EDIT_ADD, default = C.DML_EDIT_DEFAULT }

local function is_nothing(changes)
  for _, kind in ipairs(VALUED) do
    if changes[kind] and next(changes[kind]) ~= nil then
      return false
    end
  end
  return not changes.remove or changes.remove[1] == nil
end

--- changes: { set, add, default: name -> template, remove: list of names }. nil when there is nothing to
--- change; nil and a message when a change can't be made.
---@param side "request"|"response"
---@param changes { set?: table, add?: table, default?: table, remove?: string[] }
---@param context context
---@return edit? list
---@return string? message
function M.new(side, changes, context)
  if is_nothing(changes) then
    return nil
  end
  local list = ffi.gc(C.dml_edit_new(SIDES[side]), C.dml_edit_free)
  local flags = side == "response" and C.DML_SCOPE_RESPONSE or 0
  for _, name in ipairs(changes.remove or {}) do
    local err = put(list, C.DML_EDIT_REMOVE, name, "", context, flags)
    if err then
      return nil, err
    end
  end
  for _, kind in ipairs(VALUED) do
    for _, name in ipairs(sorted(changes[kind])) do
      local err = put(list, OPS[kind], name, changes[kind][name], context, flags)
      if err then
        return nil, err
      end
    end
  end
  return setmetatable({ list = list }, Edit)
end

local function apply(self, exchange)
  local rc = C.dml_edit_apply(gateway, exchange.h, self.list or no_self())
  if rc < 0 then
    error("the header fields can't be changed: " .. border.words[rc], 2)
  end
end

Edit.apply = apply

-- What such a hook is where it runs in Lua after all: its first argument is the list.
M.hook = apply

--- Is it such a list?
---@private
function M.is_list(value)
  return getmetatable(value) == Edit
end

--- For the core: what stands at the beginning of a list.
---@private
function Edit:core_hook()
  return self.list
end

return M
