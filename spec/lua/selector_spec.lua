-- SPDX-License-Identifier: Apache-2.0

local selector = require "demilune.selector"
local test = require "demilune.test"

describe("selector", function()
  local request = test.exchange {
    method = "POST", path = "/a/b", query = "q=1%202", client_ip = "192.0.2.7",
    headers = { ["X-Tenant"] = "acme", Cookie = "s=1; t=2" },
  }

  local function value(text)
    return assert(selector.selector(text)):value(request.exchange)
  end

  it("finds parts of a request", function()
    assert.equal("POST", value "method")
    assert.equal("/a/b", value "path")
    assert.equal("192.0.2.7", value "client_ip")
    assert.equal("acme", value "header:x-tenant")
    assert.equal("1 2", value "query:q")
    assert.equal("2", value "cookie:t")
    assert.is_nil(value "header:x-none")
  end)

  it("makes texts of templates", function()
    local template = assert(selector.template "{method}-{header:x-tenant}-{{x}")
    assert.equal("POST-acme-{x}", template:value(request.exchange))
    assert.is_nil(assert(selector.template "{header:x-none}"):value(request.exchange))
    assert.equal("constant", assert(selector.template "constant"):value(request.exchange))
  end)

  it("knows which parameters the place has", function()
    assert.is_table(selector.template("{name}", { params = { "name" } }))
    assert.is_nil((selector.template("{name}", { params = { "other" } })))
    assert.is_nil((selector.template "{name}"))
    assert.is_table(selector.selector "param:name")
  end)

  it("knows what only answers have", function()
    assert.is_nil((selector.selector "status"))
    assert.is_table(selector.selector("status", nil, { response = true }))
  end)

  it("names the near word", function()
    local _, message = selector.selector "client_op"
    assert.truthy(message:find("client_ip", 1, true))
  end)

  it("finds nothing when the exchange has ended", function()
    local gone = test.exchange {}
    local exchange = gone.exchange
    gone:close()
    assert.is_nil(assert(selector.selector "method"):value(exchange))
  end)
end)

describe("metrics", function()
  local metrics = require "demilune.metrics"

  it("makes counters, gauges and histograms, and finds the same again", function()
    local counter = metrics.counter("spec_things_total", "Things.", { "kind", "size" })
    counter:inc("a", "big")
    counter:add(2, "a", "big")
    counter:inc("b", 7)
    metrics.counter("spec_things_total", "Things.", { "kind", "size" }):inc("a", "big")
    metrics.gauge("spec_level", "Level."):add(1.5)
    metrics.histogram("spec_seconds", "Seconds.", {}, { 0.1, 1 }):observe(0.5)
  end)

  it("refuses names that are taken by another shape, or are none", function()
    assert.has_error(function() metrics.gauge("spec_things_total", "Things.", { "kind" }) end)
    assert.has_error(function() metrics.counter("not a name", "Things.") end)
    assert.has_error(function() metrics.counter "spec_x" end)
  end)
end)

describe("log", function()
  local log = require "demilune.log"

  it("takes a text and fields, and nothing else", function()
    log.debug("below the level", { a = 1 })
    assert.has_error(function() log.info(12) end, "log.info wants a text, not a number")
    assert.has_error(function() log.info("text", "field") end, "log.info: the fields are a table")
  end)
end)
