-- lua/REFERENCE.md is what lua/make_reference.lua makes of the library as it is now, and each public function is
-- documented where it is defined.

package.path = "spec/lint/support/?.lua;lua/?.lua;" .. package.path
local lint = require "lint"
local reference = require "make_reference"

local function look(faults, path, entry, text)
  reference.look(entry, text, function(line, message)
    faults:add(path, line, "%s", message)
  end)
end

lint.self_check(look, {
  { "no word", { name = "a" }, "function M.f()\nend\n" },
  { "a parameter", { name = "a" }, "--- Does.\nfunction M.f(x)\nend\n" },
  { "what is assigned", { name = "a" }, "---@class a\nlocal M = {}\nM.f = core.f\n" },
  { "a method", {}, "---@class a\nlocal A = {}\n\nfunction A:f()\nend\n" },
}, {
  { "told", { name = "a" }, "--- Does.\n---@param x? string\n---@param ... any\nfunction M.f(x, ...)\nend\n" },
  { "a field", { name = "a" }, "---@class a\n---@field f fun()\nlocal M = {}\nM.f = core.f\n" },
  { "a private field", { name = "a" }, "---@class a\n---@field private f integer\nlocal M = {}\n" },
  { "private", { name = "a" }, "---@private\nfunction M.f(x)\nend\n" },
  { "of a file that is no module", {}, "function M.f(x)\nend\n" },
  { "a metamethod", {}, "---@class a\nlocal A = {}\n\nfunction A.__pairs()\nend\n" },
})

local faults = lint.faults()
for _, entry in ipairs(reference.PUBLIC) do
  local path = reference.FOLDER .. entry.file .. ".lua"
  look(faults, path, entry, lint.read(path))
end
if lint.read "lua/REFERENCE.md" ~= reference.generate() then
  faults:add("lua/REFERENCE.md", 1, "is stale: run luajit lua/make_reference.lua")
end
local n, is_code = 0, false
for line in lint.read("lua/REFERENCE.md"):gmatch "([^\n]*)\n" do
  n = n + 1
  if line:sub(1, 3) == "```" then
    is_code = not is_code
    if not is_code and line ~= "```" then
      faults:add("lua/REFERENCE.md", n, "a block of code that has not ended begins another")
    end
  end
end
lint.finish(faults, #reference.PUBLIC + 1)
