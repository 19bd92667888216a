-- SPDX-License-Identifier: Apache-2.0

-- Writes the rockspecs here: one for the Lua library with the test kit, and one for each shipped plugin.
--
--   luajit rockspecs/make.lua             writes them (spec/lint/rockspecs.lua compares)
--
-- The gateway has all of it in its installation and uses that first. The library's rock is for editors and for
-- checks outside of a gateway; a plugin's rock is for gateways that are installed without the shipped plugins, and
-- the pattern for rocks of one's own.

local M = {}

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function lines_of(command)
  local pipe, list = assert(io.popen(command)), {}
  for line in pipe:lines() do
    list[#list + 1] = line
  end
  pipe:close()
  return list
end

local VERSION = read("CMakeLists.txt"):match "project%(demilune VERSION ([%d.]+)"

local FORM = [[
-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "NAME"
version = "VERSION-1"
source = {
  url = "file://demilune-RELEASE.tar.gz", -- git archive --prefix=demilune-RELEASE/ -o demilune-RELEASE.tar.gz HEAD
  dir = "demilune-RELEASE",
}
description = {
  summary = "SUMMARY",
  detailed = "DETAILED",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
MODULES  },
INSTALL}
]]

local function fill(words)
  return (FORM:gsub("%f[%u]%u%u+%f[%U]", words))
end

-- path → lines of `modules`, for the .lua files of a folder but specs; module(file) gives a file's name.
local function modules_of(folder, module)
  local out = {}
  for _, path in ipairs(lines_of(("find %s -name '*.lua' ! -name '*_spec.lua' | LC_ALL=C sort"):format(folder))) do
    out[#out + 1] = ('    ["%s"] = "%s",\n'):format(module(path:sub(#folder + 2)), path)
  end
  return table.concat(out)
end

local function name_of(prefix)
  return function(file)
    local name = prefix .. "." .. file:gsub("%.lua$", ""):gsub("/", ".")
    return name == prefix .. ".init" and prefix or name
  end
end

local function library()
  return "rockspecs/demilune-" .. VERSION .. "-1.rockspec", fill {
    NAME = "demilune", VERSION = VERSION, RELEASE = VERSION,
    SUMMARY = "The Lua library of the Demilune gateway, with its test kit",
    DETAILED = "For editors: annotations of all that plugins use. It works within the program `demilune` only.",
    MODULES = modules_of("lua/demilune", name_of "demilune"), INSTALL = "",
  }
end

-- The first sentence of its README.
local function summary_of(name)
  local paragraph = (read(("plugins/%s/README.md"):format(name)) .. "\n\n"):match "^# [^\n]*\n+(.-)\n\n"
  local text = paragraph:gsub("%s+", " ")
  return ((text .. " "):match "^(.-)[.:;] " or text):gsub('["\\]', "\\%0")
end

local function plugin(name)
  local version = read(("plugins/%s/init.lua"):format(name)):match 'version = "([%d.]+)"'
  local rock, module = "demilune-plugin-" .. name, "demilune.plugins." .. name
  return ("rockspecs/%s-%s-1.rockspec"):format(rock, version), fill {
    NAME = rock, VERSION = version, RELEASE = VERSION, SUMMARY = summary_of(name),
    DETAILED = ("The plugin %s of the Demilune gateway."):format(name),
    MODULES = modules_of("plugins/" .. name, name_of(module)),
    INSTALL = ('  install = { lua = { ["%s.README"] = "plugins/%s/README.md" } },\n'):format(module, name),
  }
end

-- All rockspecs: path → text.
function M.generate()
  local all = {}
  local path, text = library()
  all[path] = text
  for _, init in ipairs(lines_of "find plugins -mindepth 2 -maxdepth 2 -name init.lua") do
    path, text = plugin(init:match "^plugins/([^/]+)/")
    all[path] = text
  end
  return all
end

if arg and arg[0] and arg[0]:find "rockspecs/make%.lua$" then
  for _, old in ipairs(lines_of "find rockspecs -name '*.rockspec'") do
    os.remove(old)
  end
  for path, text in pairs(M.generate()) do
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
  end
end

return M
