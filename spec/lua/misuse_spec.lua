-- SPDX-License-Identifier: Apache-2.0

-- The library used as it should not be: it raises and says what is wrong, and whoever does so harms only himself. Objects
-- stand for memory of C, so a method without its object (a dot for a colon) must not get there.

local http = require "demilune.http"
local key = require "demilune.crypto.key"
local jwt = require "demilune.jwt"
local keyring = require "demilune.keyring"
local metrics = require "demilune.metrics"
local networks = require "demilune.networks"
local regex = require "demilune.regex"
local selector = require "demilune.selector"
local socket = require "demilune.socket"
local store = require "demilune.store"
local test = require "demilune.test"
local time = require "demilune.time"
local url = require "demilune.url"

local function raises(message, f, ...)
  local ok, told = pcall(f, ...)
  assert.is_false(ok)
  assert.matches(message, told, 1, true)
end

describe("a method that is called with a dot", function()
  local x

  before_each(function()
    x = test.exchange { method = "POST", body = "b" }
  end)

  local secret = key.secret(("k"):rep(32))
  local verifier = jwt.verifier { algorithms = { "HS256" }, keys = secret }
  local CASES = {
    ["store.set"] = { store.use().set, "key", "value", 5 },
    ["store.get"] = { store.use().get, "key", "value" },
    ["store.incr"] = { store.use().incr, "key", "other", 1 },
    ["store.delete"] = { store.use().delete, "key", "other" },
    ["store.ttl"] = { store.use().ttl, "key", "other" },
    ["store.gcra"] = { store.use().gcra, "key", "other", { limit = 1, window = 1 } },
    ["key.sign"] = { secret.sign, "HS256", "HS256", "text" },
    ["key.verify"] = { secret.verify, "HS256", "HS256", "text", "signature" },
    ["key.fits"] = { secret.fits, "HS256", "HS256" },
    ["regex.test"] = { assert(regex.compile "a").test, "text", "text" },
    ["verifier.verify"] = { verifier.verify, {}, "a.b.c", jwt.keys(secret) },
  }
  for name, case in pairs(CASES) do
    it("is told so: " .. name, function()
      raises("object:method(...)", unpack(case))
    end)
  end

  it("is told so where it needs an exchange", function()
    for _, case in pairs {
      { assert(networks.new { "10.0.0.0/8" }).has_client, {}, x.exchange },
      { keyring.new(1).add, "self", "secret", 1 },
      { keyring.new(1).identify, {}, assert(selector.template "{host}"), x.exchange },
      { assert(selector.template "{host}").value, {}, x.exchange },
    } do
      raises("object:method(...)", unpack(case))
    end
  end)
end)

describe("a metric", function()
  it("takes numbers only, and those that are any", function()
    local took = metrics.histogram("misused_seconds", "Help.", {}, { 1 })
    local size = metrics.gauge("misused_size", "Help.")
    local served = metrics.counter("misused_served_total", "Help.")
    raises("misused_seconds takes a number, not NaN", took.observe, took, 0 / 0)
    raises("misused_seconds takes a number, not a nil", took.observe, took)
    raises("misused_size takes a number, not a string", size.set, size, "1")
    raises("misused_size takes a number, not NaN", size.add, size, 0 / 0)
    raises("misused_served_total takes a number, not a table", served.add, served, {})
    raises("misused_served_total is a counter, which can't go down", served.add, served, -1)
  end)
end)

describe("an HTTP call", function()
  it("has options of the right kind, or none is made", function()
    local upstream = test.upstream()
    for message, options in pairs {
      ["redirects is a whole number from 0 to 50"] = { redirects = -1 },
      ["http.request: redirects is"] = { redirects = 0 / 0 },
      ["timeout is seconds, more than 0 and at most a day"] = { timeout = 0 / 0 },
      ["idle_timeout is seconds"] = { idle_timeout = -5 },
      ["connect_timeout is seconds"] = { connect_timeout = "1" },
      ["max_body is a whole number of bytes"] = { max_body = -1 },
      ["length is a whole number of bytes"] = { length = 0.5 },
      ["headers is a table"] = { headers = "a: b" },
      ["headers is a map"] = { headers = { "a" } },
      ["a header's value is a text, not a function"] = { headers = { a = print } },
      ["query is a table or a text"] = { query = 5 },
      ["a query's value is a text, not a table"] = { query = { a = { {} } } },
      ["body is a text, a table or a function"] = { body = 5 },
    } do
      raises(message, http.get, upstream.url, options)
    end
    raises("a piece of a body is a text, not a number", http.post, upstream.url, { body = function() return 5 end })
    raises("http.get: the options are a table, not a number", http.get, upstream.url, 5)
    assert.equal(0, #upstream.requests)
  end)

  it("does not go where the request line would get a second reading, and says so at once", function()
    local upstream = test.upstream()
    for _, options in ipairs {
      { query = "a b" }, { query = "a\r\nx: y" }, { query = "a#b" }, { query = "\0" }, { headers = { Host = "a b" } },
      { headers = { Host = "a\r\nx: y" } },
    } do
      assert.same({ nil, "syntax" }, { http.get(upstream.url, options) })
    end
    assert.equal(0, #upstream.requests)
  end)

  it("has one timeout, however often it is sent elsewhere", function()
    local again = { status = 302, headers = { location = "/again" }, delay = 0.2 }
    local upstream = test.upstream(function() return again end)
    assert.same({ nil, "timeout" }, { http.get(upstream.url, { redirects = 50, timeout = 0.5 }) })
    assert.is_true(#upstream.requests <= 3)
  end)
end)

describe("nil", function()
  it("is told from a text", function()
    raises("what url.encode takes is a text, not nil", url.encode)
    raises("what url.decode takes is a text, not nil", url.decode)
    raises("a regex searches a text, not a nil", regex.compile("a").test, regex.compile "a")
    raises("the host is a text, not a nil", socket.connect, nil, 80)
    raises("the port is a whole number from 0 to 65535", socket.connect, "127.0.0.1", 65536)
    local request = test.exchange().exchange.request
    raises("the name of a query parameter is a text", request.query_value, request)
    raises("the name of a header is a text", request.headers.all, request.headers)
  end)

  it("is no date", function()
    assert.same({ nil, "syntax" }, { time.parse() })
    assert.same({ nil, "syntax" }, { time.parse_http_date() })
  end)
end)

describe("test.exchange", function()
  it("ends what it can't make", function()
    raises("bad argument", test.exchange, { response = { status = {} } })
    assert.equal(200, test.exchange { response = { body = "x" } }.exchange.response.status)
  end)
end)
