-- SPDX-License-Identifier: Apache-2.0

local task = require "demilune.task"
local test = require "demilune.test"

describe("rate-limit", function()
  local upstream

  setup(function()
    upstream = test.upstream { body = "ok" }
  end)

  local function gateway(config, more)
    local options = { upstream = upstream, plugins = { { name = "rate-limit", config = config } } }
    for key, value in pairs(more or {}) do
      options[key] = value
    end
    return test.gateway(options)
  end

  local function statuses(g, n, options)
    local list = {}
    for i = 1, n do
      list[i] = g:get("/", options).status
    end
    return list
  end

  for _, algorithm in ipairs { "gcra", "sliding_window", "fixed_window" } do
    it(algorithm .. ": lets the limit through, then refuses, then lets through again", function()
      local g = gateway { limit = 3, window = "10s", algorithm = algorithm }
      assert.same({ 200, 200, 200, 429 }, statuses(g, 4))
      local refused = g:get "/"
      local wait = tonumber(refused.headers["retry-after"])
      assert.is_true(wait >= 1 and wait <= 20)
      assert.equal("application/problem+json", refused.headers["content-type"])
      test.clock.advance(30)
      assert.same({ 200, 200, 200, 429 }, statuses(g, 4))
    end)
  end

  it("tells the client its quota, in the fields of the IETF", function()
    local g = gateway { limit = 5, window = "1m" }
    local response = g:get "/"
    assert.equal('"default";q=5;w=60', response.headers["ratelimit-policy"])
    assert.equal('"default";r=4;t=12', response.headers["ratelimit"])
    assert.is_nil(response.headers["x-ratelimit-limit"])
  end)

  it("tells it in the older fields, in both, or not at all", function()
    local old = gateway({ limit = 5, window = "1m", headers = "x" }):get "/"
    assert.equal("5", old.headers["x-ratelimit-limit"])
    assert.equal("4", old.headers["x-ratelimit-remaining"])
    assert.equal("12", old.headers["x-ratelimit-reset"])
    assert.is_nil(old.headers["ratelimit"])
    local both = gateway({ limit = 5, window = "1m", headers = "both" }):get "/"
    assert.truthy(both.headers["ratelimit"] and both.headers["x-ratelimit-limit"])
    local none = gateway({ limit = 5, window = "1m", headers = "none" }):get "/"
    assert.is_nil(none.headers["ratelimit"] or none.headers["ratelimit-policy"] or none.headers["x-ratelimit-limit"])
  end)

  it("counts by what it is told, and by the address where that is missing", function()
    local g = gateway { limit = 1, window = "1m", by = "header:x-tenant" }
    local a, b = { headers = { ["X-Tenant"] = "a" } }, { headers = { ["X-Tenant"] = "b" } }
    assert.same({ 200, 429 }, statuses(g, 2, a))
    assert.same({ 200, 429 }, statuses(g, 2, b))
    assert.same({ 200, 429 }, statuses(g, 2))
    -- An address as the value of the field is not the client with that address.
    assert.same({ 200, 429 }, statuses(g, 2, { headers = { ["X-Tenant"] = "127.0.0.1" } }))
  end)

  it("keeps the parts of a key apart", function()
    local g = gateway { limit = 1, window = "1m", by = { "header:x-a", "header:x-b" } }
    assert.equal(200, g:get("/", { headers = { ["X-A"] = "1", ["X-B"] = "23" } }).status)
    assert.equal(200, g:get("/", { headers = { ["X-A"] = "12", ["X-B"] = "3" } }).status)
    assert.equal(429, g:get("/", { headers = { ["X-A"] = "12", ["X-B"] = "3" } }).status)
    local long = ("x"):rep(2000)
    assert.equal(200, g:get("/", { headers = { ["X-A"] = long .. "1", ["X-B"] = "3" } }).status)
    assert.equal(200, g:get("/", { headers = { ["X-A"] = long .. "2", ["X-B"] = "3" } }).status)
    assert.equal(429, g:get("/", { headers = { ["X-A"] = long .. "2", ["X-B"] = "3" } }).status)
  end)

  it("takes a network of IPv6 addresses for one client", function()
    local g = gateway({ limit = 1, window = "1m" }, { config = { trusted_proxies = { "127.0.0.1" } } })
    local function from(address)
      return g:get("/", { headers = { ["X-Forwarded-For"] = address } }).status
    end
    assert.equal(200, from "2001:db8:0:1::1")
    assert.equal(429, from "2001:db8:0:1:ffff::2")
    assert.equal(200, from "2001:db8:0:2::1")
    assert.equal(200, from "192.0.2.1")
    assert.equal(200, from "192.0.2.2")
  end)

  it("takes the cost from the request", function()
    local g = gateway { limit = 10, window = "1m", cost = "header:x-cost" }
    local function cost(text)
      return g:get("/", { headers = { ["X-Cost"] = text } })
    end
    assert.equal('"default";r=4;t=36', cost("6").headers.ratelimit)
    assert.equal(429, cost("5").status)
    assert.equal(200, cost("4").status)
    assert.equal(429, cost("much").status)
  end)

  it("lets a burst through at once, and no more", function()
    local g = gateway { limit = 60, window = "1m", burst = 2 }
    assert.same({ 200, 200, 429 }, statuses(g, 3))
    test.clock.advance(1.1)
    assert.same({ 200, 429 }, statuses(g, 2))
  end)

  it("keeps several limits at once, and tells of the nearest", function()
    local g = gateway { limits = { { limit = 2, window = "1s" }, { limit = 3, window = "1h" } } }
    assert.same({ 200, 200, 429 }, statuses(g, 3))
    test.clock.advance(2)
    local last = g:get "/"
    assert.equal(200, last.status)
    assert.equal('"1";q=2;w=1, "2";q=3;w=3600', last.headers["ratelimit-policy"])
    assert.truthy(last.headers.ratelimit:find('^"2";r=0;'))
    assert.equal(429, g:get("/").status)
  end)

  for _, algorithm in ipairs { "gcra", "sliding_window", "fixed_window" } do
    it(algorithm .. ": what another limit refuses takes nothing", function()
      local g = gateway { limits = {
        { limit = 8, window = "1h", algorithm = algorithm }, { limit = 3, window = "1h", algorithm = algorithm },
        { limit = 6, algorithm = "concurrent" } }, cost = "header:x-cost" }
      assert.equal(200, g:get("/").status)
      assert.same({ 429, 429, 429 }, statuses(g, 3, { headers = { ["X-Cost"] = 3 } }))
      assert.same({ 200, 200, 429 }, statuses(g, 3))
      -- The first has 5 left: with the second out of the way they pass.
      local one = { limit = 8, window = "1h", algorithm = algorithm }
      local alone = gateway({ limits = { one }, cost = "header:x-cost" }, { keep_stores = true })
      assert.same({ 429, 200 }, { alone:get("/", { headers = { ["X-Cost"] = 6 } }).status,
        alone:get("/", { headers = { ["X-Cost"] = 5 } }).status })
    end)
  end

  it("takes the algorithm of several limits from the one above them, where they name none", function()
    local g = gateway { algorithm = "concurrent", limits = { { limit = 1 }, { limit = 9 } } }
    assert.same({ 200, 200, 200 }, statuses(g, 3))
    assert.equal('"1";q=1;qu="concurrent-requests", "2";q=9;qu="concurrent-requests"',
      g:get("/").headers["ratelimit-policy"])
  end)

  it("counts limits over the same time apart", function()
    local g = gateway { limits = { { limit = 4, window = "1h" }, { limit = 3, window = "1h" } } }
    assert.same({ 200, 200, 200, 429 }, statuses(g, 4))
  end)

  it("limits what is under way at the same time, and frees the place at the end", function()
    local slow = test.upstream { delay = 0.1, body = "ok" }
    local g = test.gateway { upstream = slow, plugins = { { name = "rate-limit",
      config = { limit = 2, algorithm = "concurrent" } } } }
    local results = task.all {
      function() return g:get("/").status end, function() return g:get("/").status end,
      function() return g:get("/").status end,
    }
    table.sort(results)
    assert.same({ 200, 200, 429 }, results)
    assert.equal(200, g:get("/").status)
  end)

  it("belongs to its place: the routes of one gateway count apart", function()
    local config = { name = "rate-limit", config = { limit = 1, window = "1m" } }
    local g = test.gateway { routes = {
      { name = "a", paths = { "/a" }, respond = { status = 200 }, plugins = { config } },
      { name = "b", paths = { "/b" }, respond = { status = 200 }, plugins = { config } },
    } }
    assert.equal(200, g:get("/a").status)
    assert.equal(200, g:get("/b").status)
    assert.equal(429, g:get("/a").status)
  end)

  it("counts a request once at each of its places, whichever refuses it", function()
    local function limit(n)
      return { name = "rate-limit", config = { limit = n, window = "1h" } }
    end
    local g = test.gateway { global = { limit(5) }, routes = {
      { name = "a", paths = { "/a" }, respond = { status = 200 }, plugins = { limit(2) } },
      { name = "b", paths = { "/b" }, respond = { status = 200 } },
    } }
    local list = {}
    for i, path in ipairs { "/a", "/a", "/a", "/a", "/b", "/b" } do
      list[i] = g:get(path).status
    end
    assert.same({ 200, 200, 429, 429, 200, 429 }, list)
  end)

  it("keeps its counts in the store, beyond the gateway that counted", function()
    local config = { limit = 1, window = "1m" }
    assert.equal(200, gateway(config):get("/").status)
    assert.equal(429, gateway(config, { keep_stores = true }):get("/").status)
  end)

  it("refuses with another status, when told so", function()
    assert.same({ 200, 503 }, statuses(gateway { limit = 1, window = "1m", status = 503 }, 2))
  end)

  it("finds faults in its config", function()
    local function faults(config)
      return test.faults { plugins = { { name = "rate-limit", config = config } } }
    end
    assert.truthy(faults({ limit = 1, window = "1m", store = "redis" }):find('"redis" is missing', 1, true))
    assert.truthy(faults({ limit = 1, window = "1m", store = "redis", redis = "nobody" }):find("nobody", 1, true))
    assert.truthy(faults({ limit = 1, window = "1m", redis = "main" }):find("is for store: redis", 1, true))
    assert.truthy(faults({ limit = 1 }):find('"window" is missing', 1, true))
    assert.truthy(faults({ limit = 0, window = "1m" }):find("at least 1", 1, true))
    assert.truthy(faults({ limit = 1, window = "0.5ms" }):find("config.window: a window is at least 1ms", 1, true))
    assert.truthy(faults({ limit = 1, window = "1m", burst = 2, algorithm = "fixed_window" })
      :find("config.burst: is for algorithm: gcra", 1, true))
    assert.truthy(faults({ limits = { { limit = 1, window = "1m" } }, burst = 2 })
      :find("config.burst: stands in each of limits", 1, true))
    assert.truthy(faults({ limits = { { limit = 1, window = "1m" }, { limit = 1, window = "0" } } })
      :find("config.limits[1].window: a window is at least 1ms", 1, true))
    assert.truthy(faults({ limit = 1, window = "1m", store = "redis", redis = "main", store_timeout = "0s" })
      :find("config.store_timeout: more than 0", 1, true))
    assert.truthy(faults({ limit = 1, window = 60 }):find("a duration such as", 1, true))
    assert.truthy(faults({ window = "1m" }):find("limit", 1, true))
    assert.truthy(faults({ limit = 1, window = "1m", by = "clientip" }):find('did you mean', 1, true))
    assert.truthy(faults({ limit = 1, window = "1m", algorithm = "gcr" }):find('did you mean "gcra"?', 1, true))
  end)
end)
