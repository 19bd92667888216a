-- SPDX-License-Identifier: Apache-2.0

local test = require "demilune.test"

describe("cors", function()
  local upstream

  setup(function()
    upstream = test.upstream(function()
      return 200, { ["Access-Control-Allow-Origin"] = "https://upstream.example", Vary = "Accept" }, "data"
    end)
  end)

  local function gateway(config)
    return test.gateway { upstream = upstream, plugins = { { name = "cors", config = config } } }
  end

  local function preflight(g, origin, method, headers)
    return g:options("/", { headers = {
      Origin = origin, ["Access-Control-Request-Method"] = method, ["Access-Control-Request-Headers"] = headers } })
  end

  local ONE = { origins = { "https://app.example" } }

  it("answers a preflight itself", function()
    local g = gateway { origins = { "https://app.example" }, methods = { "GET", "PUT" }, max_age = "10m" }
    local before = #upstream.requests
    local response = preflight(g, "https://app.example", "PUT", "x-a, authorization")
    assert.equal(204, response.status)
    assert.equal("https://app.example", response.headers["access-control-allow-origin"])
    assert.equal("GET, PUT", response.headers["access-control-allow-methods"])
    assert.equal("x-a, authorization", response.headers["access-control-allow-headers"])
    assert.equal("600", response.headers["access-control-max-age"])
    assert.truthy(response.headers.vary:find("Origin", 1, true))
    assert.equal(before, #upstream.requests)
  end)

  it("answers the preflights of a route that does not take OPTIONS itself", function()
    local cors = { { name = "cors", config = ONE } }
    local g = test.gateway { routes = {
      { name = "read", paths = { "/" }, methods = { "GET" }, upstream = upstream.url, plugins = cors },
      { name = "bare", paths = { "/bare" }, methods = { "GET" }, upstream = upstream.url },
    } }
    local before = #upstream.requests
    local response = preflight(g, "https://app.example", "GET")
    assert.equal(204, response.status)
    assert.equal("https://app.example", response.headers["access-control-allow-origin"])
    local put = preflight(g, "https://app.example", "PUT")
    assert.same({ 405, "GET, HEAD" }, { put.status, put.headers.allow })
    assert.equal(405, g:options("/").status)
    assert.equal(405, g:options("/bare", { headers = {
      Origin = "https://app.example", ["Access-Control-Request-Method"] = "GET" } }).status)
    assert.equal(before, #upstream.requests)
  end)

  it("does so when it is enabled for every request", function()
    local g = test.gateway { global = { { name = "cors", config = ONE } }, routes = {
      { name = "read", paths = { "/" }, methods = { "GET" }, respond = { body = "x" } },
    } }
    assert.equal(204, preflight(g, "https://app.example", "GET").status)
    assert.equal(405, preflight(g, "https://app.example", "PUT").status)
  end)

  it("tells a stranger's preflight nothing", function()
    local response = preflight(gateway(ONE), "https://evil.example", "PUT")
    assert.equal(204, response.status)
    for name in pairs(response.headers) do
      assert.is_nil(name:find("access-control", 1, true))
    end
  end)

  it("hands an OPTIONS that is no preflight to the upstream", function()
    assert.equal("data", gateway(ONE):options("/", { headers = { Origin = "https://app.example" } }).body)
  end)

  it("says who may read an answer, in place of the upstream", function()
    local g = gateway { origins = { "https://app.example" }, expose = { "X-Id" } }
    local response = g:get("/", { headers = { Origin = "https://app.example" } })
    assert.equal("https://app.example", response.headers["access-control-allow-origin"])
    assert.equal("X-Id", response.headers["access-control-expose-headers"])
    assert.equal("Accept, Origin", response.headers.vary)
    local other = g:get("/", { headers = { Origin = "https://evil.example" } })
    assert.is_nil(other.headers["access-control-allow-origin"])
    assert.equal("Accept, Origin", other.headers.vary)
    assert.is_nil(g:get("/").headers["access-control-allow-origin"])
  end)

  it("knows subdomains, and takes no lookalike for one", function()
    local g = gateway { origins = { "https://*.shop.example" } }
    local function allowed(origin)
      return g:get("/", { headers = { Origin = origin } }).headers["access-control-allow-origin"] == origin
    end
    assert.is_true(allowed "https://a.shop.example")
    assert.is_true(allowed "https://a.b.shop.example")
    assert.is_false(allowed "https://shop.example")
    assert.is_false(allowed "https://.shop.example")
    assert.is_false(allowed "https://evilshop.example")
    assert.is_false(allowed "http://a.shop.example")
    assert.is_false(allowed "https://a.shop.example.evil.example")
  end)

  it("allows everyone without naming anyone", function()
    local response = gateway({ origins = { "*" } }):get("/", { headers = { Origin = "https://x.example" } })
    assert.equal("*", response.headers["access-control-allow-origin"])
    assert.equal("Accept", response.headers.vary)
    assert.is_nil(response.headers["access-control-allow-credentials"])
  end)

  it("allows credentials to those who are named", function()
    local g = gateway { origins = { "https://app.example" }, credentials = true }
    local response = g:get("/", { headers = { Origin = "https://app.example" } })
    assert.equal("true", response.headers["access-control-allow-credentials"])
    local other = g:get("/", { headers = { Origin = "https://b.example" } })
    assert.is_nil(other.headers["access-control-allow-credentials"])
  end)

  it("names the method that is asked for where any is allowed, which holds with credentials too", function()
    local g = gateway { origins = { "https://app.example" }, methods = { "*" }, credentials = true }
    assert.equal("PURGE", preflight(g, "https://app.example", "PURGE").headers["access-control-allow-methods"])
    assert.is_nil(preflight(g, "https://b.example", "PURGE").headers["access-control-allow-methods"])
  end)

  it("refuses credentials for everyone, and what is no origin", function()
    local function faults(config)
      return test.faults { plugins = { { name = "cors", config = config } } }
    end
    local function refuses(message, config)
      local text = faults(config)
      assert.truthy(text and text:find(message, 1, true), text)
      assert.is_nil(text:find(message, text:find(message, 1, true) + 1, true))
    end
    refuses('config: credentials for the origin "*" would let every page act as the user: name the origins\n',
      { origins = { "https://a.example", "*" }, credentials = true })
    for _, origin in ipairs { "app.example", "https://app.example/path", "https://a.*.example" } do
      refuses(('origins[0]: expected an origin such as "https://app.example.com" or "https://*.example.com", or "*", '
        .. 'got "%s"'):format(origin), { origins = { origin } })
    end
    refuses('expected the name of a method such as PUT, got "GET POST"',
      { origins = { "*" }, methods = { "GET POST" } })
    refuses('plugins[0].config: "origins" is missing\n', { credentials = true })
    assert.is_nil(faults({ credentials = true }):find("would let every page", 1, true))
  end)
end)
