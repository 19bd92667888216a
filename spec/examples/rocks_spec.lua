-- SPDX-License-Identifier: Apache-2.0

-- The rockspecs of the library and of the shipped plugins: they pass LuaRocks' own check, and what they install is
-- what a gateway loads from a tree.

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local posix = require "spec.support.posix"
local server = require "spec.support.server"

local dir = require "pl.dir"

describe("rockspecs", function()
  local tree

  local function luarocks(...)
    local result = command.run({ "luarocks", "--lua-version", "5.1", "--tree", tree, ... }, { seconds = 30 })
    assert.equal(0, result.status, result.out .. result.err)
  end

  before_each(function()
    tree = posix.new_folder()
  end)

  after_each(function()
    command.run { "rm", "-rf", tree }
  end)

  it("pass luarocks lint", function()
    local files = dir.getfiles("rockspecs", "*.rockspec")
    assert.is_true(#files > 1)
    for _, file in ipairs(files) do
      luarocks("lint", file)
    end
  end)

  it("install plugins where the gateway finds them, README and all", function()
    luarocks("make", "rockspecs/demilune-plugin-key-auth-1.0.0-1.rockspec")
    local env = { LUA_PATH = ("%s/share/lua/5.1/?.lua;%s/share/lua/5.1/?/init.lua"):format(tree, tree) }
    local folder = server.folder()
    folder:write("demilune.yaml", [[
listeners: [{ address: "127.0.0.1:0" }]
routes: [{ name: all, paths: ["/*"], respond: {}, plugins: [{ name: key-auth }] }]
]])
    -- Whose code it is shows in what changes it.
    local init = assert(io.open(tree .. "/share/lua/5.1/demilune/plugins/key-auth/init.lua", "r+"))
    local text = init:read("*a"):gsub('version = "1.0.0"', 'version = "1.0.9"')
    init:seek "set"
    init:write(text)
    init:close()
    assert.equal(0, server.run({ "check" }, { folder = folder, env = env }).status)
    local told = server.run({ "plugins", "key-auth" }, { folder = folder, env = env }).out
    assert.matches("key-auth 1.0.9", told, 1, true)
    assert.matches("# key-auth", told, 1, true)
    folder:remove()
  end)

  it("install the library with its test kit", function()
    for _, file in ipairs(dir.getfiles("rockspecs", "demilune-*.rockspec")) do
      if file:find "/demilune%-%d" then
        luarocks("make", file)
      end
    end
    for _, name in ipairs { "http", "exchange", "test", "test/upstream", "http/stream" } do
      assert(io.open(("%s/share/lua/5.1/demilune/%s.lua"):format(tree, name))):close()
    end
  end)
end)
