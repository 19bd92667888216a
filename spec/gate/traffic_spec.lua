-- SPDX-License-Identifier: Apache-2.0

-- Rate limits, circuit breakers and retries over all workers of a gateway, under load.

package.path = "./?.lua;" .. package.path

local client = require "demilune.test.client"
local json = require "demilune.json"
local origin = require "spec.support.origin"
local raw = require "spec.support.client"
local server = require "spec.support.server"
local task = require "demilune.task"
local test = require "demilune.test"
local time = require "demilune.time"

local CLIENTS = 64
local HOUR = 3600

-- A window of the clock must not end while a spec counts in it.
local function keep_off_the_hour(now)
  local left = HOUR - now % HOUR
  if left < 20 then
    task.sleep(left)
  end
end

describe("over all workers,", function()
  local gateway, upstream

  before_each(function()
    upstream = test.upstream {}
  end)

  after_each(function()
    gateway:stop()
  end)

  -- plugins: of the route, as YAML flow.
  local function configuration(plugins, more)
    return ([[
upstreams:
  - name: up
    endpoints: [{ address: "%s" }]
    health: { passive: { consecutive_errors: 1000000 } }
%s
routes: [{ name: all, paths: ["/*"], upstream: up, plugins: [%s] }]
]]):format(upstream.address, more or "", plugins)
  end

  local function start(plugins, more)
    gateway = server.start(configuration(plugins, more), { workers = 4 })
    gateway.address = "127.0.0.1:" .. gateway.port
  end

  local function get(path, headers)
    return assert(client.request(gateway.address, { method = "GET", path = path or "/", headers = headers }))
  end

  local function admin(method, path)
    local response = assert(client.request("127.0.0.1:" .. gateway.admin_port, { method = method, path = path }))
    return response.status, response.body
  end

  local function breaker_of(name)
    local _, body = admin("GET", "/upstreams")
    for _, b in ipairs(json.decode(body).breakers) do
      if b.name == name then
        return b
      end
    end
  end

  -- So many clients ask until `ask` says false; how often each status came.
  local function crowd(n, ask)
    local counts, calls = {}, {}
    for i = 1, n do
      calls[i] = function()
        while true do
          local status = ask(i)
          if not status then
            return
          end
          counts[status] = (counts[status] or 0) + 1
        end
      end
    end
    task.all(calls)
    return counts
  end

  local function times(n, f)
    local left = n
    return function(...)
      if left > 0 then
        left = left - 1
        return f(...)
      end
    end
  end

  for _, algorithm in ipairs { "gcra", "sliding_window", "fixed_window" } do
    it("a limit of 100 lets exactly 100 through: " .. algorithm, function()
      keep_off_the_hour(time.monotonic())
      start(("{ name: rate-limit, config: { limit: 100, window: 1h, algorithm: %s, by: '{header:x-k}' } }")
        :format(algorithm))
      local counts = crowd(CLIENTS, times(300, function() return get("/", { ["X-K"] = "k" }).status end))
      assert.same({ [200] = 100, [429] = 200 }, counts)
    end)
  end

  it("a store that is too small for its counts says so", function()
    start("{ name: rate-limit, config: { limit: 1, window: 1h, by: '{header:x-k}' } }",
      "stores: [{ name: default, size: 64KiB }]")
    local function figure(name)
      local _, page = admin("GET", "/metrics")
      return tonumber(page:match('demilune_store_' .. name .. '{store="default"} (%d+)'))
    end
    assert.equal(0, figure "evictions_total")
    local asked = 0
    crowd(8, times(1000, function()
      asked = asked + 1
      return get("/", { ["X-K"] = ("%d"):format(asked) }).status
    end))
    assert.is_true(figure "evictions_total" > 0)
    assert.is_true(figure "bytes" <= figure "limit_bytes")
    assert.equal(1000, figure "entries" + figure "evictions_total")
  end)

  it("no more are under way than may be", function()
    start "{ name: rate-limit, config: { limit: 10, algorithm: concurrent } }"
    local inside, most = 0, 0
    upstream:script(function()
      inside = inside + 1
      most = math.max(most, inside)
      task.sleep(0.005)
      inside = inside - 1
    end)
    local counts = crowd(CLIENTS, times(300, function() return get().status end))
    assert.is_true(most <= 10)
    assert.is_true(counts[200] >= 10)
    assert.equal(300, counts[200] + (counts[429] or 0))
  end)

  it("retries keep to their budget when the service is down", function()
    upstream:script { status = 503 }
    start "{ name: retry, config: { attempts: 5, budget: 20%, budget_min: 3, backoff: { base: 1ms, max: 2ms } } }"
    crowd(CLIENTS, times(500, function() return get().status end))
    assert.is_true(#upstream.requests <= 500 * 1.2)
    assert.is_true(#upstream.requests >= 503)
    local _, metrics = admin("GET", "/metrics")
    assert.equal(#upstream.requests - 500,
      tonumber(metrics:match 'demilune_retries_total{upstream="up",verdict="retried"} (%d+)'))
    assert.truthy(metrics:find('demilune_retries_total{upstream="up",verdict="budget"}', 1, true))
  end)

  it("a dying service is left alone, refusals are fast, and it comes back by itself", function()
    local log = os.tmpname()
    start(([[{ name: access-log, config: { to: "%s", fields: { s: "{status}", d: "{duration}" } } },
      { name: circuit-breaker, config: { window: 2s, min_requests: 20, open_for: 200ms, open_for_max: 400ms,
        half_open_requests: 3, ramp: 100ms, fallback: { status: 599 } } }]]):format(log))
    local counts = crowd(CLIENTS, times(300, function() return get().status end))
    assert.equal(300, counts[200])

    upstream:script { status = 503 }
    local before = #upstream.requests
    counts = crowd(CLIENTS, times(2000, function() return get().status end))
    assert.equal(2000, counts[503] + counts[599])
    local b = breaker_of "up"
    -- 300 good ones are in the window, so as many bad ones open it, and those that were under way.
    assert.is_true(counts[503] <= 300 + CLIENTS + 3 * b.opened)
    assert.equal(#upstream.requests - before, counts[503])
    assert.is_true(b.opened >= 1)

    -- Half-open: a service that is slow now sees no more than the probes at one time.
    local inside, most = 0, 0
    upstream:script(function()
      inside = inside + 1
      most = math.max(most, inside)
      task.sleep(0.02)
      inside = inside - 1
    end)
    local is_closed = false
    crowd(CLIENTS, function()
      if is_closed then
        return nil
      end
      local status = get().status
      is_closed = is_closed or breaker_of("up").state == "closed"
      if not is_closed then
        assert.is_true(most <= 3)
      end
      return status
    end)
    test.eventually(function() return breaker_of("up").share == 1 end)
    assert.same({ [200] = 100 }, crowd(CLIENTS, times(100, function() return get().status end)))

    local refusals = {}
    for line in io.lines(log) do
      local entry = json.decode(line)
      if entry.s == 599 then
        refusals[#refusals + 1] = entry.d
      end
    end
    os.remove(log)
    table.sort(refusals)
    assert.is_true(#refusals > 1000)
    assert.is_true(refusals[math.ceil(#refusals * 0.99)] < 0.005)
  end)

  it("a circuit is opened and closed by hand, and a reload keeps that", function()
    start "{ name: circuit-breaker }"
    assert.equal("closed", breaker_of("up").state)
    assert.equal(200, (admin("POST", "/breakers/up/open")))
    assert.equal("forced_open", breaker_of("up").state)
    for _ = 1, 8 do
      assert.equal(503, get().status)
    end
    assert.equal(0, #upstream.requests)
    assert.equal(200, (admin("POST", "/reload")))
    assert.equal(503, get().status)
    gateway:configure((configuration "{ name: circuit-breaker, config: { open_for: 1s } }"))
    assert.equal(200, (admin("POST", "/reload")))
    assert.equal(503, get().status) -- other options, and the same order
    assert.equal(0, #upstream.requests)
    gateway:configure((configuration "{ name: circuit-breaker }"))
    assert.equal(200, (admin("POST", "/reload")))

    assert.equal(200, (admin("POST", "/breakers/up/close")))
    upstream:script { status = 500 }
    assert.same({ [500] = 100 }, crowd(8, times(100, function() return get().status end)))
    assert.equal(200, (admin("POST", "/breakers/up/auto")))
    assert.equal("closed", breaker_of("up").state)
    crowd(8, times(100, function() return get().status end))
    assert.equal("open", breaker_of("up").state)
    local _, metrics = admin("GET", "/metrics")
    assert.truthy(metrics:find('demilune_breaker_state{scope="upstream",breaker="up"} 2', 1, true))
    assert.truthy(metrics:find('demilune_breaker_opened_total{scope="upstream",breaker="up"} 1', 1, true))
    assert.equal(404, (admin("POST", "/breakers/nobody/open")))
  end)

  -- So many gateways of the same configuration, which count in one Redis.
  describe("with gateways that share a Redis,", function()
    local redis, others, log

    before_each(function()
      redis, others, log = test.redis(), {}, os.tmpname()
    end)

    after_each(function()
      for _, other in ipairs(others) do
        other:stop()
      end
      os.remove(log)
    end)

    local function start_all(n, config)
      for i = 1, n do
        others[i] = server.start(([[
redis: [{ name: main, url: "%s", timeout: 5s }]
routes:
  - name: all
    paths: ["/*"]
    respond: { body: ok }
    plugins:
      - { name: access-log, config: { to: "%s", fields: { d: "{duration}" } } }
      - { name: rate-limit, config: { store: redis, redis: main, by: "{header:x-k}", %s } }
]]):format(redis.url, log, config), { workers = 2 })
      end
      gateway = table.remove(others)
    end

    local function ask(i)
      local port = (others[i % (#others + 1)] or gateway).port
      local request = { method = "GET", path = "/", headers = { ["X-K"] = "k" } }
      local response = assert(client.request("127.0.0.1:" .. port, request))
      return response.status, response.headers
    end

    for _, algorithm in ipairs { "gcra", "sliding_window", "fixed_window" } do
      it("exactly 100 pass: " .. algorithm, function()
        keep_off_the_hour(time.now())
        local config = "limit: 100, window: 1h, algorithm: %s, store_timeout: 5s, on_store_failure: deny"
        start_all(4, config:format(algorithm))
        assert.same({ [200] = 100, [429] = 200 }, crowd(CLIENTS, times(300, ask)))
      end)
    end

    it("one that stalls, dies and comes back under load holds up nobody for longer than the timeout", function()
      start_all(2, "limit: 1000000, window: 1h, store_timeout: 100ms")
      local is_over = false
      local load = task.spawn(function()
        assert.same({ 200 }, { (next(crowd(16, function(i)
          return not is_over and (ask(i)) or nil
        end))) })
      end)
      local function counts()
        local _, headers = ask(1)
        return headers.ratelimit ~= nil
      end
      test.eventually(counts)
      redis:pause()
      test.eventually(function() return not counts() end)
      task.sleep(1.2)
      redis:resume()
      test.eventually(counts, "no counting after the stall", 20)
      redis:kill()
      test.eventually(function() return not counts() end)
      redis:restart()
      test.eventually(counts, "no counting after the restart", 20)
      is_over = true
      task.join(load)
      local longest = 0
      for line in io.lines(log) do
        longest = math.max(longest, json.decode(line).d)
      end
      assert.is_true(longest < 1) -- a tenth, and what a busy machine adds; the server stood still for longer
    end)
  end)

  it("a place in Redis is given back by who has taken it before a reload", function()
    local redis, far = test.redis(), origin.listen()
    gateway = server.start(([[
drain: { timeout: 100ms }
redis: [{ name: main, url: "%s", timeout: 5s }]
routes:
  - name: all
    upstream: http://127.0.0.1:%d
    plugins:
      - name: rate-limit
        config: { limit: 9, algorithm: concurrent, store: redis, redis: main, store_timeout: 5s }
]]):format(redis.url, far.port), { workers = 1 })
    local function inside()
      local keys = redis:command("KEYS", "*")
      return keys[1] and redis:command("ZCARD", keys[1]) or 0
    end

    -- A tunnel lives on with the new configuration; so does a response that is still to come when the old one has to go.
    local tunnel = raw.connect(gateway.port):send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n",
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    local tunnel_up = far:accept()
    tunnel_up:request_head()
    tunnel_up:send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
    tunnel:response_head()
    local late = raw.connect(gateway.port):send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    local late_up = far:accept()
    late_up:request_head()
    assert.equal(2, inside())

    assert.equal(200, (admin("POST", "/reload")))
    gateway:event "plan.left"
    assert.equal(2, inside())
    late_up:respond(200)

    late:response()
    test.eventually(function() return inside() == 1 end)
    tunnel:close()
    tunnel_up:close()
    test.eventually(function() return inside() == 0 end)
    late:close()
    late_up:close()
    far:close()
  end)

  it("all three on one route do what each does alone", function()
    start([[{ name: rate-limit, config: { limit: 200, window: 1h, by: '{header:x-k}' } },
      { name: circuit-breaker, config: { min_requests: 50, open_for: 1h, open_for_max: 1h } },
      { name: retry, config: { attempts: 3, budget: 1, backoff: { base: 0 } } }]])
    local seen, asked = {}, 0
    upstream:script(function(request) -- every fifth request fails at first
      local n = request.headers["x-n"]
      local is_new = not seen[n]
      seen[n] = true
      return is_new and n % 5 == 0 and 503 or 200
    end)
    local function one()
      asked = asked + 1
      return get("/", { ["X-K"] = "k", ["X-N"] = ("%d"):format(asked) }).status
    end
    assert.same({ [200] = 100 }, crowd(8, times(100, one)))
    assert.equal(120, #upstream.requests)

    upstream:script { status = 503 }
    local before = #upstream.requests
    assert.same({ [503] = 95 }, crowd(1, times(95, one)))
    assert.equal("open", breaker_of("up").state)
    assert.is_true(#upstream.requests - before < 3 * 95) -- the circuit has opened between attempts
    assert.same({ [503] = 5, [429] = 20 }, crowd(8, times(25, one)))
  end)
end)
