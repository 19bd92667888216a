-- SPDX-License-Identifier: Apache-2.0

local task = require "demilune.task"

describe("task", function()
  it("gives a task's results where it is joined", function()
    local t = task.spawn(function(a, b)
      task.sleep(0.001)
      return a + b, "more"
    end, 1, 2)
    assert.same({ 3, "more" }, { t:join() })
    assert.same({ 3, "more" }, { t:join() }) -- as often as one likes
    assert.equal("returned", t:state())
  end)

  it("gives what fails as values", function()
    assert.same({ nil, "no_luck" }, { task.spawn(function() return nil, "no_luck" end):join() })
  end)

  it("raises in the one who joins what was raised", function()
    local t = task.spawn(function() error("oops", 0) end)
    local ok, message = pcall(t.join, t)
    assert.is_false(ok)
    assert.truthy(message:find("oops", 1, true))
    assert.equal("raised", t:state())
  end)

  it("joins several", function()
    local a = task.spawn(function() task.sleep(0.002) return "a" end)
    local b = task.spawn(function() return "b" end)
    assert.same({ "a", "b" }, { task.join(a, b) })
  end)

  it("runs all side by side and keeps results and errors apart", function()
    local results, errors = task.all {
      slow = function() task.sleep(0.002) return 1 end,
      bad = function() return nil, "timeout" end,
      nothing = function() end,
    }
    assert.same({ slow = 1 }, results)
    assert.same({ bad = "timeout" }, errors)
  end)

  it("takes the first of any and cancels the others", function()
    local word
    local value, key = task.any {
      slow = function() word = select(2, task.sleep(60)) return 1 end,
      quick = function() task.sleep(0.001) return 2 end,
    }
    assert.same({ 2, "quick" }, { value, key })
    task.sleep(0.001)
    assert.equal("cancelled", word)
  end)

  it("says why when none of any has a value", function()
    assert.same({ nil, "no" }, { task.any { function() return nil, "no" end } })
  end)

  it("ends waits at a deadline, and only there", function()
    local function wait() return task.sleep(60) end
    assert.same({ nil, "timeout" }, { task.deadline(0.002, wait) })
    assert.is_true(task.sleep(0.001))
    local left = task.deadline(5, task.time_left)
    assert.is_true(left > 4 and left <= 5)
    left = task.deadline(1, task.deadline, 60, task.time_left)
    assert.is_true(left <= 1) -- an inner one can't be longer
  end)

  it("gives a deadline on to what is spawned", function()
    local t = task.deadline(0.002, function()
      return task.spawn(function() return task.sleep(60) end)
    end)
    assert.same({ nil, "timeout" }, { t:join() })
  end)

  it("repeats until it is cancelled", function()
    local n = 0
    local t = task.every(0.001, function() n = n + 1 end)
    while n < 3 do
      task.sleep(0.001)
    end
    t:cancel()
    task.sleep(0.01)
    local seen = n
    task.sleep(0.01)
    assert.equal(seen, n)
    assert.has_error(function() task.every(0, function() end) end, "every: seconds, 0.001 or more")
  end)

  it("cancels the children with their parent", function()
    local child
    task.spawn(function()
      child = task.spawn(function() return task.sleep(60) end)
    end):join()
    assert.same({ nil, "cancelled" }, { child:join() })
  end)

  it("does not wait for itself", function()
    local t
    t = task.spawn(function() return pcall(t.join, t) end)
    local ok, message = t:join()
    assert.is_false(ok)
    assert.truthy(message:find "can't wait for itself")
  end)

  it("passes waits through coroutines of one's own", function()
    local numbers = coroutine.wrap(function()
      for i = 1, 3 do
        task.sleep(0.001)
        coroutine.yield(i)
      end
    end)
    assert.same({ 1, 2, 3 }, { numbers(), numbers(), numbers() })
  end)
end)
