-- SPDX-License-Identifier: Apache-2.0

-- The library used as it should not be: it raises and says what is wrong, and whoever does so harms only himself. Objects
-- stand for memory of C, so a method without its object (a dot for a colon) must not get there.

local key = require "demilune.crypto.key"
local jwt = require "demilune.jwt"
local keyring = require "demilune.keyring"
local metrics = require "demilune.metrics"
local networks = require "demilune.networks"
local regex = require "demilune.regex"
local selector = require "demilune.selector"
local store = require "demilune.store"
local test = require "demilune.test"

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

describe("test.exchange", function()
  it("ends what it can't make", function()
    raises("bad argument", test.exchange, { response = { status = {} } })
    assert.equal(200, test.exchange { response = { body = "x" } }.exchange.response.status)
  end)
end)
