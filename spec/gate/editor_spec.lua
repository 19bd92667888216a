-- SPDX-License-Identifier: Apache-2.0

-- What an editor knows of a new plugin: its .luarc.json leads to the library, in which each type that an annotation
-- names is there. The Lua language server, where it is installed, has nothing to say against the plugin, and says what a
-- misspelt field is; what it can check, it can complete.

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local json = require "demilune.json"
local read = require("pl.file").read
local server = require "spec.support.server"

local SERVER = "lua-language-server"

describe("an editor", function()
  local folder

  setup(function()
    folder = server.folder()
    assert.equal(0, server.run({ "new", "plugin", "mine", "--dir", 'a%1 "b"' }, { folder = folder }).status)
    folder.plugin = folder.path .. '/a%1 "b"/mine'
  end)

  teardown(function()
    command.run { "rm", "-rf", folder.path }
  end)

  it("finds the library", function()
    local settings = assert(json.decode(read(folder.plugin .. "/.luarc.json")))
    assert.equal("LuaJIT", settings["runtime.version"])
    local library = settings["workspace.library"][1]
    assert.equal("/", library:sub(1, 1))
    assert.matches("---@class exchange", read(library .. "/demilune/exchange.lua"), 1, true)
  end)

  -- The faults that the language server finds, one line each.
  local function check()
    local out = folder.path .. "/faults.json"
    command.run({ SERVER, "--check=" .. folder.plugin, "--checklevel=Information", "--check_format=json",
      "--check_out_path=" .. out, "--logpath=" .. folder.path .. "/log" }, { seconds = 120 })
    local lines, file = {}, io.open(out)
    for _, faults in pairs(file and json.decode(file:read "*a") or {}) do
      for _, fault in ipairs(faults) do
        lines[#lines + 1] = fault.code .. ": " .. fault.message
      end
    end
    if file then
      file:close()
      os.remove(out)
    end
    return lines
  end

  it("has nothing against it, and finds fields that are not there", function()
    if not command.has(SERVER) then
      pending(SERVER .. " is not installed")
    end
    assert.same({}, check())
    local path = folder.plugin .. "/init.lua"
    local source = read(path)
    for from, to in pairs { ["exchange.request"] = "exchange.requset", ["exchange:problem"] = "exchange:probelm",
      ["exchange.response.headers"] = "exchange.response.haeders" } do
      local file = assert(io.open(path, "w"))
      file:write((source:gsub(from, to, 1)))
      file:close()
      local word = to:match "%a+$"
      assert.same({ ("undefined-field: Undefined field `%s`."):format(word) }, check())
    end
  end)
end)
