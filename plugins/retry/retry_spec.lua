-- SPDX-License-Identifier: Apache-2.0

local budget = require "demilune.budget"
local task = require "demilune.task"
local test = require "demilune.test"

describe("retry", function()
  -- An address that nobody listens on.
  local function nobody()
    local upstream = test.upstream {}
    upstream:close()
    return upstream.address
  end

  local made = 0 -- a budget belongs to its route's name

  -- One upstream of several endpoints; `route` and `upstream` are further keys of theirs.
  local function gateway(endpoints, config, more)
    more = more or {}
    local upstream = { name = "u", endpoints = {}, health = { passive = { consecutive_errors = 1000 } } }
    for i, endpoint in ipairs(endpoints) do
      upstream.endpoints[i] = { address = type(endpoint) == "table" and endpoint.address or endpoint }
    end
    for key, value in pairs(more.upstream or {}) do
      upstream[key] = value
    end
    made = made + 1
    local use = { name = "retry", config = config }
    local route = { name = "r" .. made, paths = { "/*" }, upstream = "u", plugins = { use } }
    for key, value in pairs(more.route or {}) do
      route[key] = value
    end
    return test.gateway { routes = { route }, config = { upstreams = { upstream } }, global = more.global }
  end

  -- Fails n times with this status, then answers 200.
  local function failing(n, status, headers)
    local count = 0
    return test.upstream(function()
      count = count + 1
      if count <= n then
        return status or 503, headers or {}, "down"
      end
      return 200, {}, "ok"
    end)
  end

  local QUICK = { base = "1ms", max = "5ms" }

  it("tries again after a status that it is told of, and only then", function()
    local upstream = failing(2)
    local g = gateway({ upstream }, { backoff = QUICK })
    local response = g:get "/"
    assert.same({ 200, "ok" }, { response.status, response.body })
    assert.equal(3, #upstream.requests)

    upstream = failing(1, 500)
    assert.equal(500, gateway({ upstream }, { backoff = QUICK }):get("/").status)
    assert.equal(1, #upstream.requests)

    upstream = failing(1, 500)
    assert.equal(200, gateway({ upstream }, { backoff = QUICK, on = { "5xx" } }):get("/").status)
    upstream = failing(1, 404)
    assert.equal(200, gateway({ upstream }, { backoff = QUICK, on = { 404 } }):get("/").status)
  end)

  it("gives the last answer when all attempts have failed", function()
    local upstream = failing(9)
    local response = gateway({ upstream }, { attempts = 4, backoff = QUICK }):get "/"
    assert.same({ 503, "down" }, { response.status, response.body })
    assert.equal(4, #upstream.requests)
  end)

  it("tries again after a connection that can't be had, is reset, or answers too late", function()
    local good = test.upstream { body = "ok" }
    for _, bad in ipairs { nobody(), test.upstream { reset = "head" }, test.upstream { stall = "head" },
      test.upstream { garbage = "what?\r\n\r\n" } } do
      local g = gateway({ bad, good }, { backoff = QUICK, on = { "connect", "reset", "timeout", "protocol" } },
        { upstream = { timeout = "50ms" } })
      for _ = 1, 4 do
        assert.equal(200, g:get("/").status)
      end
    end
  end)

  it("leaves alone what it is not told of", function()
    local upstream = test.upstream { reset = "head" }
    assert.equal(502, gateway({ upstream }, { on = { "connect" } }):get("/").status)
    assert.equal(1, #upstream.requests)
  end)

  it("knows failures of gRPC in the head", function()
    local upstream = failing(1, 200, { ["grpc-status"] = "14" })
    assert.equal("ok", gateway({ upstream }, { on = { "grpc:unavailable" }, backoff = QUICK }):get("/").body)
    upstream = failing(1, 200, { ["grpc-status"] = "3" })
    assert.equal("down", gateway({ upstream }, { on = { "grpc:unavailable" }, backoff = QUICK }):get("/").body)
  end)

  it("asks another endpoint at each attempt", function()
    local a, b, c = test.upstream { status = 503 }, test.upstream { status = 503 }, test.upstream { status = 503 }
    local g = gateway({ a, b, c }, { backoff = QUICK, budget_min = 100 })
    for _ = 1, 5 do
      assert.equal(503, g:get("/").status)
    end
    assert.same({ 5, 5, 5 }, { #a.requests, #b.requests, #c.requests })
  end)

  describe("never makes two effects:", function()
    it("a POST is not sent again once it may have been seen", function()
      for _, script in ipairs { { status = 503 }, { reset = "head" }, { garbage = "what?\r\n\r\n" }, { close = true,
        status = 503 } } do
        local upstream = test.upstream(script)
        gateway({ upstream }, { on = { "5xx", "reset", "protocol", "connect" } }):post("/", { body = "pay" })
        assert.equal(1, #upstream.requests)
      end
    end)

    it("a POST that found no connection is", function()
      local good = test.upstream { body = "ok" }
      local g = gateway({ nobody(), good }, { backoff = QUICK })
      for i = 1, 4 do
        assert.equal(200, g:post("/", { body = "pay" }).status)
        assert.equal(i, #good.requests)
        assert.equal("pay", good:last().body)
      end
    end)

    it("a POST is where the configuration says so", function()
      local upstream = failing(1)
      local g = gateway({ upstream }, { methods = { "POST" }, backoff = QUICK })
      assert.equal(200, g:post("/", { body = "x" }).status)
      assert.equal("x", upstream:last().body)
      upstream = failing(1)
      assert.equal(503, gateway({ upstream }, { methods = { "POST" }, backoff = QUICK }):get("/").status)
    end)
  end)

  it("sends the body again while it is held, and does not try again without it", function()
    local text = ("0123456789"):rep(3000)
    local upstream = failing(1)
    assert.equal(200, gateway({ upstream }, { backoff = QUICK }):put("/", { body = text }).status)
    assert.equal(text, upstream:last().body)

    upstream = failing(1)
    local g = gateway({ upstream }, { backoff = QUICK }, { route = { buffered_body = "8KiB" } })
    assert.equal(503, g:put("/", { body = text }).status)
    assert.equal(1, #upstream.requests)
  end)

  it("waits as it is asked to, but not for too long", function()
    local upstream = failing(1, 503, { ["Retry-After"] = "1" })
    local g = gateway({ upstream }, { backoff = { base = "1ms", max = "2s" } })
    local response
    local waiting = task.spawn(function() response = g:get "/" end)
    test.eventually(function() return #upstream.requests == 1 end)
    task.sleep(0.02)
    assert.equal(1, #upstream.requests)
    test.clock.advance(1.1)
    task.join(waiting)
    assert.equal(200, response.status)

    upstream = failing(1, 503, { ["Retry-After"] = "3600" })
    response = gateway({ upstream }, {}):get "/"
    assert.same({ 503, "3600" }, { response.status, response.headers["retry-after"] })
    upstream = failing(1, 503, { ["Retry-After"] = "Sun, 06 Nov 2094 08:49:37 GMT" })
    assert.equal(503, gateway({ upstream }, {}):get("/").status)
    upstream = failing(1, 503, { ["Retry-After"] = "Sun, 06 Nov 1994 08:49:37 GMT" })
    assert.equal(200, gateway({ upstream }, { backoff = QUICK }):get("/").status)
  end)

  it("does not begin a wait that would end behind the route's time", function()
    local upstream = failing(1, 503, { ["Retry-After"] = "5" })
    local g = gateway({ upstream }, { backoff = { base = "1ms", max = "10s" } }, { route = { timeout = "2s" } })
    assert.equal(503, g:get("/").status)
    assert.equal(1, #upstream.requests)
  end)

  it("gives each attempt its time, within the route's", function()
    local slow, good = test.upstream { stall = "head" }, test.upstream { body = "ok" }
    local g = gateway({ slow, good }, { per_try_timeout = "30ms", backoff = QUICK })
    for _ = 1, 2 do
      assert.equal(200, g:get("/").status)
    end
    local stalled = test.upstream { stall = "head" }
    g = gateway({ stalled }, { per_try_timeout = "60ms", attempts = 10, budget_min = 100, backoff = QUICK },
      { route = { timeout = "200ms" } })
    assert.equal(504, g:get("/").status)
    assert.is_true(#stalled.requests >= 2 and #stalled.requests <= 4)
  end)

  it("keeps to its budget when all is down", function()
    local upstream = test.upstream { status = 503 }
    local g = gateway({ upstream }, { attempts = 10, budget = "20%", budget_min = 3, backoff = { base = 0 } })
    for _ = 1, 100 do
      assert.equal(503, g:get("/").status)
    end
    assert.is_true(#upstream.requests <= 120)
    assert.is_true(#upstream.requests >= 118)
    test.clock.advance(11) -- what was asked then gives no right to retries now
    local before = #upstream.requests
    g:get "/"
    assert.equal(1 + 3, #upstream.requests - before)
  end)

  it("hides an upstream that fails now and then, within its budget", function()
    local seed, failures, asked = 7, 0, 0
    local upstream = test.upstream(function()
      seed = (seed * 16807) % 2147483647
      return seed % 100 < 30 and 503 or 200
    end)
    local g = gateway({ upstream }, { attempts = 6, budget = "60%", backoff = { base = 0 } })
    for _ = 1, 600 do
      asked = asked + 1
      failures = failures + (g:get("/").status == 200 and 0 or 1)
    end
    assert.is_true(failures < 0.01 * asked)
    assert.is_true(#upstream.requests <= 1.6 * asked)
  end)

  it("shows every attempt to log hooks", function()
    local good = test.upstream { body = "ok" }
    local file = os.tmpname()
    local g = gateway({ nobody(), good }, { backoff = QUICK },
      { global = { { name = "access-log", config = { to = file, fields = { t = "{tries}", n = "{attempts}" } } } } })
    for _ = 1, 2 do
      assert.equal(200, g:get("/").status)
    end
    local text = test.eventually(function()
      local f = assert(io.open(file))
      local text = f:read "*a"
      f:close()
      return select(2, text:gsub("\n", "\n")) == 2 and text
    end)
    os.remove(file)
    assert.truthy(text:find(('"t":"[%%d.:]+ connect, %s 200"'):format(good.address:gsub("%.", "%%."))))
    assert.truthy(text:find('"n":2', 1, true))
  end)

  it("lets a client leave while it waits", function()
    local upstream = failing(5, 503, { ["Retry-After"] = "1" })
    local g = gateway({ upstream }, { backoff = { base = "1ms", max = "5s" } })
    local connection = g:connect()
    connection:send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    test.eventually(function() return #upstream.requests == 1 end)
    connection:close(true)
    task.sleep(0.01)
    test.clock.advance(2)
    task.sleep(0.01)
    assert.equal(1, #upstream.requests)
  end)

  it("finds faults in its config", function()
    local function faults(config)
      return test.faults { upstream = "http://127.0.0.1:9", plugins = { { name = "retry", config = config } } }
    end
    assert.truthy(faults({ on = { "conect" } }):find("connect, reset, timeout", 1, true))
    assert.truthy(faults({ on = { "grpc:unavailible" } }):find("is no outcome of an attempt", 1, true))
    assert.truthy(faults({ on = { 99 } }):find("on[0]", 1, true))
    assert.truthy(faults({ methods = { "FETCH" } }):find('methods[0]: "FETCH" is no method', 1, true))
    assert.truthy(faults({ attempts = 0 }):find("at least 1", 1, true))
    assert.truthy(faults({ budget = "lots" }):find("a share such as", 1, true))
    assert.truthy(faults({ attempts = 1, hedge = { percentile = 95 } }):find("config.hedge: with attempts: 1", 1, true))
    assert.truthy(faults({ attempt = 3 }):find('did you mean "attempts"?', 1, true))
    assert.is_nil(faults {})
  end)
end)

describe("demilune.budget", function()
  it("is a share of what was asked in the last while, or the least", function()
    local b = budget.new("spec", { share = 0.1, least = 1, window = 10 })
    assert.is_true(b:take())
    assert.is_false(b:take())
    for _ = 1, 50 do
      b:count()
    end
    for _ = 1, 4 do
      assert.is_true(b:take())
    end
    assert.is_false(b:take())
    assert.same({ 50, 5 }, { b:counts() })
    test.clock.advance(11)
    assert.same({ 0, 0 }, { b:counts() })
    assert.is_true(b:take())
    assert.is_false(budget.new("spec", { share = 0.1, least = 1, window = 10 }):take())
  end)
end)
