-- The border to C, from Lua's side: the declarations, the gateway, and the buffers that results
-- come back in. Every module that calls C takes what it needs from here:
--
--   local border = require "demilune.ffi"
--   local C, gateway, out = border.C, border.gateway, border.out
--   local rc = C.dml_exchange_text(gateway, handle, C.DML_TEXT_PATH, out)
--
-- `out` and the other buffers are shared by all callers: a result is copied out before anything
-- else is called.

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

-- For results that are values to the caller: nil and the word of a code.
function M.failed(code)
  return nil, words[code] or "unknown"
end

-- For misuse: raises at the caller of the function that calls this one. `what` says what was
-- attempted. An exchange that has ended says so, whatever it was.
function M.misuse(code, what, level)
  if code == GONE then
    what = "exchange is gone"
  end
  error(what, (level or 1) + 2)
end

-- The nearest of the keys of `known` to a misspelt name, or nil.
function M.nearest(name, known)
  local best, least = nil, math.max(1, math.floor(#name / 3)) + 1
  for candidate in pairs(known) do
    local distance = C.dml_distance(name, #name, candidate, #candidate)
    if distance < least or distance == least and best and candidate < best then
      best, least = candidate, distance
    end
  end
  return best
end

-- Raises for an unknown field, naming it, the object and a near name.
function M.no_field(object, name, known, level)
  local near = type(name) == "string" and M.nearest(name, known)
  error(('%s has no field "%s"%s'):format(object, tostring(name),
    near and (', did you mean "%s"?'):format(near) or ""), (level or 1) + 2)
end

return M
