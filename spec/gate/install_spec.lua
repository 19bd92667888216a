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

  it("has a unit that systemd finds no fault in", function()
    if not command.has "systemd-analyze" then
      pending "systemd is not installed"
    end
    local unit = read(tree .. "/lib/systemd/system/demilune.service"):gsub("=%S*(/bin/demilune )", "=" .. tree .. "%1")
    local path = folder .. "/demilune.service"
    local file = assert(io.open(path, "w"))
    file:write(unit)
    file:close()
    local result = command.run { "systemd-analyze", "verify", "--man=no", path }
    local ours = {}
    for line in (result.out .. result.err):gmatch "[^\n]*demilune[^\n]*" do -- others may have faults on this machine
      ours[#ours + 1] = line
    end
    assert.same({}, ours)
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

  it("completes values behind = in bash, and names with blanks as one", function()
    assert.equal("README.md", completed("run", "--config", "=", "READ"))
    assert.equal("GET", completed("match", "--config", "=", "x", "G"))
    local script = [[
source "$0/share/bash-completion/completions/demilune"
cd "$1" && touch "with blanks.yaml"
COMP_WORDS=(demilune run -c wi) COMP_CWORD=3
_demilune
printf '%s,' "${COMPREPLY[@]}"
]]
    assert.equal("with blanks.yaml,", done { "bash", "-c", script, tree, folder })
  end)

  it("asks in bash the program that is typed, and takes no command for a folder of its name", function()
    local script = [[
source "$0/share/bash-completion/completions/demilune"
COMP_WORDS=("$0/bin/demilune" plugins key) COMP_CWORD=2
_demilune
printf '%s ' "${COMPREPLY[@]}"
complete -p demilune
]]
    assert.equal("key-auth complete -F _demilune demilune\n", done { "bash", "-c", script, tree })
  end)

  -- What becomes of each of these lines in zsh when Tab is pressed at its end.
  local function tabbed(lines)
    local script = [[
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "fpath=($1/share/zsh/site-functions \$fpath); autoload -Uz compinit; compinit -u -d $2/zcompdump"
zpty -w z "PATH=$1/bin:\$PATH; cd $PWD; tab() { zle complete-word; print -r -- \"<<\$BUFFER>>\"; zle kill-buffer }"
zpty -w z "zle -N tab; bindkey '^T' tab; print rea''dy"
zpty -r z out '*ready*'
for line in "${@[3,-1]}"; do
    zpty -w -n z "$line"$'\x14'
    zpty -r z out '*<<*>>*'
    print -r -- ${${out##*<<}%%>>*}
done
zpty -d z
]]
    local out = {}
    for line in done { "zsh", "-f", "-c", script, "zsh", tree, folder, unpack(lines) }:gmatch "([^\n]*)\n" do
      out[#out + 1] = (line:gsub(" $", ""))
    end
    return out
  end

  it("completes the same in zsh", function()
    assert.matches("^#compdef demilune\n", read(tree .. "/share/zsh/site-functions/_demilune"))
    if not command.has "zsh" then
      pending "zsh is not installed"
    end
    assert.same({
      "demilune routes", "demilune run --workers=", "demilune match -c x GET", "demilune plugins key-auth",
      "demilune run -c README.md", "demilune run --config=README.md", tree .. "/bin/demilune plugins key-auth",
      "demilune new plugin x --dir=spec/",
    }, tabbed {
      "demilune ro", "demilune run --w", "demilune match -c x G", "demilune plugins key",
      "demilune run -c READ", "demilune run --config=READ", tree .. "/bin/demilune plugins key",
      "demilune new plugin x --dir=sp",
    })
  end)
end)
