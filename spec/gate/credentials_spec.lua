-- SPDX-License-Identifier: Apache-2.0

-- Where consumers' secrets do not appear: with all plugins that recognise consumers, at the lowest log level, through
-- successes, refusals, failures, reloads and faults.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local SECRETS = {
  key = "key-5f0c1c8a2b", hmac = "hmac-77d1e09ab31c", password = "password-9a1be4", token = "token-20b91fe3",
  hash = "$pbkdf2-sha256$1000$c2FsdHNhbHRzYWx0c2FsdA$8W5yLmqTx7pmJ5.3qp/ZOQP9vTuo.lMNfP/lMdTb9u8", -- of "s3cret"
  digits = "8W5yLmqTx7pmJ5.3qp/ZOQP9vTuo.lMNfP/lMdTb9u8", coded_password = "YW5uOnBhc3N3b3JkLTlhMWJlN",
}

local CONFIG = [[
workers: 1
log: { level: debug }
listeners: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0" }
plugins: [{ name: access-log, config: { to: access.log } }]
routes:
  - { name: key, paths: [/key], plugins: [{ name: key-auth }], respond: {} }
  - { name: basic, paths: [/basic], plugins: [{ name: basic-auth }], respond: {} }
  - { name: hmac, paths: [/hmac], plugins: [{ name: hmac-auth }], respond: {} }
  - { name: mtls, paths: [/mtls], plugins: [{ name: mtls-auth }], respond: {} }
  - name: forward
    paths: [/forward]
    plugins: [{ name: forward-auth, config: { url: "http://127.0.0.1:1/" } }]
    respond: {}
consumers:
  - name: acme
    credentials:
      key-auth: [{ key: $key }]
      basic-auth: [{ username: ann, password_hash: '$hash' }]
      hmac-auth: [{ id: a, secret: $hmac }]
      mtls-auth: [{ subject: "CN=ann" }]$more
]]

local function config(more)
  return (CONFIG:gsub("%$(%l+)", function(name) return name == "more" and (more or "") or SECRETS[name] end))
end

describe("consumers' secrets", function()
  local gateway

  lazy_setup(function() gateway = server.start(config(), { bare = true }) end)
  lazy_teardown(function() gateway:stop() end)

  local function without_secrets(text, where)
    for _, secret in pairs(SECRETS) do
      assert.is_nil(text:find(secret, 1, true), ("%s shows %s"):format(where, secret))
    end
  end

  local function status(path, headers)
    local response = client.get(gateway.port, path, { headers = headers })
    without_secrets(response.body, path)
    for name, value in pairs(response.headers) do
      without_secrets(name .. ": " .. tostring(value), path)
    end
    return response.status
  end

  it("are in no answer", function()
    assert.equal(200, status("/key", { ["x-api-key"] = SECRETS.key }))
    assert.equal(401, status("/key", { ["x-api-key"] = SECRETS.token }))
    assert.equal(200, status("/basic", { authorization = "Basic YW5uOnMzY3JldA==" }))
    assert.equal(401, status("/basic", { authorization = "Basic " .. SECRETS.coded_password .. "A==" }))
    assert.equal(401, status("/hmac", { signature = "sig=:AAAA:",
      ["signature-input"] = 'sig=("@method" "@authority" "@path" "@query");created=1;keyid="a"' }))
    assert.equal(403, status("/mtls", { authorization = "Bearer " .. SECRETS.token }))
    assert.equal(503, status("/forward", { authorization = "Bearer " .. SECRETS.token, cookie = SECRETS.password }))
  end)

  it("are on no page of the admin endpoint", function()
    for _, path in ipairs { "/config", "/routes", "/plugins", "/upstreams", "/metrics" } do
      local response = client.get(gateway.admin_port, path)
      assert.equal(200, response.status)
      without_secrets(response.body, path)
    end
  end)

  it("are in no fault, and what refuses a reload says so without them", function()
    local more = [[

  - name: bolt
    credentials:
      key-auth: [{ key: $key }]
      hmac-auth: [{ id: a, secret: $hmac }]
      basic-auth: [{ username: bob, password_hash: $password }]
]]
    gateway:configure(config((more:gsub("%$(%l+)", SECRETS))))
    local refused = client.request(gateway.admin_port, "POST", "/reload")
    assert.is_true(refused.status >= 400)
    assert.truthy(refused.body:find("another credential already", 1, true), refused.body)
    without_secrets(refused.body, "/reload")
  end)

  it("are in no line of the log, the access log included", function()
    local access = wait("the lines of the access log", function()
      local text = gateway.folder:read "access.log"
      return text and text:find("/forward", 1, true) and text
    end)
    without_secrets(access, "the access log")
    assert.truthy(gateway:log():find("the service that says who may pass has failed", 1, true))
    without_secrets(gateway:log(), "the log")
  end)
end)
