-- SPDX-License-Identifier: Apache-2.0

-- `demilune new plugin`, and the way of what it makes: its spec passes, again after a change, it is a rock, and a
-- gateway finds that in its tree.

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local FILES = {
  "init.lua", "schema.lua", "README.md", "my-plugin_spec.lua", "my-plugin-0.1.0-1.rockspec", ".luarc.json",
}

describe("demilune new plugin", function()
  local folder

  before_each(function()
    folder = server.folder()
  end)

  after_each(function()
    command.run { "rm", "-rf", folder.path }
  end)

  local function run(...)
    return server.run({ ... }, { folder = folder })
  end

  local function read(name)
    local file = assert(io.open(folder.path .. "/" .. name))
    local text = file:read "*a"
    file:close()
    return text
  end

  local function write(name, text)
    local file = assert(io.open(folder.path .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end

  local function make()
    local result = run("new", "plugin", "my-plugin", "--dir", "a/b")
    assert.equal(0, result.status, result.err)
    return result
  end

  it("makes a folder whose spec passes at once, from within and from outside", function()
    assert.matches("a/b/my-plugin/ has a plugin that works", make().out, 1, true)
    for _, name in ipairs(FILES) do
      assert.is_true(#read("a/b/my-plugin/" .. name) > 100, name)
    end
    local result = run("test", "-o", "TAP", "a/b/my-plugin")
    assert.equal(0, result.status, result.out .. result.err)
    assert.matches("\n1..5\n", result.out, 1, true)
    local within = { path = folder.path .. "/a/b/my-plugin" }
    result = server.run({ "test", "." }, { folder = within })
    assert.equal(0, result.status, result.out .. result.err)
  end)

  it("makes what stands as a plugin and as code of the house", function()
    make()
    write("demilune.yaml", [[
listeners: [{ address: "127.0.0.1:0" }]
plugin_path: [a/b]
routes: [{ name: all, paths: ["/*"], respond: {}, plugins: [{ name: my-plugin, config: { value: "1" } }] }]
]])
    local checked = run "check"
    assert.equal(0, checked.status, checked.err)
    local told = run("plugins", "my-plugin").out
    assert.matches("hooks: access, response", told, 1, true)
    assert.matches("# my-plugin", told, 1, true)
    local linted = command.run({ "luacheck", "--std", "luajit+busted", "--no-self", "--max-line-length", "120", "." },
      { dir = folder.path .. "/a/b/my-plugin" })
    assert.equal(0, linted.status, linted.out)
  end)

  it("makes a rock that a gateway finds in its tree, with no further setting", function()
    make()
    local home = folder.path .. "/home"
    local env = { HOME = home, PATH = os.getenv "PATH", LUAROCKS_CONFIG = "" }
    local within = { dir = folder.path .. "/a/b/my-plugin", env = env, seconds = 30 }
    local linted = command.run({ "luarocks", "lint", "my-plugin-0.1.0-1.rockspec" }, within)
    assert.equal(0, linted.status, linted.out .. linted.err)
    local made = command.run({ "luarocks", "--lua-version", "5.1", "--tree", home .. "/.luarocks", "make" }, within)
    assert.equal(0, made.status, made.out .. made.err)
    local found = server.run({ "plugins", "my-plugin" }, { folder = folder, env = env })
    assert.matches("my-plugin 0.1.0", found.out, 1, true)
    assert.matches("# my-plugin", found.out, 1, true)
  end)

  it("makes a rock that a gateway finds in a tree that LUA_PATH names", function()
    make()
    local tree = folder.path .. "/tree"
    local made = command.run({ "luarocks", "--lua-version", "5.1", "--tree", tree, "make" },
      { dir = folder.path .. "/a/b/my-plugin", seconds = 30 })
    assert.equal(0, made.status, made.out .. made.err)
    assert.equal(1, server.run({ "plugins", "my-plugin" }, { folder = folder }).status)
    local path = ("%s/share/lua/5.1/?.lua;%s/share/lua/5.1/?/init.lua;;"):format(tree, tree)
    local found = server.run({ "plugins", "my-plugin" }, { folder = folder, env = { LUA_PATH = path } })
    assert.matches("my-plugin 0.1.0", found.out, 1, true)
  end)

  it("never touches what is there", function()
    make()
    write("a/b/my-plugin/init.lua", "mine")
    local again = run("new", "plugin", "my-plugin", "--dir", "a/b")
    assert.equal(3, again.status)
    assert.matches("a/b/my-plugin can't be made: it is there already", again.err, 1, true)
    assert.equal("mine", read "a/b/my-plugin/init.lua")
  end)

  it("refuses what is no name", function()
    for _, name in ipairs { "My", "a b", "1a", "../a", "a/b", "", "a-", "é", ("a"):rep(65) } do
      local result = run("new", "plugin", name)
      assert.equal(2, result.status, name)
      assert.matches("name", result.err, 1, true)
    end
    assert.equal(0, run("new", "plugin", ("a"):rep(64)).status)
  end)

  it("says what it can't do", function()
    assert.matches("only a plugin", run("new", "route", "x").err, 1, true)
    assert.equal(2, run("new", "route", "x").status)
    assert.equal(2, run("new", "plugin").status)
    assert.equal(2, run("new", "plugin", "a", "--dir").status)
    write("file", "")
    local result = run("new", "plugin", "a", "--dir", "file")
    assert.equal(3, result.status)
    assert.matches("file/a can't be made: Not a directory", result.err, 1, true)
  end)

  it("has its specs run again by test --watch, those that a change concerns", function()
    make()
    local out = folder.path .. "/watched"
    local pid = posix.spawn({ server.program, "test", "--watch", "-o", "TAP", "a/b" },
      { stdout = out, stderr = folder.path .. "/stderr", dir = folder.path })
    local seen = 0
    local function told(text)
      wait(function() return ("%q in: %s"):format(text, read "watched") end, function()
        local _, stop = read("watched"):find(text, seen, true)
        seen = stop or seen
        return stop
      end)
    end
    told "\n1..5"
    told "waiting for a change"
    write("a/b/my-plugin/init.lua", read "a/b/my-plugin/init.lua" .. "-- changed\n")
    told "again: a/b/my-plugin/my-plugin_spec.lua"
    told "\n1..5"
    told "waiting for a change"
    posix.mkdir(folder.path .. "/a/b/new")
    write("a/b/new/other_spec.lua", "it('is new', function() end)\n")
    told "again: a/b/new/other_spec.lua"
    told "ok 1 - is new"
    told "waiting for a change"
    write("a/b/new/other_spec.lua", "it('fails', function() error 'x' end)\n")
    told "not ok 1 - fails"
    told "waiting for a change"
    posix.kill(pid, posix.SIGINT)
    wait("its end", function() return posix.exit_status(pid) end)
  end)
end)
