-- lua/demilune/cdef.lua is what core/script/make_cdef.lua makes of the headers as they are now, and
-- each function that it declares is defined in an api_*.c file.

package.path = "spec/lint/support/?.lua;" .. package.path
local lint = require "lint"

local CDEF, MAKER = "lua/demilune/cdef.lua", "core/script/make_cdef.lua"

local function check(faults, committed, made, sources)
  if committed ~= made then
    faults:add(CDEF, 1, "is stale: run luajit %s", MAKER)
  end
  for name in made:gmatch "%f[%w_](dml_[%w_]+)%(" do
    if not sources:find("\n%a[%w_ %*]-%f[%w_]" .. name .. "%(") then
      faults:add(CDEF, 1, "%s is declared and nowhere defined", name)
    end
  end
end

lint.self_check(function(faults, _, ...) check(faults, ...) end, {
  { "stale", "int dml_a(void);", "int dml_b(void);", "\nint dml_b(void)\n{" },
  { "undefined", "int dml_a(void);", "int dml_a(void);", "\n    dml_a();" },
}, {
  { "fine", "int dml_a(void);", "int dml_a(void);", "\nint dml_a(void)\n{" },
  { "pointer", "struct s *dml_a(int);", "struct s *dml_a(int);", "\nstruct s *dml_a(int n)\n{" },
})

local pipe = assert(io.popen("luajit " .. MAKER .. " --print"))
local made = pipe:read "*a"
pipe:close()

local sources = {}
local files = lint.files "^core/script/api_.*%.c$"
for i, path in ipairs(files) do
  sources[i] = "\n" .. lint.read(path)
end

local faults = lint.faults()
check(faults, lint.read(CDEF), made, table.concat(sources))
lint.finish(faults, #files + 1)
