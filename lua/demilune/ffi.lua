-- SPDX-License-Identifier: Apache-2.0

-- The border to C, from Lua's side: the declarations, the gateway, and the buffers that results
-- come back in. Every module that calls C takes what it needs from here:
--
--   local border = require "demilune.ffi"
--   local C, gateway, out = border.C, border.gateway, border.out
--   local rc = C.dml_exchange_text(gateway, handle, C.DML_TEXT_PATH, out)
--
-- `out` and the other buffers are shared by all callers: a result is copied out before anything
-- else is called.
--
-- What hooks call returns (f(x)) rather than f(x): LuaJIT takes no more than fifteen tail calls in a
-- trace, and a hook of some length would not be compiled. The parentheses make it an ordinary call.

local ffi = require "ffi"
local cdef = require "demilune.cdef"
local core = require "demilune.core"

ffi.cdef(cdef.cdef)
local C = ffi.C

if C.dml_abi() ~= cdef.abi then
  error(("the Lua library (interface %d) and the program (interface %d) are of different versions")
    :format(cdef.abi, C.dml_abi()), 0)
end

local M = {
  C = C,
  gateway = ffi.cast("struct gateway *", core.gateway),
  cell = ffi.cast("struct dml_cell *", core.cell),
  out = ffi.new "struct dml_slice",
  field = ffi.new "struct dml_field",
  err = cdef.err,     -- name → code: err.GONE
  words = cdef.words, -- code → word: "gone"
}

local words, GONE = cdef.words, cdef.err.GONE
local gateway, out, ffi_string = M.gateway, M.out, ffi.string

-- For C: a pointer as a number.
function M.address(pointer)
  return (tonumber(ffi.cast("intptr_t", pointer)))
end

-- For expected failures: nil and the word of a code.
function M.failed(code)
  return nil, words[code] or "unknown"
end

local function source_of(level)
  local info = debug.getinfo(level + 1, "S")
  return info and (info.what == "C" and "" or info.source)
end

-- "@.../lua/demilune/": what stands in front of the names of our own files.
local folder = source_of(1):match "^(.*)ffi%.lua$"

-- "=(access hooks)" is what chain.lua makes.
local function is_ours(source)
  return source == "" or source:sub(1, #folder) == folder or source:sub(1, 2) == "=("
end

-- For misuse: raises at the line of the first caller that does not belong to this library, which is
-- the plugin's, however many of our functions lie between.
function M.raise(message)
  local level = 2
  local source = source_of(level)
  while source and is_ours(source) do
    level = level + 1
    source = source_of(level)
  end
  error(message, level)
end

-- Compiled code counts the levels of the stack differently.
jit.off(source_of)
jit.off(M.raise)

local raise = M.raise

-- In place of a pointer that an object of ours would have: nil would be C's NULL. ("text").store is nil, too.
function M.no_self()
  raise "this is not an object that has such a method: is it called with a colon, object:method(...)?"
end

-- Raises `what`, or that the exchange has ended, which explains all else.
function M.misuse(code, what)
  raise(code == GONE and "exchange is gone" or what)
end

-- A text of the exchange by its number in enum dml_text; nil when it has none.
function M.text(handle, which)
  local rc = C.dml_exchange_text(gateway, handle, which, out)
  if rc == 0 then
    return (ffi_string(out.ptr, out.len))
  elseif rc == GONE then
    raise "exchange is gone"
  end
end

-- The same for numbers.
function M.number(handle, which)
  local n = C.dml_exchange_number(gateway, handle, which)
  if n >= 0 then
    return n
  elseif n == GONE then
    raise "exchange is gone"
  end
end

-- The nearest of the keys of the tables to a misspelt name, or nil.
function M.nearest(name, ...)
  local best, least = nil, math.max(1, math.floor(#name / 3)) + 1
  for i = 1, select("#", ...) do
    for candidate in pairs((select(i, ...))) do
      local distance = C.dml_distance(name, #name, candidate, #candidate)
      if distance < least or distance == least and best and candidate < best then
        best, least = candidate, distance
      end
    end
  end
  return best
end

local function suggest(name, ...)
  local near = type(name) == "string" and M.nearest(name, ...)
  return near and (', did you mean "%s"?'):format(near) or ""
end

-- Options as a set of names.
function M.option_names(text)
  local names = {}
  for name in text:gmatch "%S+" do
    names[name] = true
  end
  return names
end

local TLS_OPTIONS = M.option_names "verify ca server_name cert key"

-- Where the fault of a header's value may be. It may be a secret, and is not shown for that.
function M.flaw(value)
  local at = value:find "[%z\1-\8\10-\31\127]"
  return at and ("0x%02x at %d"):format(value:byte(at), at) or ("%d bytes"):format(#value)
end

-- Raises for a field that `object` does not have. The tables have the fields as keys.
function M.no_field(object, name, ...)
  raise(('%s has no field "%s"%s'):format(object, tostring(name), suggest(name, ...)))
end

-- Raises for an option that does not exist, in `options` or in its table `tls`. known: the names of those that do.
function M.check_options(what, options, known)
  for name in pairs(options) do
    if not known[name] then
      raise(('%s has no option "%s"%s'):format(what, tostring(name), suggest(name, known)))
    end
  end
  local tls = options.tls
  if tls ~= nil and type(tls) ~= "boolean" and type(tls) ~= "table" then
    raise(("%s: tls is true, or a table of options, not a %s"):format(what, type(tls)))
  elseif type(tls) == "table" then
    M.check_options(what .. "'s tls", tls, TLS_OPTIONS)
  end
end

-- Raises for a field that can't be set.
function M.not_settable(object, name, getters, setters)
  if getters[name] then
    raise(('%s.%s can only be read'):format(object, tostring(name)))
  end
  raise(('%s has no field "%s" that can be set%s'):format(object, tostring(name), suggest(name, setters)))
end

-- The text of a value that a plugin has given for `what`: texts and numbers.
function M.as_text(value, what)
  local kind = type(value)
  if kind == "string" then
    return value
  elseif kind == "number" then
    return (tostring(value))
  end
  raise(("%s is a text, not %s"):format(what, value == nil and "nil" or "a " .. kind))
end

return M
