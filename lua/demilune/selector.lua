-- SPDX-License-Identifier: Apache-2.0

-- Selectors (client_ip, header:NAME, query:NAME ...) and templates (orders-{header:x-tenant})
-- for plugins. They are compiled at load and evaluated by the core:
--
--   function Mine.new(config, context)
--     return setmetatable({ key = selector.template(config.key, context) }, Mine)
--   end
--   ... self.key:value(exchange)   -- a text, or nil when there is nothing to put in
--
-- The context says which path parameters may be named: those of its route.

local ffi = require "ffi"
local border = require "demilune.ffi"

local C, gateway, out = border.C, border.gateway, border.out
local no_self = border.no_self

---@class demilune.selector
local M = {}

local scope = ffi.new "struct dml_scope"
local message = ffi.new "struct dml_slice"

-- The scope for C: what a text may mention. Names are kept alive by the caller until the call is over.
local function fill_scope(context, flags)
  local params = context and context.params
  local names = ""
  if params then
    names = table.concat(params, "\0") .. (#params > 0 and "\0" or "")
  else
    flags = flags + C.DML_SCOPE_ANY_PARAM
  end
  scope.params, scope.params_len, scope.flags = names, #names, flags
  return scope, names
end

--- For the modules whose objects hold templates: makes the scope, calls make(scope, message) and
--- gives its result, or nil and the message when that is nil or negative.
---@private
function M.with_scope(context, flags, make, ...)
  local filled, names = fill_scope(context, flags)
  local result = make(filled, message, ...)
  local failed = result == nil or (type(result) == "number" and result < 0)
  if failed then
    return nil, ffi.string(message.ptr, message.len), names
  end
  return result
end

---@class template  A selector or a template, compiled.
local Template = { __name = "template" }
Template.__index = Template

--- A text, or nil when the request has nothing of it.
---@param exchange exchange
---@return string? text
function Template:value(exchange)
  local rc = C.dml_template_eval(gateway, exchange.h, self.template or no_self(), out)
  if rc < 0 then
    return nil
  end
  return (ffi.string(out.ptr, out.len))
end

local function make_template(filled, error_out, text)
  local template = C.dml_template_new(text, #text, filled, error_out)
  return template ~= nil and ffi.gc(template, C.dml_template_free) or nil
end

local function compile(text, context, flags)
  if type(text) ~= "string" then
    error("a selector or template is a text, not a " .. type(text), 3)
  end
  local template, err = M.with_scope(context, flags, make_template, text)
  if not template then
    return nil, err
  end
  return setmetatable({ template = template, text = text }, Template)
end

local function flags_of(options)
  return options and options.response and C.DML_SCOPE_RESPONSE or 0
end

--- A selector. options.response: it is for response and log hooks, and may mention status and so on. nil and
--- a message when the text is none.
---@param text string
---@param context context
---@param options? { response?: boolean }
---@return template? it
---@return string? message
function M.selector(text, context, options)
  return compile(text, context, C.DML_SCOPE_SELECTOR + flags_of(options))
end

--- The same for a template.
---@param text string
---@param context context
---@param options? { response?: boolean }
---@return template? it
---@return string? message
function M.template(text, context, options)
  return compile(text, context, flags_of(options))
end

--- The one of the two that it is: what has a brace in it is a template.
---@param text string
---@param context context
---@param options? { response?: boolean }
---@return template? it
---@return string? message
function M.either(text, context, options)
  return M[text:find("{", 1, true) and "template" or "selector"](text, context, options)
end

--- The checks of the formats of demilune.schema, for a place with these path parameters (nil: any).
---@private
function M.checks(params)
  local context = { params = params }
  local function check(flags)
    return function(text)
      local template, err = compile(text, context, flags)
      return template ~= nil, err
    end
  end
  return {
    selector = check(C.DML_SCOPE_SELECTOR),
    template = check(0),
    key = function(text)
      local part, err = M.either(text, context)
      return part ~= nil, err
    end,
    ["response-selector"] = check(C.DML_SCOPE_SELECTOR + C.DML_SCOPE_RESPONSE),
    ["response-template"] = check(C.DML_SCOPE_RESPONSE),
  }
end

---@private
M.check = M.checks(nil)

return M
