-- SPDX-License-Identifier: Apache-2.0

local test = require "demilune.test"

describe("respond", function()
  local upstream

  setup(function()
    upstream = test.upstream { body = "upstream" }
  end)

  it("answers with status, fields and body of templates, and asks no upstream", function()
    local g = test.gateway { upstream = upstream, plugins = { { name = "respond", config = {
      status = 503, headers = { ["Retry-After"] = 600, ["X-Empty"] = "{header:x-none}" },
      body = "no {path}, {{client_ip}",
    } } } }
    local response = g:get "/shop"
    assert.equal(503, response.status)
    assert.equal("600", response.headers["retry-after"])
    assert.is_nil(response.headers["x-empty"])
    assert.equal("no /shop, {client_ip}", response.body)
    assert.equal(0, #upstream.requests)
  end)

  it("answers only requests that have a part", function()
    local g = test.gateway { upstream = upstream, plugins = { { name = "respond", config = {
      body = "aside", when = "header:x-aside" } } } }
    assert.equal("upstream", g:get("/").body)
    assert.equal("aside", g:get("/", { headers = { ["X-Aside"] = "1" } }).body)
  end)

  it("ends the chain", function()
    local g = test.gateway { upstream = upstream, plugins = {
      { name = "respond", config = { body = "first" } }, { name = "respond", config = { body = "second" } } } }
    assert.equal("first", g:get("/").body)
  end)

  it("answers a route that has nothing else; what it leaves is 404", function()
    local g = test.gateway { routes = { { name = "aside", paths = { "/aside" }, plugins = {
      { name = "respond", config = { body = "aside", when = "header:x-aside" } } } } } }
    assert.equal("aside", g:get("/aside", { headers = { ["X-Aside"] = "1" } }).body)
    assert.equal(404, g:get("/aside").status)
  end)

  it("a route that nothing answers is a fault", function()
    local route = { name = "none", paths = { "/" }, plugins = { { name = "request-id" } } }
    local faults = test.faults { routes = { route } }
    assert.truthy(faults:find("a route has exactly one of upstream, respond and redirect; or none, and", 1, true))
    faults = test.faults { global = { { name = "respond" } }, routes = { { name = "none", paths = { "/" } } } }
    assert.truthy(faults:find("a route has exactly one of", 1, true))
    faults = test.faults { routes = { { name = "none", paths = { "/" }, plugins = { { name = "respnd" } } } } }
    assert.falsy(faults:find("a route has exactly one of", 1, true))
  end)

  it("finds faults in its templates", function()
    assert.truthy(test.faults { plugins = { { name = "respond", config = { body = "{nothing}" } } } }:find "nothing")
    assert.truthy(test.faults { plugins = { { name = "respond", config = { status = 101 } } } }:find "at least 200")
    local no_content = test.faults { plugins = { { name = "respond", config = { status = 204, body = "{path}" } } } }
    assert.truthy(no_content:find("config.body: an answer with status 204 has no body", 1, true))
  end)
end)
