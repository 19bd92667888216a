-- SPDX-License-Identifier: Apache-2.0

-- What every shipped plugin has: all parts of its folder, a schema that describes each option and
-- whose defaults pass it, and a README that speaks of each option.

local dir = require "pl.dir"
local test = require "demilune.test"
local plugin = require "demilune.plugin"
local schema = require "demilune.schema"
local server = require "spec.support.server"

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then
    file:close()
  end
  return text
end

-- Calls visit(path, option) for each option, those within maps and lists too.
local function each_option(node, prefix, visit)
  for name, option in pairs(node.properties or {}) do
    visit(prefix .. name, option)
    each_option(option, prefix .. name .. ".", visit)
    if type(option.items) == "table" then
      each_option(option.items, prefix .. name .. "[].", visit)
    end
  end
end

local function faults_of_options(source, readme, add)
  each_option(source, "", function(path, option)
    if type(option.description) ~= "string" then
      add(path .. " has no description")
    end
    if option.default ~= nil then
      local value, faults = schema.compile(option):check(option.default)
      if value == nil then
        add(("%s: its default does not pass: %s"):format(path, faults[1].message))
      end
    end
    if not readme:find("[^%w_]" .. path:match "[%w_]+$" .. "[^%w_]") then
      add(path .. " is not in the README")
    end
  end)
end

-- What is missing from or wrong in a plugin's folder.
local function faults_of(folder)
  local name, faults = folder:match "[^/]+$", {}
  local function add(fault)
    faults[#faults + 1] = fault
  end
  for _, file in ipairs { "init.lua", "schema.lua", "README.md", name .. "_spec.lua" } do
    if not read(folder .. "/" .. file) then
      add(file .. " is missing")
    end
  end
  local loaded, message = plugin.load(name)
  if not loaded then
    add(message)
    return faults
  end
  local readme, escaped = read(folder .. "/README.md") or "", name:gsub("%-", "%%-")
  if not readme:find("^# " .. escaped .. "\n") then
    add "the README does not begin with its name"
  end
  if not readme:find("```yaml\n.-name: " .. escaped .. "\n.-```") then
    add "the README has no example"
  end
  if not loaded.version:find "^%d+%.%d+%.%d+$" then
    add "its version is not three numbers"
  end
  local ok, why = pcall(schema.compile, loaded.schema)
  if not ok then
    add(why)
  else
    faults_of_options(loaded.schema, readme, add)
  end
  if loaded.credential then
    faults_of_options(loaded.credential.schema, readme, add)
  end
  table.sort(faults)
  return faults
end

describe("a shipped plugin", function()
  local folders = dir.getdirectories "plugins"

  it("is there", function()
    assert.is_true(#folders > 0)
  end)

  for _, folder in ipairs(folders) do
    it("keeps the contract: " .. folder:match "[^/]+$", function()
      assert.same({}, faults_of(folder))
    end)
  end
end)

-- The README's first example, with what it takes for granted.
local function example_of(folder, log, spill)
  local yaml = assert(read(folder .. "/README.md"):match "```yaml\n(.-)```")
  yaml = yaml:gsub("%${([^}]*)}", "the %1"):gsub("/var/log/demilune/[%w.]+", log):gsub("/var/lib/demilune/spill", spill)
  if yaml:find("upstream: orders", 1, true) then
    yaml = yaml .. "upstreams: [{ name: orders, endpoints: [{ address: 127.0.0.1:9001 }] }]\n"
  end
  return 'listeners: [{ address: "127.0.0.1:0" }]\n' .. yaml
end

describe("the README of a shipped plugin", function()
  for _, folder in ipairs(dir.getdirectories "plugins") do
    it("has an example that works: " .. folder:match "[^/]+$", function()
      local log, spill = os.tmpname(), server.folder()
      assert.is_nil(test.faults { text = example_of(folder, log, spill.path) })
      os.remove(log)
      spill:remove()
    end)
  end
end)

describe("the contract of plugins", function()
  local folder, path

  setup(function()
    folder, path = server.folder(), package.path
    package.path = folder.path .. "/?.lua;" .. folder.path .. "/?/init.lua;" .. path
  end)

  teardown(function()
    package.path = path
    folder:remove()
  end)

  local function faults(name, init, readme)
    local home = "demilune/plugins/" .. name .. "/"
    folder:write(home .. "init.lua", init)
    folder:write(home .. "README.md", readme)
    return faults_of(folder.path .. "/demilune/plugins/" .. name)
  end

  it("finds what is missing", function()
    assert.same({
      "broken_spec.lua is missing",
      "its version is not three numbers",
      "limits has no description",
      "limits[].size is not in the README",
      'limits[].size: its default does not pass: expected a whole number, got "big"',
      "schema.lua is missing",
      "secret has no description",
      "secret is not in the README",
      "the README does not begin with its name",
      "the README has no example",
    }, faults("broken", [[
return { name = "broken", version = "1", access = function() end, schema = { type = "object", properties = {
  limits = { type = "array", items = { type = "object", properties = {
    size = { type = "integer", default = "big", description = "How large." },
  } } },
} }, credential = { schema = { type = "object", properties = { secret = { type = "string" } } } } }
]], "About limits, but not how large.\n"))
  end)

  it("finds a plugin that is none", function()
    local list = faults("hollow", "return { name = 'other', version = '1.0.0' }", "# hollow\n")
    assert.matches('its name is "other"', list[#list], 1, true)
  end)
end)
