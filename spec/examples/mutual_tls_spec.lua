-- SPDX-License-Identifier: Apache-2.0

-- The example as its README tells it, on free ports.

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local origin = require "spec.support.origin"
local server = require "spec.support.server"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

describe("examples/mutual-tls", function()
  it("lets in who has a certificate, and tells the service who it is", function()
    local folder, held = server.folder(), { origin.listen(), origin.listen() }
    local env = { PORT = tostring(held[1].port), SERVICE_PORT = tostring(held[2].port) }
    folder:write("tls/kept", "")
    assert.equal(0, command.run({ "sh", "examples/mutual-tls/certificates", folder.path .. "/tls" }).status)
    for _, name in ipairs { "ca", "gateway", "service", "ann" } do
      folder.files[folder.path .. "/tls/" .. name .. ".pem"] = true
      folder.files[folder.path .. "/tls/" .. name .. ".key"] = true
    end
    held[1]:close()
    held[2]:close()
    local config = read("examples/mutual-tls/demilune.yaml"):gsub("format: text", "format: json")
    local gateway = server.start(config, { bare = true, folder = folder, env = env })
    local function curl(...)
      return command.run({ "curl", "-sS", "--max-time", "10", "--cacert", "tls/ca.pem", "--resolve",
        "localhost:" .. env.PORT .. ":127.0.0.1", "https://localhost:" .. env.PORT .. "/", ... }, { dir = folder.path })
    end
    local ann = { "--cert", "tls/ann.pem", "--key", "tls/ann.key", "-H", "X-Client: CN=bob" }
    assert.equal("CN=ann,O=Example asks, by way of CN=gateway,O=Example\n", curl(unpack(ann)).out)
    assert.not_equal(0, curl().status)
    assert.truthy(curl("-H", "Host: service.internal", "-w", "%{http_code}", unpack(ann)).out:find "421$")
    gateway:stop()
    folder:remove()
  end)
end)
