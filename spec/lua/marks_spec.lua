-- SPDX-License-Identifier: Apache-2.0

package.path = "./?.lua;" .. package.path

local flood = require "spec.support.flood"
local marks = require "demilune.marks"
local test = require "demilune.test"

describe("marks", function()
  before_each(function()
    test.gateway { config = { stores = { { name = "marks", size = "64KiB" } } } }
  end)

  it("tell the first time from every other, until their time is over", function()
    assert.same({ false, true, false, true },
      { marks.has "a", marks.first("a", 10), marks.first("a", 10), marks.has "a" })
    test.clock.advance(11)
    assert.same({ false, true }, { marks.has "a", marks.first("a", 10) })
    marks.forget "a"
    assert.is_true(marks.first("a", 10))
  end)

  it("say that they can't tell when there is no room, and forget none", function()
    assert.is_true(marks.first("a", 100))
    flood.marks(60)
    assert.is_false(marks.first("a", 100))
    assert.is_nil(marks.first("something else", 10))
    test.clock.advance(61)
    assert.is_true(marks.first("something else", 10))
    assert.is_false(marks.first("a", 100))
  end)
end)
