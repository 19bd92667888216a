-- SPDX-License-Identifier: Apache-2.0

-- What an editor is told of a plugin's schema: it must take all that the check takes, and refuse a mistyped key.

local json = require "demilune.json"
local editor = require "demilune.schema.editor"
local schema = require "demilune.schema"

local SOURCE = {
  type = "object",
  properties = {
    limit = { type = "integer", minimum = 1, description = "How many." },
    window = { type = "string", format = "duration", default = "1m" },
    most = { type = "number", format = "size" },
    word = { type = "string" },
    deep = { type = "object", properties = { on = { type = "boolean" } } },
    list = { type = "array", items = { ["$ref"] = "#/$defs/item" } },
    any = { type = "object", additionalProperties = { type = "number" } },
  },
  ["$defs"] = { item = { type = "object", properties = { share = { type = "number", format = "ratio" } } } },
}

describe("a schema for editors", function()
  local standard = schema.compile(editor.of(SOURCE), { open = true })

  local function takes(value)
    return (standard:check(value)) ~= nil
  end

  it("takes units as texts of their form, and 0", function()
    for _, window in ipairs { "250ms", "1.5s", "5m", "0", 0 } do
      assert.is_true(takes { window = window })
    end
    for _, window in ipairs { "5", 5, "5 minutes", true } do
      assert.is_false(takes { window = window })
    end
    assert.is_true(takes { most = "64KiB" })
    assert.is_true(takes { most = 65536 })
    assert.is_true(takes { list = { { share = "20%" }, { share = 0.2 } } })
    assert.is_false(takes { list = { { share = 20 } } })
  end)

  it("takes a ${} for every scalar", function()
    assert.is_true(takes {
      limit = "${LIMIT:-5}", window = "${WINDOW}", most = "${file:most}", deep = { on = "${ON}" }, any = { a = "${A}" },
    })
    assert.is_false(takes { limit = "5" })
    assert.is_false(takes { deep = { on = "yes" } })
  end)

  it("takes nothing where a key may be absent, as the check does", function()
    for _, value in ipairs {
      { limit = json.null, window = json.null, word = json.null, deep = json.null, list = json.null, any = json.null },
      { deep = { on = json.null }, list = { { share = json.null } } },
    } do
      assert.is_true(takes(value))
      assert.is_truthy((schema.compile(SOURCE):check(value)))
    end
    for _, value in ipairs { { list = { json.null } }, { any = { a = json.null } }, { least = json.null }, {} } do
      local needed = { least = value.least or 1, any = value.any, list = value.list }
      local source = schema.compile { type = "object", required = { "least" },
        properties = { least = { type = "integer" }, any = SOURCE.properties.any, list = SOURCE.properties.list },
        ["$defs"] = SOURCE["$defs"] }
      local open = schema.compile(editor.of(source.source), { open = true })
      local fits = next(value) == nil
      assert.equal(fits, (open:check(needed)) ~= nil)
      assert.equal(fits, (source:check(needed)) ~= nil)
    end
  end)

  it("refuses keys that are not named, at every depth", function()
    assert.is_true(takes { deep = { on = true }, any = { thing = 1 } })
    assert.is_false(takes { limt = 1 })
    assert.is_false(takes { deep = { off = true } })
    assert.is_false(takes { list = { { shere = "20%" } } })
  end)

  it("keeps what is said of a value beside its form", function()
    local properties = editor.of(SOURCE).properties
    assert.equal("How many.", properties.limit.description)
    assert.equal("1m", properties.window.default)
    assert.same({ "string", "null" }, properties.word.type)
  end)

  it("leaves the plugin's own schema as it is", function()
    assert.equal("integer", SOURCE.properties.limit.type)
    assert.is_nil(SOURCE.additionalProperties)
  end)
end)
