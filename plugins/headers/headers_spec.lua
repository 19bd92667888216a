-- SPDX-License-Identifier: Apache-2.0

local test = require "demilune.test"

describe("headers", function()
  local upstream

  setup(function()
    upstream = test.upstream(function()
      return 200, { ["X-Powered-By"] = "test", ["X-One"] = "1" }, "body"
    end)
  end)

  local function gateway(config, more)
    local options = { upstream = upstream, plugins = { { name = "headers", config = config } } }
    for key, value in pairs(more or {}) do
      options[key] = value
    end
    return test.gateway(options)
  end

  it("sets, adds, defaults and removes in the request", function()
    local g = gateway { request = {
      set = { ["X-Set"] = "{method} {path}" }, add = { ["X-Add"] = "2" },
      default = { ["X-Default"] = "d", ["X-Own"] = "d" }, remove = { "Cookie" },
    } }
    g:get("/p", { headers = { ["X-Set"] = "old", ["X-Add"] = "1", ["X-Own"] = "own", Cookie = "a=b" } })
    local seen = upstream:last().headers
    assert.equal("GET /p", seen["x-set"])
    assert.equal("1, 2", seen["x-add"])
    assert.equal("d", seen["x-default"])
    assert.equal("own", seen["x-own"])
    assert.is_nil(seen.cookie)
  end)

  it("does the same in the response, and knows its parts", function()
    local g = gateway { response = {
      set = { ["X-Status"] = "{status}", ["X-Echo"] = "{response:x-one}" }, remove = { "X-Powered-By" },
      default = { ["X-One"] = "2", ["X-Two"] = "2" }, add = { ["X-One"] = "3" },
    } }
    local response = g:get "/"
    assert.equal("200", response.headers["x-status"])
    assert.equal("1", response.headers["x-echo"])
    assert.is_nil(response.headers["x-powered-by"])
    assert.equal("1, 3", response.headers["x-one"])
    assert.equal("2", response.headers["x-two"])
  end)

  it("sets the host of a request, which is one", function()
    local g = gateway { request = { set = { Host = "{query:to}", ["X-Host"] = "{host}" } } }
    g:get "/?to=new.example:81"
    assert.equal("new.example:81", upstream:last().headers.host)
    assert.equal("new.example", upstream:last().headers["x-host"])
    g:get("/?to=a/b", { host = "own.example" }) -- no host: it stays as it was
    assert.equal("own.example", upstream:last().headers.host)
    for _, changes in ipairs { { remove = { "host" } }, { add = { Host = "x" } } } do
      local faults = test.faults { plugins = { { name = "headers", config = { request = changes } } } }
      assert.matches("a request has exactly one: it can only be set", faults, 1, true)
    end
    local faults = test.faults { plugins = { { name = "headers", config = { request = { set = { host = "a b" } } } } } }
    assert.matches("not a value that a header field may have", faults, 1, true)
  end)

  it("removes what a template leaves empty, so that the client's own never stands in for it", function()
    gateway { request = { set = { ["X-Tenant"] = "{header:x-other}" } } }
      :get("/", { headers = { ["X-Tenant"] = "forged" } })
    assert.is_nil(upstream:last().headers["x-tenant"])
  end)

  it("takes the lookalike away too", function()
    gateway { request = { set = { ["X-Tenant"] = "t" } } }:get("/", { headers = { ["X_Tenant"] = "forged" } })
    assert.equal("t", upstream:last().headers["x-tenant"])
    assert.is_nil(upstream:last().headers["x_tenant"])
  end)

  it("names path parameters", function()
    local g = gateway(nil, { routes = { {
      name = "item", paths = { "/items/{id}" }, upstream = upstream.url,
      plugins = { { name = "headers", config = { request = { set = { ["X-Item"] = "{id}" } } } } },
    } } })
    g:get "/items/a%20b"
    assert.equal("a b", upstream:last().headers["x-item"])
  end)

  it("never lets a decoded parameter break out of its field", function()
    local g = gateway { request = { set = { ["X-Q"] = "{query:q}" } } }
    local response = g:get "/?q=a%0d%0aX-Evil:%201"
    assert.equal(200, response.status)
    assert.is_nil(upstream:last().headers["x-evil"])
    assert.is_nil(upstream:last().headers["x-q"])
  end)

  it("runs for the gateway's own errors", function()
    local g = test.gateway { upstream = "http://127.0.0.1:1",
      plugins = { { name = "headers", config = { response = { set = { ["X-Here"] = "yes" } } } } } }
    local response = g:get "/"
    assert.equal(502, response.status)
    assert.equal("yes", response.headers["x-here"])
  end)

  it("keeps its place among others", function()
    local g = gateway(nil, { plugins = {
      { name = "headers", config = { response = { add = { ["X-Order"] = "3" } } } },
      { name = "request-id" },
      { name = "headers", config = { response = { set = { ["X-Order"] = "2" } } } },
      { name = "cors", config = { origins = { "*" } } },
      { name = "headers", config = { request = { set = { ["X-In"] = "{header:x-request-id}" } },
        response = { set = { ["X-Order"] = "1" }, remove = { "Access-Control-Allow-Origin" } } } },
    } })
    local response = g:get("/", { headers = { Origin = "https://a.example" } })
    assert.equal("2, 3", response.headers["x-order"])
    assert.equal("*", response.headers["access-control-allow-origin"])
    assert.equal(response.headers["x-request-id"], upstream:last().headers["x-in"])
  end)

  it("refuses what can't be", function()
    local function faults(config)
      return test.faults { plugins = { { name = "headers", config = config } } }
    end
    assert.truthy(faults({ request = { set = { ["Content-Length"] = "1" } } }):find("gateway's own", 1, true))
    assert.truthy(faults({ request = { set = { ["X Y"] = "1" } } }):find("header field", 1, true))
    assert.truthy(faults({ request = { set = { ["X-Y"] = "{nothing}" } } }):find("nothing", 1, true))
    assert.truthy(faults({ request = { set = { ["X-Y"] = "{status}" } } }):find("status", 1, true))
    assert.truthy(faults({ request = { sett = {} } }):find('did you mean "set"?', 1, true))
  end)
end)
