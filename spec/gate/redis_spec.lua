-- SPDX-License-Identifier: Apache-2.0

-- Redis behind a gateway: through TLS, over reloads, and when it is killed, stalls and comes back under load. The
-- requests of the load must be answered throughout, by whatever the plugin makes of a failure.

package.path = "./?.lua;" .. package.path

local certs = require "spec.support.certs"
local client = require "spec.support.client"
local loads = require "spec.support.load"
local server = require "spec.support.server"
local test = require "demilune.test"

-- Counts a request, and answers with the count or with why there is none.
local VISITS = [[
local redis = require "demilune.redis"
local Visits = { name = "visits", version = "1.0.0" }
Visits.__index = Visits

function Visits.new()
  return setmetatable({ db = redis.use "main" }, Visits)
end

function Visits:access(exchange)
  local n, word = self.db:command("INCR", "visits")
  return exchange:reply(200, {}, n and tostring(n) or word)
end

return Visits
]]

local CONFIG = [[
plugin_path: [plugins]
redis: [{ name: main, url: "%s", timeout: %s, connect_timeout: %s%s }]
routes:
  - { name: visits, plugins: [{ name: visits }], respond: { body: none } }
]]

describe("Redis behind a gateway", function()
  local folder, gateway

  before_each(function()
    folder = server.folder()
    folder:write("plugins/visits/init.lua", VISITS)
  end)

  after_each(function()
    if gateway then
      gateway:stop()
    end
    gateway = nil
    folder:remove()
  end)

  -- Patient, unless a stall is what is looked for: the machine may be busy.
  local function config_of(redis, more, timeout)
    timeout = timeout or "10s"
    return CONFIG:format(redis.url, timeout, timeout, more or "")
  end

  local function start(redis, more, timeout)
    gateway = server.start(config_of(redis, more, timeout), { folder = folder })
  end

  local function ask()
    return client.get(gateway.port, "/").body
  end

  local function metric(name)
    local page = client.get(gateway.admin_port, "/metrics").body
    return tonumber(page:match("\n" .. name:gsub("[{}.]", "%%%0") .. " ([^\n]*)")) or 0
  end

  it("counts what is sent, what fails, and connections", function()
    start(test.redis())
    for i = 1, 20 do
      assert.equal(tostring(i), ask())
    end
    assert.equal(20, metric 'demilune_redis_commands_total{redis="main"}')
    assert.equal(20, metric 'demilune_redis_duration_seconds_count{redis="main"}')
    assert.equal(0, metric 'demilune_redis_errors_total{redis="main",error="reply"}')
    local connections = metric 'demilune_redis_connections_total{redis="main",result="ok"}'
    assert.is_true(connections == 1 or connections == 2, "one for each worker") -- SO_REUSEPORT chooses
  end)

  it("keeps its connections over a reload", function()
    local redis = test.redis()
    start(redis)
    for _ = 1, 20 do
      ask()
    end
    local before = redis:command("INFO", "stats"):match "total_connections_received:(%d+)"
    for i = 1, 3 do
      gateway:configure(config_of(redis) .. "# " .. i .. "\n")
      assert.equal(200, client.request(gateway.admin_port, "POST", "/reload").status)
      for _ = 1, 20 do
        ask()
      end
    end
    local after = redis:command("INFO", "stats"):match "total_connections_received:(%d+)"
    assert.is_true(after - before <= 1, "new connections: " .. after - before) -- a worker that had none
    assert.equal("80", redis:command("GET", "visits"))
  end)

  it("is reached through TLS, when its certificate is believed", function()
    certs.authority(folder, "ca")
    certs.issue(folder, "redis", { by = "ca", names = { "IP:127.0.0.1" } })
    local redis = test.redis { tls = { cert = folder.path .. "/redis.pem", key = folder.path .. "/redis.key" } }
    start(redis, ", tls: { ca: ca.pem }")
    assert.equal("1", ask())
    assert.equal("2", ask())
    gateway:stop()
    start(redis, ", tls: { verify: false }")
    assert.equal("3", ask())
    gateway:stop()
    start(redis)
    assert.equal("tls", ask())
    assert.matches("certificate", gateway:event "redis.down")
    gateway:stop()
    start(redis, ", tls: { ca: ca.pem, sni: other.example }")
    assert.equal("tls", ask())
  end)

  it("never keeps a request waiting for long, whatever happens to the server", function()
    local redis = test.redis()
    start(redis, nil, "300ms")
    local load = loads.new(gateway.port, "/", { slots = 16 })
    local function turn_until(what, condition)
      assert.is_true(load:until_true(condition), what)
    end
    local function counts()
      return tonumber(load.last_body or "") ~= nil
    end
    turn_until("counts", counts)
    redis:kill()
    turn_until("failures", function() return load.last_body == "refused" end)
    load:more(200)
    redis:restart()
    turn_until("counts after a restart", counts)
    load:more(200)
    redis:pause()
    turn_until("failures of a stalled one", function() return load.last_body == "timeout" end)
    load:more(200)
    redis:resume()
    turn_until("counts after a stall", counts)
    load:more(200)
    load:close()
    assert.equal(0, load.wrong)
    assert.equal(0, load.broken)
    assert.equal(0, load.refused)
    gateway:event "redis.up"
  end)
end)
