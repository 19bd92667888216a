-- SPDX-License-Identifier: Apache-2.0

local store = require "demilune.store"
local task = require "demilune.task"
local test = require "demilune.test"

describe("store", function()
  local s = store.use()

  after_each(function()
    for _, key in ipairs { "k", "n", "once", "big" } do
      s:delete(key)
    end
  end)

  it("keeps texts, numbers and booleans apart", function()
    for _, value in ipairs { "text", "", "a\0b", "12", 12, 0.1, -3, true, false } do
      assert.is_true(s:set("k", value))
      assert.equal(value, (s:get "k"))
    end
  end)

  it("says what is not there", function()
    assert.same({ nil, "not_found" }, { s:get "k" })
    assert.same({ nil, "not_found" }, { s:delete "k" })
    assert.same({ nil, "not_found" }, { s:ttl "k" })
  end)

  it("adds only what is new", function()
    assert.is_true(s:add("k", 1))
    assert.same({ nil, "exists" }, { s:add("k", 2) })
    assert.equal(1, (s:get "k"))
  end)

  it("changes only what is as it was", function()
    assert.same({ nil, "not_found" }, { s:cas("k", 1, 2) })
    s:set("k", 1)
    assert.same({ nil, "exists" }, { s:cas("k", 2, 3) })
    assert.same({ nil, "exists" }, { s:cas("k", "1", 3) })
    assert.is_true(s:cas("k", 1, "two", 60))
    assert.equal("two", s:get "k")
    assert.is_true(s:ttl "k" > 50)
    assert.is_true(s:cas("k", "two", false))
    assert.is_false(s:get "k")
    assert.has_error(function() s:cas("k", nil, 1) end)
  end)

  it("forgets after the time to live", function()
    s:set("k", "v", 5)
    assert.is_true(s:ttl "k" > 4)
    test.clock.advance(6)
    assert.same({ nil, "not_found" }, { s:get "k" })
    s:set("k", "v")
    assert.equal(0, (s:ttl "k"))
  end)

  it("counts, and a counter ends with its first time to live", function()
    assert.equal(1, s:incr("n", 1, 10))
    assert.equal(3.5, s:incr("n", 2.5, 1000))
    assert.is_true(s:ttl "n" <= 10)
    test.clock.advance(11)
    assert.equal(1, s:incr("n"))
    s:set("k", "text")
    assert.same({ nil, "bad_argument" }, { s:incr "k" })
  end)

  it("counts against a limit", function()
    local options = { limit = 2, window = 10 }
    assert.equal(1, s:gcra("k", options).remaining)
    assert.equal(0, s:gcra("k", options).refused)
    local verdict = s:gcra("k", options)
    assert.equal(1, verdict.refused)
    assert.is_true(verdict.retry_after > 4 and verdict.retry_after <= 5)
    test.clock.advance(5)
    assert.equal(0, s:gcra("k", options).refused)
    assert.equal(1, s:gcra("k", { limit = 2, window = 10, cost = 3 }).refused)
    s:delete "k"
    assert.equal(1, s:gcra("k", options).remaining)
  end)

  it("counts in windows", function()
    test.clock.advance(10 - require("demilune.time").monotonic() % 10) -- a window begins
    local options = { limit = 2, window = 10 }
    assert.equal(0, s:window("n", { limit = 2, window = 10, cost = 2 }).remaining)
    assert.equal(1, s:window("n", options).refused)
    assert.equal(0, s:window("k", { limit = 2, window = 10, cost = 2, sliding = true }).remaining)
    test.clock.advance(10)
    assert.equal(1, s:window("n", options).remaining)
    assert.equal(1, s:window("k", { limit = 2, window = 10, sliding = true }).refused)
  end)

  it("keeps counts and values apart", function()
    s:gcra("k", { limit = 1, window = 60 })
    assert.same({ nil, "bad_argument" }, { s:get "k" })
    assert.has_error(function() s:gcra("k", { limit = 0, window = 1 }) end)
    assert.has_error(function() s:window("k", { limit = 1, window = 0 }) end)
  end)

  it("refuses what is too large, and what is no value", function()
    assert.same({ nil, "full" }, { s:set("big", ("x"):rep(64 * 2 ^ 20)) })
    assert.has_error(function() s:set("k", {}) end, "a store holds texts, numbers and booleans, not a table")
    assert.has_error(function() s:set("", 1) end)
    assert.has_error(function() s:set("k", 1, -1) end)
    assert.has_error(function() store.use "none" end, 'the configuration has no store "none"')
  end)

  it("runs a function once for all who want its value", function()
    local runs = 0
    local function make()
      runs = runs + 1
      task.sleep(0.02)
      return "made"
    end
    local results = task.all {
      function() return s:once("once", 60, make) end, function() return s:once("once", 60, make) end,
      function() return s:once("once", 60, make) end,
    }
    assert.same({ "made", "made", "made" }, results)
    assert.equal(1, runs)
    assert.equal("made", s:once("once", 60, make))
    assert.equal(1, runs)
  end)

  it("lets the next one try when the first fails", function()
    local runs = 0
    local function make()
      runs = runs + 1
      task.sleep(0.01)
      if runs == 1 then
        return nil, "broken"
      end
      return runs
    end
    local first = task.spawn(function() return s:once("once", 60, make) end)
    local second = task.spawn(function() return s:once("once", 60, make) end)
    assert.same({ nil, "broken" }, { first:join() })
    assert.equal(2, (second:join()))
  end)

  it("lets the next one try when the first raises", function()
    local runs = 0
    local function make()
      runs = runs + 1
      task.sleep(0.01)
      if runs == 1 then
        error "boom"
      end
      return true
    end
    local first = task.spawn(function() return pcall(s.once, s, "once", 60, make) end)
    local second = task.spawn(function() return s:once("once", 60, make) end)
    local ok, message = first:join()
    assert.is_false(ok)
    assert.truthy(message:find "boom")
    assert.is_true((second:join()))
  end)
end)
