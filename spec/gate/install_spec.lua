-- SPDX-License-Identifier: Apache-2.0

-- What `cmake --install` makes: a tree that works wherever it stands, with its manual, its completion and its unit.

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local posix = require "spec.support.posix"
local server = require "spec.support.server"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local function done(argv, options)
  local result = command.run(argv, options)
  assert.equal(0, result.status, table.concat(argv, " ") .. "\n" .. result.out .. result.err)
  return result.out
end

describe("an installed tree", function()
  local folder, tree
  local from_build = server.program

  setup(function()
    folder = posix.new_folder()
    local build = server.program:match "^(.*)/"
    done({ "cmake", "--install", build, "--prefix", folder .. "/first" }, { seconds = 60 })
    tree = folder .. "/moved"
    assert(os.rename(folder .. "/first", tree))
    server.program = tree .. "/bin/demilune"
  end)

  teardown(function()
    server.program = from_build
    done { "rm", "-rf", folder }
  end)

  it("runs where it has been moved to, with its own library and plugins", function()
    local init = tree .. "/share/demilune/plugins/respond/init.lua"
    local text, n = read(init):gsub('version = "[^"]*"', 'version = "9.9.9"')
    assert.equal(1, n)
    local file = assert(io.open(init, "w"))
    file:write(text)
    file:close()
    assert.matches("respond +9%.9%.9", server.run({ "plugins" }).out)
    local gateway = server.start [[
routes: [{ name: all, paths: ["/*"], respond: { body: "here" }, plugins: [{ name: request-id }] }]
]]
    assert.equal("here", done { "curl", "-s", ("http://127.0.0.1:%d/"):format(gateway.port) })
    gateway:stop()
  end)

  it("has manual pages without a fault in them", function()
    for _, page in ipairs { "man1/demilune.1", "man5/demilune.yaml.5" } do
      local path = tree .. "/share/man/" .. page
      assert.matches("^%.\\\" Made by", read(path))
      if command.has "groff" then
        local told = command.run { "groff", "-man", "-ww", "-z", path }
        assert.equal("", told.err)
      end
    end
  end)

  it("has the unit with the program's own place in it, and the licences", function()
    local unit = read(tree .. "/lib/systemd/system/demilune.service")
    assert.matches("ExecStart=" .. folder .. "/first/bin/demilune run ", unit, 1, true)
    assert.matches("Apache License", read(tree .. "/share/doc/demilune/LICENSE"), 1, true)
    assert.matches("Mike Pall", read(tree .. "/share/doc/demilune/COPYRIGHT.luajit"), 1, true)
  end)

  -- What bash offers when the last of these words is being typed.
  local function completed(...)
    local script = [[
source "$0/share/bash-completion/completions/demilune"
PATH=$0/bin:$PATH
COMP_WORDS=(demilune "$@") COMP_CWORD=$#
_demilune
printf '%s ' "${COMPREPLY[@]}"
]]
    return (done({ "bash", "-c", script, tree, ... }):gsub(" $", ""))
  end

  it("completes commands, options, plugins and files in bash", function()
    assert.equal("run routes", completed "r")
    assert.equal("--workers", completed("run", "--w"))
    assert.equal("", completed("check", "--w"))
    assert.equal("GET", completed("match", "-c", "x", "G"))
    assert.equal("key-auth", completed("plugins", "key"))
    assert.equal("README.md", completed("run", "-c", "READ"))
  end)

  it("has completion for zsh that it can read", function()
    local path = tree .. "/share/zsh/site-functions/_demilune"
    assert.matches("^#compdef demilune\n", read(path))
    if command.has "zsh" then
      done { "zsh", "-n", path }
    end
  end)
end)
