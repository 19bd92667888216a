-- SPDX-License-Identifier: Apache-2.0

-- The example as its README tells it, on free ports: real peers from npm (oidc-provider, openid-client) and a headless
-- Chromium that logs in, reloads when its token has ended, and logs out.

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local PORTS = { "PORT", "ADMIN_PORT", "PROVIDER_PORT", "SERVICE_PORT" }
local FIND_NODE = [[
PATH=${DEMILUNE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/demilune}/node/node_modules/.bin:$PATH
command -v npm && node -p process.version]]
local LONG = 240 -- seconds: packages may have to be fetched, and Chromium is slow on a busy machine

-- Why it is not run here; nil: it is.
local function reason_to_skip()
  local preset = os.getenv "DEMILUNE_PRESET"
  if preset and preset ~= "dev" and preset ~= "release" then
    return "the peers are slow enough without sanitizers: it runs with the presets dev and release"
  end
  local node = command.run { "sh", "-c", FIND_NODE }
  local version = node.status == 0 and tonumber(node.out:match "v(%d+)%.[%d.]+%s*$")
  if not version or version < 20 then
    return "it needs Node 20 or newer and npm: core/install-dependencies node"
  end
end

describe("examples/oauth2", function()
  it("does what its tour says", function()
    local reason = reason_to_skip()
    if reason then
      pending(reason)
      return
    end
    local folder, env = server.folder(), origin.free_ports(PORTS)
    env.DEMILUNE = server.program
    local out, err = folder.path .. "/stdout", folder.path .. "/stderr"
    local pid = posix.spawn({ "examples/oauth2/run", "--check" }, { stdout = out, stderr = err, env = env })
    local status = wait("the end of the tour", function() return posix.exit_status(pid) end, LONG)
    local told = io.open(out):read "*a" .. io.open(err):read "*a"
    folder:remove()
    assert.equal(0, status, told)
    local wanted = told:find("skip   a person in a browser", 1, true) and 13 or 24
    assert.equal(wanted, select(2, ("\n" .. told):gsub("\nok ", "")), told)
  end)
end)
