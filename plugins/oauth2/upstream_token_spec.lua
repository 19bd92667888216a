-- SPDX-License-Identifier: Apache-2.0

-- Requests that go upstream with a token of the gateway's own.

local json = require "demilune.json"
local task = require "demilune.task"
local test = require "demilune.test"

describe("oauth2 toward upstreams", function()
  local issuer, upstream

  before_each(function()
    issuer = test.issuer { lifetime = 600 }
    upstream = test.upstream(function(request) return 200, {}, request.headers.authorization or "none" end)
  end)

  local function gateway(more, plugin)
    local options = {
      token_endpoint = issuer.url .. "/token", client_id = "client", client_secret = "secret", scopes = { "orders" },
    }
    for name, value in pairs(more or {}) do
      options[name] = value or nil
    end
    plugin = plugin or {}
    plugin.upstream_token = options
    return test.gateway { upstream = upstream, plugins = { { name = "oauth2", config = plugin } } }
  end

  it("gives them one, in place of what the client has sent", function()
    local g = gateway { parameters = { audience = "orders" } }
    local token = g:get("/", { headers = { Authorization = "Basic YTpi" } }).body:match "^Bearer (.*)$"
    assert.equal("orders", issuer.tokens[token].scope)
    assert.truthy(issuer.requests[#issuer.requests].body:find("audience=orders", 1, true))
    assert.equal("Bearer " .. token, g:get("/").body)
    assert.equal(1, issuer:count "token")
  end)

  it("gives none to a place that does not know the secret", function()
    local routes = {}
    for i, secret in ipairs { "secret", "guess" } do
      routes[i] = { name = secret, paths = { "/" .. secret }, upstream = upstream.url, plugins = { {
        name = "oauth2", config = { upstream_token = {
          token_endpoint = issuer.url .. "/token", client_id = "client", client_secret = secret,
        } },
      } } }
    end
    local g = test.gateway { upstream = upstream, config = { routes = routes } }
    assert.equal(200, g:get("/secret").status)
    assert.equal(503, g:get("/guess").status)
  end)

  it("has it before the first request, once for twenty at a time", function()
    local g = gateway()
    test.eventually(function() return issuer:count "token" == 1 end, nil, 10)
    local work = {}
    for i = 1, 20 do
      work[i] = function() return g:get("/").body end
    end
    for _, body in ipairs(task.all(work)) do
      assert.truthy(body:find "^Bearer ")
    end
    assert.equal(1, issuer:count "token")
  end)

  it("renews it ahead of its end, while the old one still serves", function()
    local g = gateway()
    local first = g:get("/").body
    test.clock.advance(545)
    issuer:script("token", { status = 503 })
    for _ = 1, 5 do
      assert.equal(first, g:get("/").body)
    end
    test.eventually(function() return issuer:count "token" == 2 end, nil, 10)
    issuer:script("token", nil)
    test.clock.advance(3)
    assert.equal(first, g:get("/").body)
    test.eventually(function() return g:get("/").body ~= first end, nil, 10)
    assert.equal(3, issuer:count "token")
  end)

  it("says 503 without one, and asks now and then", function()
    for _, script in ipairs { { status = 503 }, { reset = "head" },
      { status = 401, body = '{"error":"invalid_client"}' },
      { status = 200, body = '{"access_token":"a\\r\\nX: y","token_type":"Bearer"}' },
      { status = 200, body = '{"access_token":"a","token_type":"mac"}' } } do
      issuer = test.issuer()
      issuer:script("token", script)
      local g = gateway()
      for _ = 1, 5 do
        local response = g:get "/"
        assert.same({ 503, "2" }, { response.status, response.headers["retry-after"] })
      end
      assert.equal(1, issuer:count "token")
      issuer:script("token", nil)
      test.clock.advance(3)
      assert.truthy(g:get("/").body:find "^Bearer ")
    end
    assert.equal(0, #upstream.requests - 5)
  end)

  it("finds the endpoint by the issuer's metadata, and proves itself in the form when told so", function()
    local g = gateway { token_endpoint = false, issuer = issuer.url, client_auth = "post" }
    assert.truthy(g:get("/").body:find "^Bearer ")
    local request = issuer.requests[#issuer.requests]
    assert.is_nil(request.headers.authorization)
    assert.truthy(request.body:find("client_secret=secret", 1, true))
  end)

  it("takes the client's token, and gives the upstream another", function()
    local g = gateway({ token_endpoint = false }, { issuer = issuer.url, audience = "api" })
    assert.equal(401, g:get("/").status)
    local own = issuer:token()
    local body = g:get("/", { headers = { Authorization = "Bearer " .. own } }).body
    assert.truthy(body:find "^Bearer ")
    assert.not_equal("Bearer " .. own, body)
  end)

  it("verifies the issuer's certificate, by the authorities of ca where they are given", function()
    local tls = test.upstream { tls = true, handler = function()
      return 200, {}, json.encode { access_token = "t", token_type = "Bearer", expires_in = 60 }
    end }
    assert.equal(503, gateway({ token_endpoint = tls.url .. "/token" }):get("/").status)
    assert.equal("Bearer t",
      gateway({ token_endpoint = tls.url .. "/token", client_id = "b" }, { ca = tls.ca_file }):get("/").body)
  end)

  it("wants to know where tokens are asked for", function()
    local text = test.faults { plugins = { { name = "oauth2", config = {
      upstream_token = { client_id = "c", client_secret = "s" },
    } } } }
    assert.truthy(text:find("upstream_token.token_endpoint: missing", 1, true), text)
  end)
end)
