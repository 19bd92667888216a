-- The manual pages, the completion and the reference in core/share/ are what core/share/make.lua makes of the
-- program's tables as they are now.

package.path = "spec/lint/support/?.lua;core/share/?.lua;" .. package.path
local lint = require "lint"
local def = require "make.def"
local make = require "make"

-- The reader of the tables: what it does not take for the rows that C sees would be missing from all pages.
local rows = def.parse [[
/* A comment (with a bracket. */
SECTION(a, "One, " /* two */ "two.\n")
KEY("k", INT, 'c', NULL, .max = 1024.0 * MIB, .is_needed = true, .later = "x|y", .fn = f,
    .options = TAKES(A) | TAKES(B))
END_SECTION
]]
assert(#rows == 3 and rows[1][1].code == "a" and rows[1][2] == "One, two.\n")
local key = rows[2]
assert(key.macro == "KEY" and key[1] == "k" and key[3] == "c" and key[4] == nil and key.max == 2 ^ 30)
assert(key.is_needed == true and key.later == "x|y" and key.options.code == "TAKES ( A ) | TAKES ( B )")

local faults, n = lint.faults(), 0
for path, text in pairs(make.generate()) do
  n = n + 1
  if lint.read(path) ~= text then
    faults:add(path, 1, "is stale: run luajit core/share/make.lua")
  end
end
lint.finish(faults, n)
