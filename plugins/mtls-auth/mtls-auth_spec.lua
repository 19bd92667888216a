-- SPDX-License-Identifier: Apache-2.0

-- With openssl's certificates and curl at the other end.

package.path = "./?.lua;" .. package.path

local certs = require "spec.support.certs"
local command = require "spec.support.command"
local server = require "spec.support.server"
local test = require "demilune.test"

local CONFIG = [[
listeners:
  - address: 127.0.0.1:0
    tls: { certificates: [{ cert: a.pem, key: a.key }], client_ca: ca.pem, client_auth: optional }
  - address: 127.0.0.1:0
routes:
  - name: known
    paths: [/known]
    plugins: [{ name: mtls-auth }]
    respond: { body: "{consumer} {header:x-consumer}" }
  - name: anyone
    paths: [/anyone]
    plugins: [{ name: mtls-auth, config: { anonymous: guest, consumer_header: X-Who } }]
    respond: { body: "{consumer} {header:x-who}" }
consumers:
  - { name: ann, credentials: { mtls-auth: [{ subject: "CN=ann,O=Test" }] } }
  - { name: guest }
]]

describe("mtls-auth", function()
  local folder, gateway

  setup(function()
    folder = server.folder()
    certs.authority(folder, "ca")
    certs.issue(folder, "a", { by = "ca", names = { "DNS:a.example" } })
    certs.issue(folder, "ann", { by = "ca" })
    certs.issue(folder, "bob", { by = "ca" })
    certs.authority(folder, "other")
    certs.issue(folder, "stranger", { by = "other" })
    gateway = server.start(CONFIG, { folder = folder, bare = true })
  end)

  teardown(function()
    gateway:stop()
    folder:remove()
  end)

  -- Status and body, or what curl ended with; name: of the client's certificate, or nil.
  local function get(path, name, ...)
    local arguments = { "curl", "-s", "--max-time", "10", "--cacert", "ca.pem", "-w", " %{http_code}",
      "--resolve", ("a.example:%d:127.0.0.1"):format(gateway.ports[1]),
      ("https://a.example:%d%s"):format(gateway.ports[1], path), ... }
    if name then
      for _, argument in ipairs { "--cert", name .. ".pem", "--key", name .. ".key" } do
        arguments[#arguments + 1] = argument
      end
    end
    return command.run(arguments, { dir = folder.path }).out
  end

  it("lets the certificate of a consumer pass, and tells whose it is", function()
    assert.equal("ann ann 200", get("/known", "ann"))
    assert.equal("ann ann 200", get("/known", "ann", "-H", "X-Consumer: guest"))
  end)

  it("refuses another subject, and who has no certificate", function()
    assert.matches("subject of this client certificate is not known.* 403$", get("/known", "bob"))
    assert.matches("A client certificate is needed.* 403$", get "/known")
    assert.matches(" 000$", get("/known", "stranger"))
  end)

  it("refuses a connection without TLS, whatever it says", function()
    local result = command.run({ "curl", "-s", "--max-time", "10", "-w", " %{http_code}", "-H", "X-Consumer: ann",
      ("http://127.0.0.1:%d/known"):format(gateway.ports[2]) }, { dir = folder.path })
    assert.matches("A client certificate is needed.* 403$", result.out)
  end)

  it("takes whom it does not know for the anonymous consumer, when told so", function()
    assert.equal("ann ann 200", get("/anyone", "ann"))
    assert.equal("guest guest 200", get("/anyone", "bob"))
    assert.equal("guest guest 200", get("/anyone", nil, "-H", "X-Who: ann"))
  end)

  it("finds faults in credentials", function()
    local function faults(...)
      return test.faults {
        plugins = { "mtls-auth" }, consumers = { { name = "a", credentials = { ["mtls-auth"] = { ... } } } },
      }
    end
    assert.truthy(faults({ subject = "ann" }):find("a subject such as CN=ann,O=Example", 1, true))
    assert.truthy(faults({ subject = "CN = ann" }):find("a subject such as CN=ann,O=Example", 1, true))
    assert.truthy(faults({}):find('"subject" is missing', 1, true))
    assert.truthy(faults({ subject = "CN=a" }, { subject = "CN=a" }):find("of another credential already", 1, true))
  end)
end)
