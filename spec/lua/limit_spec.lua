-- SPDX-License-Identifier: Apache-2.0

local limit = require "demilune.limit"
local test = require "demilune.test"

describe("limit", function()
  local n = 0

  local function limiter(options)
    n = n + 1
    options.scope = "limit_spec " .. n -- counts of its own
    return limit.new(options)
  end

  it("decides about a key of one's own", function()
    local l = limiter { limit = 2, window = 10 }
    local verdict = l:take_key "a"
    assert.equal(0, verdict.refused)
    assert.equal(2, verdict.limit)
    assert.equal(1, verdict.remaining)
    l:take_key "a"
    verdict = l:take_key "a"
    assert.equal(1, verdict.refused)
    assert.is_true(verdict.retry_after > 4 and verdict.retry_after <= 5)
    assert.equal(0, l:take_key("b").refused)
    test.clock.advance(6)
    assert.equal(0, l:take_key("a").refused)
  end)

  it("takes a cost, and refuses for ever what is above the burst", function()
    local l = limiter { limit = 10, window = 10 }
    assert.equal(2, l:take_key("a", 8).remaining)
    assert.equal(1, l:take_key("a", 3).refused)
    assert.is_true(l:take_key("a", 11).retry_after > 1e9)
  end)

  it("gives places back", function()
    local l = limiter { limit = 1, algorithm = "concurrent" }
    assert.equal(0, l:take_key("a").refused)
    assert.equal(1, l:take_key("a").refused)
    l:leave "a"
    assert.equal(0, l:take_key("a").refused)
  end)

  it("ends a stay that was never given back", function()
    local l = limiter { limit = 1, window = 5, algorithm = "concurrent" }
    l:take_key "a"
    test.clock.advance(6)
    assert.equal(0, l:take_key("a").refused)
  end)

  it("gives back what a later limit refuses", function()
    local l = limiter { limits = { { limit = 1, algorithm = "concurrent" }, { limit = 1, window = 60 } } }
    l:take_key "a"
    l:leave "a"
    assert.equal(1, l:take_key("a").refused) -- by the second
    test.clock.advance(61)
    assert.equal(0, l:take_key("a").refused) -- so the first must be free
  end)

  it("describes a verdict for the RateLimit fields", function()
    local l = limiter { limit = 5, window = 60 }
    local now, policy = l:describe(l:take_key "a")
    assert.equal('"default";r=4;t=12', now)
    assert.equal('"default";q=5;w=60', policy)
  end)

  it("refuses limits that are none", function()
    assert.has_error(function() limiter { limit = 0, window = 1 } end)
    assert.has_error(function() limiter { limit = 1, window = 0 } end)
    assert.has_error(function() limiter { limit = 1, window = 1, by = "nothing" } end)
    assert.has_error(function() limiter { limit = 1, window = 1, store = "none" } end,
      'the configuration has no store "none"')
  end)
end)
