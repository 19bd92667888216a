-- SPDX-License-Identifier: Apache-2.0

-- Changes of headers that are made once, with a plugin's instance, and applied to an exchange in
-- one call: what the hot path of a plugin does instead of setting headers one by one.
--
--   local edits = edit.new(context)                  with { response = true }: see demilune.selector
--   edits:set("x-tenant", "{claim:tenant}")          true, or nil and a message
--   edits:add(...)  edits:default(...)  edits:remove "x-debug"
--   edits:apply(exchange.request)                    or exchange.response
--
-- Values are templates. A header set to a template with nothing in it is removed; an added or
-- default one is left out.

local ffi = require "ffi"
local border = require "demilune.ffi"
local headers = require "demilune.headers"
local request = require "demilune.request"
local selector = require "demilune.selector"

local C, gateway = border.C, border.gateway

local M = {}

local Edits = { __name = "edits" }
Edits.__index = Edits

function M.new(context, options)
  return setmetatable({
    c = ffi.gc(C.dml_edit_new(), C.dml_edit_free),
    context = context,
    flags = options and options.response and C.DML_SCOPE_RESPONSE or 0,
    count = 0,
  }, Edits)
end

local function add_edit(scope, message, edits, op, name, value)
  return C.dml_edit_add(edits, op, name, value, scope, message)
end

local function add(self, op, name, value)
  local rc, message = selector.with_scope(self.context, self.flags, add_edit, self.c, op, name, value)
  if not rc then
    return nil, message
  end
  self.count = self.count + 1
  return true
end

-- Instead of all that there are of that name.
function Edits:set(name, template)
  return add(self, C.DML_EDIT_SET, name, template)
end

-- One more.
function Edits:add(name, template)
  return add(self, C.DML_EDIT_ADD, name, template)
end

-- Only when there is none.
function Edits:default(name, template)
  return add(self, C.DML_EDIT_DEFAULT, name, template)
end

function Edits:remove(name)
  return add(self, C.DML_EDIT_REMOVE, name, nil)
end

local Request = request.new

-- In the order in which they were made. Raises when the message can't be changed any more.
function Edits:apply(message)
  local side = ffi.istype(Request, message) and headers.REQUEST or headers.RESPONSE
  local rc = C.dml_edit_apply(gateway, message.h, side, self.c)
  if rc < 0 then
    border.misuse(rc, "too late to change the headers: the head has been sent")
  end
end

return M
