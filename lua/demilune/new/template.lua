-- SPDX-License-Identifier: Apache-2.0

-- The files of a new plugin. plugin-name and PluginName are replaced by its name, NAME in the names of
-- files too, library-folder by where this library is. It does a little of everything that most plugins do:
-- an option with a default, a header that is read and set, both ways, and a refusal.

local M = {}

local INIT = [==[
-- plugin-name: gives each request a header that it may lack, and tells in the answer what it was.

local PluginName = {
  name = "plugin-name",
  version = "0.1.0",
  schema = require "demilune.plugins.plugin-name.schema",
}
PluginName.__index = PluginName

-- Once for each place where it is enabled. config has passed the schema; its defaults are filled in.
---@param config { header: string, value: string, required: boolean }
function PluginName.new(config)
  return setmetatable({ header = config.header, value = config.value, required = config.required }, PluginName)
end

-- The request has its route and is not on its way yet. Hooks may wait (demilune.http, demilune.task, ...).
---@param exchange exchange
function PluginName:access(exchange)
  local headers = exchange.request.headers
  if headers[self.header] then
    return
  elseif self.required then
    return exchange:problem(400, ("The header %s is missing."):format(self.header))
  end
  headers[self.header] = self.value
end

-- The answer has come, from wherever.
---@param exchange exchange
function PluginName:response(exchange)
  exchange.response.headers[self.header] = exchange.request.headers[self.header]
end

return PluginName
]==]

local SCHEMA = [==[
-- JSON Schema (2020-12) of the plugin's `config`. `demilune check` holds each place where it is enabled against it.

return {
  type = "object",
  properties = {
    header = {
      type = "string", format = "settable-header", default = "X-plugin-name",
      description = "The header that it looks for, and sets.",
    },
    value = {
      type = "string", default = "none",
      description = "What the header is set to where a request has none.",
    },
    required = {
      type = "boolean", default = false,
      description = "Whether requests without the header are refused (400) instead.",
    },
  },
}
]==]

local README = [==[
# plugin-name

Gives each request a header that it may lack, and tells in the answer what it was.

```yaml
plugin_path: [..]            # the folder that plugin-name/ is in; not needed for a rock
routes:
  - name: all
    paths: ["/*"]
    upstream: http://127.0.0.1:9001
    plugins:
      - name: plugin-name
        config: { value: "1" }
```

| option | default | meaning |
|---|---|---|
| `header` | `X-plugin-name` | the header that it looks for, and sets |
| `value` | `none` | what the header is set to where a request has none |
| `required` | `false` | whether requests without the header are refused (400) instead |

    demilune test .                   # its specs
    demilune test --watch .           # the same, again after each change
    luarocks --lua-version 5.1 make   # installs it as a rock; the gateway finds it there

`.luarc.json` tells editors with the Lua language server where the gateway's library is on this machine.
]==]

local SPEC = [==[
local test = require "demilune.test"

describe("plugin-name", function()
  local upstream = test.upstream(function(request)
    return 200, {}, request.headers["x-plugin-name"]
  end)

  local function gateway(config)
    return test.gateway { upstream = upstream, plugins = { { name = "plugin-name", config = config } } }
  end

  it("gives a request the header that it lacks", function()
    local response = gateway({ value = "7" }):get "/"
    assert.equal(200, response.status)
    assert.equal("7", response.body)
    assert.equal("7", response.headers["x-plugin-name"])
  end)

  it("leaves what the client says", function()
    local response = gateway():get("/", { headers = { ["X-plugin-name"] = "mine" } })
    assert.equal("mine", response.body)
  end)

  it("refuses requests without it where it is required", function()
    assert.equal(400, gateway({ required = true }):get("/").status)
  end)

  it("says what is wrong with its configuration", function()
    local faults = assert(test.faults { plugins = { { name = "plugin-name", config = { value = {} } } } })
    assert.matches("value", faults)
  end)

  -- One hook, without sockets: the quickest kind of test.
  it("does not touch a header that is there", function()
    local x = test.exchange { plugin = "plugin-name", headers = { ["x-plugin-name"] = "mine" } }
    x:run "access"
    assert.equal("mine", x.exchange.request.headers["x-plugin-name"])
  end)
end)
]==]

local ROCKSPEC = [==[
rockspec_format = "3.0"
package = "plugin-name"
version = "0.1.0-1"
source = {
  url = "git+https://git.example/plugin-name.git", -- where others get it from
  tag = "v0.1.0",
}
description = {
  summary = "A plugin for the Demilune gateway",
  license = "Apache-2.0",
}
dependencies = {
  "lua == 5.1", -- LuaJIT
}
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.plugin-name"] = "init.lua",
    ["demilune.plugins.plugin-name.schema"] = "schema.lua",
  },
  install = {
    lua = { ["demilune.plugins.plugin-name.README"] = "README.md" }, -- what `demilune plugins plugin-name` shows
  },
}
]==]

-- For editors with the Lua language server: with it they know what `exchange.` has.
local LUARC = [==[
{
  "runtime.version": "LuaJIT",
  "workspace.library": ["library-folder", "${3rd}/busted/library", "${3rd}/luassert/library"],
  "workspace.checkThirdParty": false
}
]==]

M.FILES = {
  { name = "init.lua", text = INIT },
  { name = "schema.lua", text = SCHEMA },
  { name = "README.md", text = README },
  { name = "NAME_spec.lua", text = SPEC },
  { name = "NAME-0.1.0-1.rockspec", text = ROCKSPEC },
  { name = ".luarc.json", text = LUARC },
}

M.FAREWELL = [==[
FOLDER/ has a plugin that works: code, schema, README, spec and rockspec.

  demilune test FOLDER          runs its specs; with --watch again after each change

A configuration that enables it, with plugin_path relative to its own folder:

  plugin_path: [DIR]
  routes:
    - name: all
      paths: ["/*"]
      upstream: http://127.0.0.1:9001
      plugins: [{ name: NAME }]
]==]

return M
