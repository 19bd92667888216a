-- The rockspecs are what rockspecs/make.lua makes of the library and the shipped plugins as they are now.

package.path = "spec/lint/support/?.lua;rockspecs/?.lua;" .. package.path
local lint = require "lint"
local rockspecs = require "make"

local function check(faults, path, present, made)
  if present ~= made then
    faults:add(path, 1, "is %s: run luajit rockspecs/make.lua", made and "stale" or "of nothing")
  end
end

lint.self_check(check, { { "stale", "a", "b" }, { "missing", false, "b" }, { "left over", "a", false } },
  { { "fine", "a", "a" } })

local present, made, n = {}, rockspecs.generate(), 0
for _, path in ipairs(lint.files "^rockspecs/.*%.rockspec$") do
  present[path] = lint.read(path)
end
local faults = lint.faults()
for _, list in ipairs { present, made } do
  for path in pairs(list) do
    if list == made or made[path] == nil then
      n = n + 1
      check(faults, path, present[path] or false, made[path] or false)
    end
  end
end
lint.finish(faults, n)
