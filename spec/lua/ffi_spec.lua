-- SPDX-License-Identifier: Apache-2.0

local border = require "demilune.ffi"

describe("the border to C", function()
  it("has a word for each error", function()
    for name, code in pairs(border.err) do
      assert.is_string(border.words[code], name)
    end
    assert.same({ nil, "timeout" }, { border.failed(border.err.TIMEOUT) })
    assert.same({ nil, "unknown" }, { border.failed(-1000) })
  end)

  it("finds the nearest name, also when it has been compiled", function()
    for _ = 1, 300 do
      assert.equal("status", border.nearest("stauts", { status = 1, headers = 1 }, { body = 1 }))
    end
    assert.equal("body", border.nearest("bdy", { status = 1 }, { body = 1 }))
    assert.is_nil(border.nearest("nothing", { status = 1, headers = 1 }))
  end)

  it("raises at the line of the caller who is not of the library", function()
    local function misuse() border.raise "wrong" end
    local ok, message = pcall(function() misuse() end)
    assert.is_false(ok)
    assert.truthy(message:find("ffi_spec.lua:%d+: wrong$"))
  end)

  it("takes numbers for texts, and nothing else", function()
    assert.equal("5", border.as_text(5, "x"))
    assert.has_error(function() border.as_text(nil, "x") end)
    assert.has_error(function() border.as_text(true, "x") end)
  end)
end)
