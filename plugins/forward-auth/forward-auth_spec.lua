-- SPDX-License-Identifier: Apache-2.0

local socket = require "demilune.socket"
local test = require "demilune.test"

local CONSUMERS = { { name = "acme", groups = { "gold" } }, { name = "bolt", groups = { "silver" } } }

describe("forward-auth", function()
  local upstream

  setup(function() upstream = test.upstream(function() return 200, {}, "inside" end) end)

  -- A gateway before a service that answers so.
  local function before(script, config, more)
    local service = test.upstream(script)
    config = config or {}
    config.url = config.url or service.url .. "/verify?a=1"
    local plugins = { { name = "forward-auth", config = config }, more }
    return test.gateway { upstream = upstream, consumers = CONSUMERS, plugins = plugins }, service
  end

  it("lets pass what the service lets pass, and tells it who asks for what", function()
    local g, service = before { status = 204 }
    local response = g:get("/a/b?c=d", { host = "wiki.example", headers = {
      Authorization = "Bearer x", Cookie = "a=1", ["X-Other"] = "y", ["X-Forwarded-Uri"] = "/mine",
      ["X-Forwarded-For"] = "192.0.2.1" } })
    assert.equal(200, response.status)
    assert.equal("inside", response.body)
    local asked = service:last()
    assert.same({ "GET", "/verify", "a=1" }, { asked.method, asked.path, asked.query })
    assert.same({ "Bearer x", "a=1", "GET", "http", "wiki.example", "/a/b?c=d", "127.0.0.1" }, {
      asked.headers.authorization, asked.headers.cookie, asked.headers["x-forwarded-method"],
      asked.headers["x-forwarded-proto"], asked.headers["x-forwarded-host"], asked.headers["x-forwarded-uri"],
      asked.headers["x-forwarded-for"] })
    assert.is_nil(asked.headers["x-other"])
    assert.equal("Bearer x", upstream:last().headers.authorization)
  end)

  it("asks for a request that does not say its host, too", function()
    local g, service = before { status = 204 }
    local s = assert(socket.connect(g.address))
    s:write "GET / HTTP/1.0\r\n\r\n"
    assert.matches("^HTTP/1.1 200", s:read_all(10000))
    s:close()
    assert.is_nil(service:last().headers["x-forwarded-host"])
  end)

  it("hands the body on to the upstream, and none of it to the service", function()
    local g, service = before({ status = 200 }, { method = "POST", request_headers = { "x-tenant" } })
    assert.equal(200, g:post("/", { body = "payload", headers = { ["X-Tenant"] = "t", Cookie = "a=1" } }).status)
    assert.equal("payload", upstream:last().body)
    assert.same({ "POST", "", "t" }, { service:last().method, service:last().body, service:last().headers["x-tenant"] })
    assert.is_nil(service:last().headers.cookie)
  end)

  it("takes over the fields that it is told, and never the client's own", function()
    local g = before({ status = 200, headers = { ["X-User"] = "ann", ["X-Secret"] = "s" } },
      { upstream_headers = { "X-User", "X-Email" } })
    g:get("/", { headers = { ["X-User"] = "root", ["x_user"] = "root", ["X-Email"] = "root@example" } })
    local headers = upstream:last().headers
    assert.equal("ann", headers["x-user"])
    for _, name in ipairs { "x_user", "x-email", "x-secret" } do
      assert.is_nil(headers[name], name)
    end
  end)

  it("hands refusals and redirects to the client", function()
    local count = #upstream.requests
    for status, headers in pairs {
      [401] = { ["WWW-Authenticate"] = 'Basic realm="x"' }, [403] = { ["Content-Type"] = "text/plain" },
      [302] = { Location = "https://login.example/?next=1" }, [307] = { Location = "/login" },
    } do
      headers["X-Internal"] = "1"
      local response = before({ status = status, headers = headers, body = "no" }):get "/"
      assert.equal(status, response.status)
      assert.equal("no", response.body)
      assert.is_nil(response.headers["x-internal"])
      headers["X-Internal"] = nil
      for name, value in pairs(headers) do
        assert.equal(value, response.headers[name:lower()])
      end
    end
    assert.equal(count, #upstream.requests)
  end)

  it("answers 503 when the service fails, answers oddly, or is silent", function()
    local count = #upstream.requests
    for _, script in ipairs {
      { status = 500 }, { status = 404 }, { status = 304 }, { reset = "head" }, { garbage = "no HTTP\r\n\r\n" },
      { stall = "head" }, { stall = "body", body = "some text" }, { status = 200, body = ("x"):rep(70000) },
    } do
      local response = before(script, { timeout = "200ms" }):get("/", { headers = { Authorization = "Bearer hush" } })
      assert.equal(503, response.status)
      assert.equal("application/problem+json", response.headers["content-type"])
      assert.is_nil(response.body:find("hush", 1, true))
    end
    assert.equal(503, before({}, { url = "http://127.0.0.1:1/" }):get("/").status)
    assert.equal(count, #upstream.requests)
  end)

  it("lets pass when the service fails, when told so, but no fields that it alone may set", function()
    local g = before({ status = 500 }, { on_failure = "allow", upstream_headers = { "X-User" } })
    assert.equal(200, g:get("/", { headers = { ["X-User"] = "root" } }).status)
    assert.is_nil(upstream:last().headers["x-user"])
    assert.equal(401, before({ status = 401 }, { on_failure = "allow" }):get("/").status)
  end)

  it("recognises the consumer that the service names", function()
    local acl = { name = "acl", config = { allow = { "gold" } } }
    for name, status in pairs { acme = 200, bolt = 403, nobody = 403, [""] = 403 } do
      local g = before({ status = 200, headers = { ["X-Consumer"] = name } },
        { consumer_from = "X-Consumer" }, acl)
      assert.equal(status, g:get("/", { headers = { ["X-Consumer"] = "acme" } }).status)
    end
  end)

  it("keeps one person's pages from others behind a cache", function()
    local service = test.upstream(function(request)
      return 200, { ["X-User"] = request.headers.cookie:match "^s=(.*)" }, ""
    end)
    local pages = test.upstream(function(request)
      return 200, { ["Cache-Control"] = "max-age=60" }, request.headers["x-user"]
    end)
    local g = test.gateway { upstream = pages, plugins = {
      { name = "forward-auth", config = { url = service.url .. "/", upstream_headers = { "X-User" } } },
      { name = "cache", config = { ttl = "1m" } } } }
    for _, name in ipairs { "ann", "bob", "ann" } do
      assert.equal(name, g:get("/", { headers = { Cookie = "s=" .. name } }).body)
    end
  end)

  it("asks an upstream of the configuration", function()
    local service = test.upstream { status = 403, body = "no" }
    local g = test.gateway { upstream = upstream, plugins = {
      { name = "forward-auth", config = { upstream = "judge", path = "/ask?x" } } },
      config = { upstreams = { { name = "judge", endpoints = { { address = service.address } } } } } }
    assert.equal(403, g:get("/").status)
    assert.same({ "/ask", "x" }, { service:last().path, service:last().query })
  end)

  it("finds faults in its config", function()
    local function faults(config, on_error)
      return test.faults { plugins = { { name = "forward-auth", config = config, on_error = on_error } } }
    end
    assert.matches('expected "url", or "upstream"', faults {})
    assert.matches("config", faults { url = "http://a/", upstream = "b" })
    assert.matches('no upstream "b"', faults { upstream = "b" })
    assert.matches("config.url", faults { url = "ftp://a/" })
    assert.matches("belongs to the connection", faults { url = "http://a/", request_headers = { "content-length" } })
    assert.matches("config.timeout", faults { url = "http://a/", timeout = "0s" })
    assert.matches("on_error", faults({ url = "http://a/" }, "continue"))
  end)
end)
