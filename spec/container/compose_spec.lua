-- SPDX-License-Identifier: Apache-2.0

-- docker/compose.yaml brought up by podman-compose, with the published ports, the secrets, the mounts and the network that it
-- describes. What it takes from public registries is built here of the same software (stand_ins/).

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local container = require "spec.support.container"
local json = require "demilune.json"
local origin = require "spec.support.origin"
local wait = require "spec.support.wait"

local PYTHON = "/usr/bin/python3" -- the system's, with its packages
local PROJECT = "demilune-spec"

local built, reason = container.build()
local ports = { PORT = origin.free_port(), ADMIN_PORT = origin.free_port(), OPENID_PORT = origin.free_port() }

-- podman-compose's result.
local function run(...)
  local argv = { "env" }
  for name, port in pairs(ports) do
    argv[#argv + 1] = name .. "=" .. port
  end
  for _, word in ipairs { PYTHON, "spec/container/compose", container.store[2], container.store[4], ... } do
    argv[#argv + 1] = word
  end
  return command.run(argv, { seconds = 900 })
end

-- The same where it has to work; left out, with the reason, where it can't.
local function compose(...)
  local result = run(...)
  if result.status == 77 then
    pending(result.out)
  end
  assert.equal(0, result.status, result.out .. result.err)
end

local function curl(...)
  local result = command.run { "curl", "-s", "-i", "--max-time", "20", ... }
  return tonumber(result.out:match "^HTTP/1.1 (%d+)"), result.out
end

local function url(port, path)
  return ("http://127.0.0.1:%d%s"):format(ports[port], path)
end

-- By compose.yaml's own check, which only systemd would run by itself.
local function healthy(service)
  local told
  wait(service .. " to be healthy", function()
    told = container.tool("podman", "healthcheck", "run", PROJECT .. "_" .. service .. "_1")
    return told.status == 0
  end, 120)
end

-- Are the two services, the key and the plugin of one's own behind the published ports?
local function serves_the_shop()
  local status, answer = curl(url("PORT", "/products"))
  assert.equal(200, status, answer)
  assert.matches('"api_version":"2"', answer, 1, true)
  assert.equal(401, (curl(url("PORT", "/orders"))))
  status, answer = curl("-H", "X-API-Key: acme-demo-key", url("PORT", "/orders"))
  assert.equal(200, status)
  assert.matches('"consumer":"acme"', answer, 1, true)
  assert.equal(401, (curl(url("ADMIN_PORT", "/upstreams"))))
  assert.equal(200, (curl("-H", "Authorization: Bearer demo-token", url("ADMIN_PORT", "/upstreams"))))
end

describe("docker/compose.yaml, brought up", function()
  local profile

  -- Starts services of a profile, whose images are there.
  local function up(name, ...)
    profile = name
    compose("--profile", name, "up", "-d", "--no-build", "--no-deps", ...)
  end

  setup(function()
    if built then
      container.podman("tag", container.image, "localhost/demilune:latest")
      compose("--profile", "small", "build", "--build-arg", "BASE=" .. built.base, "catalog")
    end
  end)

  after_each(function()
    if profile then
      run("--profile", profile, "down", "-t", "1")
      profile = nil
    end
  end)

  local function test(name, f)
    it(name, built and f or function()
      pending(reason)
    end)
  end

  test("has a small profile that starts alone", function()
    up("small", "catalog", "orders", "gateway")
    healthy "gateway"
    serves_the_shop()
  end)

  -- Java, Node and Redis want minutes to be built the first time, and memory.
  test("has a platform with tokens, limits in Redis and events in Kafka", function()
    if not os.getenv "DEMILUNE_FULL" then
      pending "only with --full"
    end
    local stood = command.run({ "bash", "spec/container/stand_ins/build", built.base, container.store[2],
      container.store[4] }, { seconds = 1800 })
    if stood.status == 77 then
      pending(stood.out .. stood.err)
    end
    assert.equal(0, stood.status, stood.err)
    compose("--profile", "platform", "build", "openid")
    up("platform", "catalog", "orders", "redis", "kafka", "openid")
    for _, service in ipairs { "redis", "kafka", "openid" } do
      healthy(service)
    end
    up("platform", "gateway-platform")
    healthy "gateway-platform"
    serves_the_shop()

    assert.equal(401, (curl(url("PORT", "/my/orders"))))
    local _, answer = curl("-u", "acme-web:acme-demo-secret", "-d", "grant_type=client_credentials&scope=orders.read",
      url("OPENID_PORT", "/token"))
    local token = json.decode(answer:match "\r\n\r\n(.*)").access_token
    wait("an answer that was counted in Redis", function()
      local status
      status, answer = curl("-H", "Authorization: Bearer " .. token, url("PORT", "/my/orders"))
      assert.equal(200, status, answer)
      return answer:find '[Rr]ate[Ll]imit: "default";r=%d+'
    end)
    local keys = container.podman("exec", PROJECT .. "_redis_1", "redis-cli", "dbsize")
    assert.is_true(tonumber(keys:match "%d+") > 0, keys)

    local status
    status, answer = curl("-H", "X-API-Key: acme-demo-key", "--json", '{"id":1}', url("PORT", "/events/orders"))
    assert.equal(202, status, answer)
    assert.matches('"topic":"shop.orders"', answer, 1, true)
  end)
end)
