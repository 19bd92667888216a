-- SPDX-License-Identifier: Apache-2.0

-- What every shipped plugin has: all parts of its folder, a schema whose every option is described
-- and can be read about, and a config that works.

local dir = require "pl.dir"
local plugin = require "demilune.plugin"
local schema = require "demilune.schema"

local function read(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local text = file:read "*a"
  file:close()
  return text
end

for _, folder in ipairs(dir.getdirectories "plugins") do
  local name = folder:match "[^/]+$"

  describe("the shipped plugin " .. name, function()
    it("has all its parts", function()
      for _, file in ipairs { "init.lua", "schema.lua", "README.md", name .. "_spec.lua" } do
        assert.truthy(read(folder .. "/" .. file), file .. " is missing")
      end
    end)

    it("keeps the contract", function()
      local loaded = assert(plugin.load(name))
      assert.equal("object", loaded.schema.type)
      assert.is_true(pcall(schema.compile, loaded.schema))
    end)

    it("describes each option, in the schema and in the README", function()
      local readme = read(folder .. "/README.md")
      assert.truthy(readme:find("^# " .. name:gsub("%-", "%%-") .. "\n"))
      assert.truthy(readme:find("```yaml\n.-%- name: " .. name:gsub("%-", "%%-") .. "\n.-```"), "no example")
      for option, source in pairs(assert(plugin.load(name)).schema.properties) do
        assert.equal("string", type(source.description), option .. " has no description")
        assert.truthy(readme:find(option, 1, true), option .. " is not in the README")
      end
    end)
  end)
end
