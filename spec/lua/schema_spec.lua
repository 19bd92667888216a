-- SPDX-License-Identifier: Apache-2.0

local json = require "demilune.json"
local schema = require "demilune.schema"

local VECTORS = "spec/data/json-schema-test-suite/"

-- Cases whose schemas use what is refused when a schema is loaded, each for this reason.
local REFUSED = {
  "%$ref \"%a+:", "%$id", "%$anchor", "%$ref \"[%w_./-]*\"", "unknown property after \\P or \\p",
}

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- An empty map of JSON is a map, while one of Lua may be both.
local function marked(value)
  if type(value) == "table" then
    for _, item in pairs(value) do
      marked(item)
    end
    if next(value) == nil and not json.is_array(value) then
      json.object(value)
    end
  end
  return value
end

local function is_refusal(message)
  for _, pattern in ipairs(REFUSED) do
    if tostring(message):find(pattern) then
      return true
    end
  end
  return false
end

describe("schema: the public test suite", function()
  local total, refused = 0, 0
  for name in ([[
    additionalProperties allOf anyOf boolean_schema const contains default defs dependentRequired dependentSchemas
    enum exclusiveMaximum exclusiveMinimum format if-then-else infinite-loop-detection items maxContains maxItems
    maxLength maxProperties maximum minContains minItems minLength minProperties minimum multipleOf not oneOf pattern
    patternProperties prefixItems properties propertyNames ref required type unevaluatedItems unevaluatedProperties
    uniqueItems]]):gmatch "%S+" do
    it(name, function()
      for _, case in ipairs(marked(assert(json.decode(read(VECTORS .. name .. ".json"))))) do
        local ok, compiled = pcall(schema.compile, case.schema, { open = true })
        if not ok then
          refused = refused + 1
          assert.is_true(is_refusal(compiled), case.description .. ": " .. tostring(compiled))
        else
          for _, test in ipairs(case.tests) do
            total = total + 1
            local _, faults = compiled:check(test.data)
            assert.equal(test.valid, faults == nil, case.description .. ": " .. test.description)
          end
        end
      end
    end)
  end

  it("was not refused away", function()
    assert.is_true(total > 1000 and refused < 60, ("%d tests, %d refused"):format(total, refused))
  end)
end)

describe("schema: the public test suite, formats", function()
  -- Why what the suite calls wrong passes here.
  local UNDERSCORE = "names of containers have one, and resolvers know them"
  local PUNYCODE = "whether an A-label decodes to letters that IDNA allows is for its registry to know"
  local LEFT_OUT = {
    ["contains underscore"] = UNDERSCORE,
    ["validation of A-label (punycode) host names"] = PUNYCODE,
  }

  for name in ("date date-time time email hostname ipv4 ipv6 uuid regex uri"):gmatch "%S+" do
    it(name, function()
      local total = 0
      for _, case in ipairs(assert(json.decode(read(VECTORS .. "format/" .. name .. ".json")))) do
        local compiled = schema.compile(case.schema)
        for _, test in ipairs(case.tests) do
          local _, faults = compiled:check(test.data)
          if test.valid or not (LEFT_OUT[case.description] or LEFT_OUT[test.description]) then
            total = total + 1
            assert.equal(test.valid, faults == nil, test.description)
          end
        end
      end
      assert.is_true(total > 5)
    end)
  end
end)

describe("schema of a plugin's config", function()
  local function check(source, value, options)
    return schema.compile(source):check(value, options)
  end

  local function message(source, value)
    local out, faults = check(source, value)
    assert.is_nil(out)
    return faults[1].text .. ": " .. faults[1].message
  end

  local limits = {
    type = "object",
    properties = {
      limit = { type = "integer", minimum = 1 },
      window = { type = "string", format = "duration", default = "1m" },
      size = { type = "string", format = "size", maximum = 1024 },
      share = { type = "number", format = "ratio" },
      deep = { type = "object", properties = { name = { type = "string", default = "x" } }, default = {} },
      list = { type = "array", items = {
        type = "object", properties = { at = { type = "string", format = "duration" } } } },
    },
    required = { "limit" },
  }

  it("fills defaults in, also in what is missing altogether", function()
    assert.same({ limit = 1, window = 60, deep = { name = "x" } }, (check(limits, { limit = 1 })))
  end)

  it("gives units as numbers", function()
    local out = check(limits, { limit = 1, window = "250ms", size = "1KiB", share = "20%", list = { { at = "5m" } } })
    assert.equal(0.25, out.window)
    assert.equal(1024, out.size)
    assert.equal(0.2, out.share)
    assert.equal(300, out.list[1].at)
  end)

  it("takes 0 for a duration and no other bare number", function()
    assert.equal(0, check(limits, { limit = 1, window = 0 }).window)
    assert.equal('window: expected a duration such as 250ms, 10s or 5m, got 10',
      message(limits, { limit = 1, window = 10 }))
  end)

  it("holds bounds in the converted unit", function()
    assert.equal('size: expected at most 1024 bytes, got "2KiB"', message(limits, { limit = 1, size = "2KiB" }))
  end)

  it("refuses an unknown key and names the near one", function()
    assert.equal('limt: unknown key, did you mean "limit"?', message(limits, { limit = 1, limt = 3 }))
    assert.equal("list[0].when: unknown key", message(limits, { limit = 1, list = { { when = 1 } } }))
  end)

  it("says what is missing, what was expected and what came", function()
    assert.equal(': "limit" is missing', message(limits, {}))
    assert.equal('limit: expected a whole number, got "3"', message(limits, { limit = "3" }))
    assert.equal("limit: expected at least 1, got 0", message(limits, { limit = 0 }))
  end)

  it("finds all faults", function()
    local _, faults = check(limits, { limit = 0, window = "soon", nothing = true })
    assert.equal(3, #faults)
  end)

  it("names the near word of an enumeration", function()
    assert.equal('algorithm: expected one of "gcra", "fixed_window", got "fixed-window", did you mean "fixed_window"?',
      message({ properties = { algorithm = { enum = { "gcra", "fixed_window" } } } }, { algorithm = "fixed-window" }))
  end)

  it("takes a named key with nothing behind it for an absent one", function()
    local null = require("demilune.json").null
    local inner = { type = "object", required = { "b" }, properties = {
      a = { type = "integer", default = 3 }, b = { type = "integer" }, c = { type = { "string", "null" } },
    } }
    local source = { properties = { x = { ["$ref"] = "#/$defs/x" } }, ["$defs"] = { x = inner } }
    assert.same({ x = { a = 3, b = 1, c = null } }, (check(source, { x = { a = null, b = 1, c = null } })))
    assert.equal('x: "b" is missing', message(source, { x = { b = null } }))
    assert.equal("x.d: unknown key", message(source, { x = { b = 1, d = null } }))
    assert.equal("a: expected a text, got nothing",
      message({ additionalProperties = { type = "string" } }, { a = null }))
  end)

  it("types what came out of the environment", function()
    local out = check(limits, {
      limit = schema.open "12", window = schema.open "5s", deep = { name = schema.open "12" } })
    assert.equal(12, out.limit)
    assert.equal(5, out.window)
    assert.equal("12", out.deep.name)
    assert.equal('limit: expected a whole number, got "many"', message(limits, { limit = schema.open "many" }))
  end)

  it("knows the properties of all parts of one object", function()
    local source = {
      type = "object",
      properties = { a = { type = "integer" } },
      allOf = { { properties = { b = { type = "string", format = "duration", default = "2s" } } } },
      anyOf = { { required = { "a" } }, { required = { "b" } } },
    }
    assert.same({ a = 1, b = 2 }, (check(source, { a = 1 })))
    assert.equal("c: unknown key", message(source, { a = 1, c = 2 }))
  end)

  it("leaves a map of free names open", function()
    local source = { type = "object", properties = { headers = {
      type = "object", additionalProperties = { type = "string" } } } }
    assert.same({ headers = { ["x-a"] = "1" } }, (check(source, { headers = { ["x-a"] = "1" } })))
    assert.equal("headers.x-a: expected a text, got 1", message(source, { headers = { ["x-a"] = 1 } }))
  end)

  it("takes one of several forms, and tells of the one that was nearly met", function()
    local source = { properties = { by = { anyOf = {
      { type = "string", format = "selector" },
      { type = "array", items = { type = "string", format = "selector" }, minItems = 1 },
    } } } }
    assert.same({ by = { "client_ip" } }, (check(source, { by = { "client_ip" } })))
    assert.truthy(message(source, { by = { "client_ip", 7 } }):find("by[1]: expected a text, got 7", 1, true))
    assert.truthy(message(source, { by = "client_op" }):find("client_ip", 1, true))
  end)

  it("never shows what is write-only", function()
    local source = { properties = { secret = { type = "string", minLength = 8, writeOnly = true } } }
    local _, faults = check(source, { secret = "hunter2" })
    assert.is_true(faults[1].is_secret)
    assert.is_nil(faults[1].message:find("hunter2", 1, true))
    local _, _, secrets = check(source, { secret = "hunter2hunter2" })
    assert.same({ { "secret" } }, secrets)
  end)

  it("asks the place about its selectors", function()
    local source = { properties = { key = { type = "string", format = "template" } } }
    local out, faults = check(source, { key = "{nam}" }, { formats = require("demilune.selector").checks { "name" } })
    assert.is_nil(out)
    assert.equal("key", faults[1].text)
    assert.is_table(check(source, { key = "{name}" }, { formats = require("demilune.selector").checks { "name" } }))
  end)

  it("refuses a keyword, a format or a type that it does not know when it is loaded", function()
    assert.has_error(function() schema.compile { typ = "string" } end,
      'schema: the keyword "typ" is not supported, did you mean "type"?')
    assert.has_error(function() schema.compile { properties = { a = { format = "durations" } } } end,
      'schema/properties/a/format: no such format: "durations", did you mean "duration"?')
    assert.has_error(function() schema.compile { type = "int" } end)
    assert.has_error(function() schema.compile { ["$ref"] = "#/$defs/none" } end,
      'schema/$ref: $ref "#/$defs/none" leads nowhere')
    assert.has_error(function() schema.compile { pattern = "(" } end)
  end)

  it("refuses a keyword with something else in it than it takes", function()
    for text, source in pairs {
      ["schema/minLength: wants a whole number, 0 or more, not \"1\""] = { minLength = "1" },
      ["schema/required: wants a list of texts, not \"a\""] = { required = "a" },
      ["schema/multipleOf: wants a number above 0, not 0"] = { multipleOf = 0 },
      ["schema/anyOf: wants a list of schemas, not an empty one, not an empty map"] = { anyOf = {} },
      ["schema/uniqueItems: wants true or false, not 1"] = { uniqueItems = 1 },
      ["schema/properties: wants a map of schemas, not a list"] = { properties = { { type = "string" } } },
      ["schema/properties/a: a schema is a table or a boolean, this is \"string\""] = { properties = { a = "string" } },
      ["schema/dependentRequired: wants a map of lists of texts, not a map"] = { dependentRequired = { a = "b" } },
      ["schema/$defs/a: the keyword \"typ\" is not supported, did you mean \"type\"?"] =
        { ["$defs"] = { a = { typ = "string" } } },
      ["schema/then: the keyword \"typ\" is not supported, did you mean \"type\"?"] = { ["then"] = { typ = "string" } },
    } do
      assert.has_error(function() schema.compile(source) end, text)
    end
  end)

  it("follows a reference to itself", function()
    local source = {
      properties = { name = { type = "string" }, children = { type = "array", items = { ["$ref"] = "#" } } },
    }
    assert.is_table(check(source, { children = { { name = "a", children = { { name = "b" } } } } }))
    assert.equal("children[0].children[0].nam: unknown key, did you mean \"name\"?",
      message(source, { children = { { children = { { nam = "b" } } } } }))
  end)

  it("checks the formats of texts", function()
    local function fits(format, text)
      return (check({ properties = { v = { type = "string", format = format } } }, { v = text })) ~= nil
    end
    for format, texts in pairs {
      uri = { { "https://a.b/c?d", "urn:a:b", "redis://:x@h:1/0" }, { "a.b/c", "https://", "http:a", "http://a b" } },
      cidr = { { "10.0.0.0/8", "fe80::/10", "1.2.3.4" }, { "10.0.0.0/33", "ten" } },
      ip = { { "::1", "1.2.3.4" }, { "1.2.3.4.5", "10.0.0.0/8" } },
      hostname = { { "a.example.com" }, { "-a.com", "a..b", "" } },
      header = { { "x-api-key" }, { "x api", "" } },
      ["settable-header"] = { { "x-api-key", "host" }, { "x api", "", "Content-Length", "connection" } },
      regex = { { "^a+$" }, { "(" } },
      uuid = { { "123e4567-e89b-12d3-a456-426614174000" }, { "123e4567" } },
      ["date-time"] = { { "2026-11-21T13:39:35Z", "2026-11-21T13:39:35.5+01:00" },
        { "2026-11-21", "2026-02-30T00:00:00Z", "2026-11-21T25:00:00Z" } },
      date = { { "2024-02-29" }, { "2023-02-29", "2024-13-01" } },
      time = { { "13:39:35Z" }, { "13:39", "13:39:35" } },
      email = { { "a@b.c" }, { "a.b.c", "a b@c" } },
    } do
      for _, text in ipairs(texts[1]) do
        assert.is_true(fits(format, text), format .. " " .. text)
      end
      for _, text in ipairs(texts[2]) do
        assert.is_false(fits(format, text), format .. " " .. text)
      end
    end
  end)
end)
