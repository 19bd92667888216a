-- SPDX-License-Identifier: Apache-2.0

local json = require "demilune.json"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

describe("json", function()
  it("reads what it writes", function()
    for _, text in ipairs { "[]", "{}", "null", "true", '"a"', "[1,2,3]", '{"a":{"b":[null]}}', "-0.5", '"\\u0000"' } do
      assert.equal(text, json.encode((json.decode(text))))
    end
  end)

  it("keeps whole numbers exact up to 2^53", function()
    for _, text in ipairs { "9007199254740992", "-9007199254740991", "123456789012345", "0" } do
      assert.equal(text, json.encode((json.decode(text))))
    end
  end)

  it("reads its doubles back as they were", function()
    for _, number in ipairs { 0.1, 1e300, 2 ^ -1074, 1 / 3, 1.7976931348623157e308, 2 ^ 60 } do
      assert.equal(number, (json.decode(json.encode(number))))
    end
  end)

  it("tells lists from maps, also when they are empty", function()
    assert.is_true(json.is_array((json.decode "[]")))
    assert.is_false(json.is_array((json.decode "{}")))
    assert.equal("[]", json.encode(json.array {}))
    assert.equal("{}", json.encode {})
    assert.equal('{"a":[]}', json.encode { a = json.array() })
    assert.equal("[1,null,3]", json.encode(json.array { 1, nil, 3 }))
  end)

  it("keeps null", function()
    local value = json.decode '{"a":null}'
    assert.equal(json.null, value.a)
    assert.equal('{"a":null}', json.encode(value))
  end)

  it("says where a text is wrong", function()
    local value, err, at = json.decode '{"a":1,}'
    assert.is_nil(value)
    assert.equal("syntax", err)
    assert.is_true(at >= 7)
    assert.same({ nil, "encoding", 1 }, { json.decode '"\255"' })
  end)

  it("caps the depth", function()
    assert.is_table((json.decode(("["):rep(128) .. ("]"):rep(128))))
    assert.equal("depth", select(2, json.decode(("["):rep(129) .. ("]"):rep(129))))
    assert.equal("depth", select(2, json.decode("[[[]]]", { depth = 2 })))
    local round = {}
    round.round = round
    assert.equal("depth", select(2, json.encode(round)))
  end)

  it("says what it can't write", function()
    for what, value in pairs { ["function"] = print, ["a map with a key that is no text"] = { [{}] = 1 },
      ["a list with other keys, or with too many holes"] = { 1, 2, x = 3 } } do
      local text, err, why = json.encode(value)
      assert.is_nil(text)
      assert.equal("bad_argument", err)
      assert.equal(what, why)
    end
    assert.equal("bad_argument", select(2, json.encode(0 / 0)))
    assert.equal("bad_argument", select(2, json.encode(math.huge)))
    assert.equal("encoding", select(2, json.encode "\255"))
    for _, value in ipairs { { { x = "\255" } }, { a = { b = { "\255" }, c = 1 }, d = 2 }, { ["\255"] = { 1 } },
      { a = { { x = "\255" } }, b = 1 }, { a = { { { x = "\255", y = 1 }, 2 }, 3 }, b = { 4 } } } do
      assert.same({ nil, "encoding" }, { json.encode(value) })
    end
  end)

  it("indents for people", function()
    assert.equal('{\n  "a": [\n    1\n  ]\n}', json.encode({ a = { 1 } }, { indent = 2 }))
  end)

  it("passes the public parsing corpus", function()
    local count = 0
    for _, path in ipairs(require("pl.dir").getfiles("spec/data/json-test-suite", "*.json")) do
      local kind = path:match "([yni])_[^/]*$"
      local value, err = json.decode(read(path), { depth = 512 })
      count = count + 1
      if kind == "y" then
        assert.is_true(value ~= nil, path .. ": " .. tostring(err))
      elseif kind == "n" then
        assert.is_true(value == nil and err ~= nil, path)
      end
    end
    assert.is_true(count > 300)
  end)
end)
