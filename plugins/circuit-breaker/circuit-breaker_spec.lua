-- SPDX-License-Identifier: Apache-2.0

local breaker = require "demilune.breaker"
local task = require "demilune.task"
local test = require "demilune.test"

describe("circuit-breaker", function()
  local made = 0 -- circuits are found by the name of what they guard

  -- endpoints: upstreams of tests. more: further keys of the route and of the upstream; plugins behind it.
  local function gateway(endpoints, config, more)
    more = more or {}
    made = made + 1
    local upstream = { name = "u" .. made, endpoints = {}, health = { passive = { consecutive_errors = 100000 } } }
    for i, endpoint in ipairs(endpoints) do
      upstream.endpoints[i] = { address = endpoint.address }
    end
    for key, value in pairs(more.upstream or {}) do
      upstream[key] = value
    end
    local plugins = { { name = "circuit-breaker", config = config } }
    for _, use in ipairs(more.plugins or {}) do
      plugins[#plugins + 1] = use
    end
    local upstreams = { upstream }
    for _, other in ipairs(more.upstreams or {}) do
      upstreams[#upstreams + 1] = other
    end
    local route = { name = "r" .. made, paths = { "/*" }, upstream = upstream.name, plugins = plugins }
    for key, value in pairs(more.route or {}) do
      route[key] = value
    end
    return test.gateway { routes = { route }, config = { upstreams = upstreams } }
  end

  local function ask(g, n)
    local list = {}
    for i = 1, n do
      list[i] = g:get("/").status
    end
    return list
  end

  local SMALL = { min_requests = 4, window = "10s", open_for = "5s", open_for_max = "20s", half_open_requests = 2,
    ramp = 0 }

  local function with(options)
    local config = {}
    for key, value in pairs(SMALL) do
      config[key] = value
    end
    for key, value in pairs(options) do
      config[key] = value
    end
    return config
  end

  it("goes from closed to open to half-open to closed", function()
    local upstream = test.upstream { status = 503 }
    local g = gateway({ upstream }, SMALL)
    assert.same({ 503, 503, 503, 503 }, ask(g, 4))
    assert.equal(4, #upstream.requests)
    local refused = g:get "/"
    assert.equal(503, refused.status)
    assert.equal("application/problem+json", refused.headers["content-type"])
    local wait = tonumber(refused.headers["retry-after"])
    assert.is_true(wait >= 3 and wait <= 5)
    assert.equal(4, #upstream.requests)

    test.clock.advance(3)
    g:get "/"
    assert.equal(4, #upstream.requests)
    upstream:script { status = 200 }
    test.clock.advance(3)
    assert.same({ 200, 200, 200, 200 }, ask(g, 4))
  end)

  it("does not open before there were enough, nor for a small share", function()
    local count = 0
    local upstream = test.upstream(function()
      count = count + 1
      return count % 4 == 0 and 503 or 200
    end)
    local g = gateway({ upstream }, with { failure_ratio = "50%" })
    ask(g, 40)
    assert.equal(40, #upstream.requests)
    upstream = test.upstream { status = 503 }
    g = gateway({ upstream }, with { min_requests = 10 })
    ask(g, 9)
    test.clock.advance(11) -- those have left the window
    ask(g, 9)
    assert.equal(18, #upstream.requests)
    ask(g, 9)
    assert.equal(19, #upstream.requests)
  end)

  it("stays open for longer each time that a probe fails, up to the most", function()
    local upstream = test.upstream { status = 503 }
    local g = gateway({ upstream }, SMALL)
    ask(g, 5)
    local asked = #upstream.requests
    for _, seconds in ipairs { 5, 10, 20, 20 } do
      test.clock.advance(seconds - 2.5)
      ask(g, 3)
      assert.equal(asked, #upstream.requests)
      test.clock.advance(3)
      ask(g, 3)
      asked = asked + 1 -- the first probe has failed: no other passes
      assert.equal(asked, #upstream.requests)
    end
    upstream:script { status = 200 }
    test.clock.advance(21)
    assert.same({ 200, 200, 200 }, ask(g, 3))
  end)

  it("lets no herd through when it is half-open", function()
    local upstream = test.upstream { status = 503 }
    local g = gateway({ upstream }, SMALL)
    ask(g, 4)
    upstream:script { delay = 0.05 }
    test.clock.advance(6)
    local calls, good = {}, 0
    for i = 1, 20 do
      calls[i] = function()
        local status = g:get("/").status
        good = good + (status == 200 and 1 or 0)
      end
    end
    task.all(calls)
    assert.equal(2, good)
    assert.equal(4 + 2, #upstream.requests)
    assert.same({ 200, 200, 200 }, ask(g, 3))
  end)

  it("gives a probe's place to another when its client has left", function()
    local upstream = test.upstream { status = 503 }
    local g = gateway({ upstream }, with { half_open_requests = 1 })
    ask(g, 4)
    upstream:script { stall = "head" }
    test.clock.advance(6)
    local connection = g:connect()
    connection:send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    test.eventually(function() return #upstream.requests == 5 end)
    assert.equal(503, g:get("/").status)
    upstream:script { status = 200 }
    connection:close(true)
    test.eventually(function() return g:get("/").status == 200 end)
  end)

  it("lets a share through that grows, when it is closed again", function()
    local upstream = test.upstream { status = 503 }
    local g = gateway({ upstream }, with { ramp = "100s", half_open_requests = 1 })
    ask(g, 4)
    upstream:script { status = 200 }
    test.clock.advance(6)
    assert.equal(200, g:get("/").status)
    local function good()
      local n = 0
      for _, status in ipairs(ask(g, 200)) do
        n = n + (status == 200 and 1 or 0)
      end
      return n
    end
    local first = good()
    assert.is_true(first > 2 and first < 50)
    test.clock.advance(50)
    local half = good()
    assert.is_true(half > 60 and half < 140)
    test.clock.advance(51)
    assert.equal(200, good())
  end)

  it("opens for slow calls, and for deadlines of the route", function()
    local upstream = test.upstream { delay = 0.03 }
    local g = gateway({ upstream }, with { slow_call = { over = "10ms", ratio = "50%" } })
    assert.same({ 200, 200, 200, 200, 503, 503 }, ask(g, 6))

    upstream = test.upstream { stall = "head" }
    g = gateway({ upstream }, SMALL, { route = { timeout = "20ms" } })
    assert.same({ 504, 504, 504, 504, 503, 503 }, ask(g, 6))
    assert.equal(4, #upstream.requests)
  end)

  it("counts failures of all kinds, and only what it is told of", function()
    for _, script in ipairs { { reset = "head" }, { garbage = "no\r\n\r\n" } } do
      local upstream = test.upstream(script)
      local g = gateway({ upstream }, SMALL)
      assert.same({ 502, 502, 502, 502, 503 }, ask(g, 5))
    end
    local gone = test.upstream {}
    gone:close()
    assert.same({ 502, 502, 502, 502, 503 }, ask(gateway({ gone }, SMALL), 5))

    local upstream = test.upstream { status = 429 }
    assert.same({ 429, 429, 429, 429, 429 }, ask(gateway({ upstream }, SMALL), 5))
    assert.same({ 429, 429, 429, 429, 503 }, ask(gateway({ upstream }, with { failures = { 429 } }), 5))
  end)

  it("has a circuit for each endpoint, and turns to another", function()
    local bad, good = test.upstream { status = 503 }, test.upstream { status = 200 }
    local g = gateway({ bad, good }, with { scope = "endpoint" })
    ask(g, 8)
    assert.same({ 4, 4 }, { #bad.requests, #good.requests })
    assert.same({ 200, 200, 200, 200, 200, 200 }, ask(g, 6))
    assert.equal(4, #bad.requests)
    good:script { status = 503 }
    ask(g, 30)
    assert.equal(4, #bad.requests)
    local before = #good.requests
    assert.same({ 503, 503 }, ask(g, 2))
    assert.equal(before, #good.requests)
  end)

  it("has one for each route, or one for an upstream of several", function()
    local upstream = test.upstream(function(request) return request.path == "/bad" and 503 or 200 end)
    for _, scope in ipairs { "route", "upstream" } do
      made = made + 1
      local use = { name = "circuit-breaker", config = with { scope = scope } }
      local g = test.gateway {
        routes = {
          { name = "bad" .. made, paths = { "/bad" }, upstream = "both" .. made, plugins = { use } },
          { name = "good" .. made, paths = { "/good" }, upstream = "both" .. made, plugins = { use } },
        },
        config = { upstreams = { { name = "both" .. made, endpoints = { { address = upstream.address } } } } },
      }
      for _ = 1, 5 do
        g:get "/bad"
      end
      assert.equal(scope == "route" and 200 or 503, g:get("/good").status)
    end
  end)

  it("answers as it is told while it is open", function()
    local upstream = test.upstream { status = 500 }
    local g = gateway({ upstream }, with {
      fallback = { status = 200, headers = { ["Content-Type"] = "application/json" }, body = "[]" } })
    ask(g, 4)
    local response = g:get "/"
    assert.same({ 200, "application/json", "[]" },
      { response.status, response.headers["content-type"], response.body })
    assert.truthy(response.headers["retry-after"]:find "^[1-5]$")
  end)

  it("or has another upstream take it, with the body", function()
    local upstream, other = test.upstream { status = 500 }, test.upstream { body = "other" }
    local g = gateway({ upstream }, with { fallback = { upstream = "other" } },
      { upstreams = { { name = "other", endpoints = { { address = other.address } } } } })
    ask(g, 4)
    assert.equal("other", g:post("/", { body = "text" }).body)
    assert.equal("text", other:last().body)
    assert.equal(4, #upstream.requests)
  end)

  it("or answers with what the cache has kept, unless that is forbidden", function()
    local life, broken = { ["/free"] = "max-age=10", ["/bound"] = "max-age=10, must-revalidate" }, false
    local upstream = test.upstream(function(request)
      if broken then return 503, {}, "broken" end
      return 200, { ["cache-control"] = life[request.path], etag = '"1"' }, "kept"
    end)
    local g = gateway({ upstream }, with { fallback = "stale" }, { plugins = { { name = "cache" } } })
    assert.same({ 200, 200 }, { g:get("/free").status, g:get("/bound").status })
    broken = true
    test.clock.advance(15)
    assert.same({ 503, 503, 503, 503 }, ask(g, 4))
    local asked = #upstream.requests
    local response = g:get "/free"
    assert.same({ 200, "kept", "15" }, { response.status, response.body, response.headers.age })
    assert.equal("demilune; hit; detail=circuit-open; ttl=-5", response.headers["cache-status"])
    assert.equal(304, g:get("/free", { headers = { ["if-none-match"] = '"1"' } }).status)
    assert.same({ 206, "ep" }, { (function(r) return r.status, r.body end)(
      g:get("/free", { headers = { range = "bytes=1-2" } })) })
    for _, path in ipairs { "/bound", "/never" } do
      assert.equal(503, g:get(path).status)
    end
    assert.equal(503, g:get("/free", { headers = { ["cache-control"] = "no-cache" } }).status)
    assert.equal(503, g:post("/free", { body = "x" }).status)
    assert.equal(asked, #upstream.requests)
  end)

  it("goes together with retry: each attempt counts, and an open circuit ends them", function()
    local upstream = test.upstream { status = 503 }
    local g = gateway({ upstream }, SMALL, { plugins = { { name = "retry",
      config = { attempts = 10, budget_min = 100, backoff = { base = 0 } } } } })
    assert.equal(503, g:get("/").status)
    assert.equal(4, #upstream.requests)
    g:get "/"
    assert.equal(4, #upstream.requests)
  end)

  it("has its circuit in common with the gateway after a reload", function()
    local upstream = test.upstream { status = 503 }
    ask(gateway({ upstream }, SMALL), 4)
    made = made - 1
    ask(gateway({ upstream }, SMALL), 1)
    assert.equal(4, #upstream.requests)
    made = made - 1
    ask(gateway({ upstream }, with { min_requests = 5 }), 1) -- other rules begin anew
    assert.equal(5, #upstream.requests)
  end)

  it("finds faults in its config", function()
    local function faults(config)
      local plugins = { { name = "circuit-breaker", config = config } }
      return test.faults { upstream = "http://127.0.0.1:9", plugins = plugins }
    end
    assert.is_nil(faults { fallback = "stale" })
    assert.truthy(faults({ fallback = "old" }):find("fallback", 1, true))
    assert.truthy(faults({ fallback = { upstream = "nobody" } }):find('has no upstream "nobody"', 1, true))
    assert.truthy(faults({ fallback = { upstream = "x", body = "y" } }):find("not both", 1, true))
    assert.truthy(faults({ scope = "upstreams" }):find('did you mean "upstream"?', 1, true))
    assert.truthy(faults({ failures = { "grpc:bad" } }):find("is no outcome of an attempt", 1, true))
    assert.truthy(faults({ slow_call = { ratio = 0.5 } }):find("over", 1, true))
    assert.truthy(faults({ open_for = "5" }):find("a duration such as", 1, true))
    assert.truthy(faults({ open_for = "0" }):find("config.open_for: more than 0", 1, true))
    assert.truthy(faults({ window = "0s" }):find("config.window: more than 0", 1, true))
    assert.truthy(faults({ slow_call = { over = "0s" } }):find("config.slow_call.over: more than 0", 1, true))
    assert.truthy(faults({ fallback = { headers = { ["content-length"] = "5" } } }):find("gateway's own", 1, true))
    assert.truthy(faults({ fallback = { headers = { ["x y"] = "5" } } }):find("not the name of a header", 1, true))
    assert.truthy(faults({ fallback = { headers = { x = "a\nb" } } }):find("fallback.headers: the field", 1, true))
    assert.is_nil(faults { fallback = { headers = { x = "{a}" } } })
    assert.is_nil(faults {})
  end)
end)

describe("demilune.breaker", function()
  it("guards what a plugin asks by itself", function()
    local options = { min_requests = 2, open_for = 5, half_open_requests = 1, ramp = 0 }
    local b = breaker.new("spec", options)
    for _ = 1, 2 do
      b:leave(b:enter(), false)
    end
    assert.equal("open", b:state())
    local pass, wait = breaker.new("spec", options):enter()
    assert.is_nil(pass)
    assert.is_true(wait > 3 and wait <= 5)
    test.clock.advance(5.1)
    pass = assert(b:enter())
    assert.equal("half_open", b:state())
    assert.is_nil((b:enter()))
    b:leave(pass) -- nothing is known: another may try
    b:leave(assert(b:enter()), true, 0.1)
    assert.equal("closed", b:state())
    b:leave(b:enter(), true)
  end)
end)
