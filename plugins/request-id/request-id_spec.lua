-- SPDX-License-Identifier: Apache-2.0

local test = require "demilune.test"

local UUID = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"

describe("request-id", function()
  local upstream

  setup(function()
    upstream = test.upstream(function(request) return 200, {}, request.headers["x-request-id"] or "none" end)
  end)

  local function gateway(config, trusted)
    return test.gateway {
      upstream = upstream, global = { { name = "request-id", config = config } },
      config = { trusted_proxies = trusted and { "127.0.0.1" } or nil },
    }
  end

  it("gives each request an id and hands it on both ways", function()
    local g = gateway()
    local first, second = g:get "/", g:get "/"
    assert.truthy(first.body:find(UUID))
    assert.equal(first.body, first.headers["x-request-id"])
    assert.are_not.equal(first.body, second.body)
  end)

  it("does not believe a stranger", function()
    local response = gateway():get("/", { headers = { ["X-Request-ID"] = "mine" } })
    assert.truthy(response.body:find(UUID))
  end)

  it("takes the id of a trusted proxy over", function()
    local response = gateway(nil, true):get("/", { headers = { ["X-Request-ID"] = "mine-1" } })
    assert.equal("mine-1", response.body)
    assert.equal("mine-1", response.headers["x-request-id"])
  end)

  it("takes anyone's over, or nobody's, when told so", function()
    assert.equal("mine", gateway({ accept = "always" }):get("/", { headers = { ["X-Request-ID"] = "mine" } }).body)
    local never = gateway({ accept = "never" }, true):get("/", { headers = { ["X-Request-ID"] = "mine" } })
    assert.truthy(never.body:find(UUID))
  end)

  it("replaces what is not fit for a log", function()
    local g = gateway { accept = "always" }
    for _, id in ipairs { ("x"):rep(129), 'a"b', "a b", "a\\b" } do
      assert.truthy(g:get("/", { headers = { ["X-Request-ID"] = id } }).body:find(UUID), id)
    end
    assert.equal(("x"):rep(128), g:get("/", { headers = { ["X-Request-ID"] = ("x"):rep(128) } }).body)
  end)

  it("covers answers of the gateway itself, and is the id that they tell", function()
    local g = test.gateway { global = { "request-id" },
      routes = { { name = "a", paths = { "/a" }, respond = { status = 200 } } } }
    local response = g:get "/b"
    assert.equal(404, response.status)
    assert.truthy(response.body:find('"request_id":"' .. response.headers["x-request-id"] .. '"', 1, true))
  end)

  it("works on one route, and with another field", function()
    local g = test.gateway { upstream = upstream,
      plugins = { { name = "request-id", config = { header = "X-Trace" } } } }
    local response = g:get "/"
    assert.truthy(response.headers["x-trace"]:find(UUID))
    assert.equal("none", response.body)
  end)
end)
