-- SPDX-License-Identifier: Apache-2.0

local test = require "demilune.test"
local time = require "demilune.time"

describe("time", function()
  it("goes on", function()
    local wall, monotonic = time.now(), time.monotonic()
    test.clock.advance(10)
    assert.is_true(time.now() - wall >= 10 and time.now() - wall < 60)
    assert.is_true(time.monotonic() - monotonic >= 10 and time.monotonic() - monotonic < 60)
  end)

  it("writes and reads HTTP dates", function()
    assert.equal("Sun, 06 Nov 1994 08:49:37 GMT", time.http_date(784111777))
    for _, text in ipairs { "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994" } do
      assert.equal(784111777, time.parse_http_date(text))
    end
    assert.same({ nil, "syntax" }, { time.parse_http_date "yesterday" })
  end)

  it("writes and reads dates of RFC 3339", function()
    assert.equal("1994-11-06T08:49:37.250Z", time.format(784111777.25))
    assert.equal(784111777, time.parse "1994-11-06T08:49:37Z")
    assert.equal(784111777.25, time.parse "1994-11-06t09:49:37.25+01:00")
    assert.equal(0, time.parse "1970-01-01T00:00:00Z")
    assert.equal(951782400, time.parse "2000-02-29T00:00:00Z")
    for seconds = 0, 4e9, 12345678 do
      assert.equal(seconds, time.parse(time.format(seconds)))
    end
    for _, text in ipairs { "1994-11-06", "1994-13-06T08:49:37Z", "1994-11-06T24:00:00Z", "1994-11-06T08:49:37",
      "1994-11-06T08:49:37.Z" } do
      assert.same({ nil, "syntax" }, { time.parse(text) })
    end
  end)
end)

describe("url", function()
  local url = require "demilune.url"

  it("parses and builds", function()
    assert.same({ scheme = "https", host = "example.com", port = 8443, path = "/a", query = "b=1" },
      url.parse "https://Example.com:8443/a?b=1#c")
    assert.same({ scheme = "http", host = "::1", port = 80, path = "/" }, url.parse "http://[::1]")
    for _, text in ipairs { "https://example.com/", "http://[::1]:8080/a?b", "http://h/" } do
      assert.equal(text, url.build(url.parse(text)))
    end
    for _, text in ipairs { "example.com", "ftp://a/", "http://", "http://a b/" } do
      assert.same({ nil, "syntax" }, { url.parse(text) })
    end
  end)

  it("codes queries", function()
    assert.equal("a=1+2&b=x&b=%C3%BC%2B", url.query { a = "1 2", b = { "x", "ü+" } })
    assert.same({ a = "1 2", b = { "x", "ü+" }, c = "" }, url.parse_query "a=1+2&b=x&b=%C3%BC%2B&c")
    assert.equal("a%2Fb%20c", url.encode "a/b c")
    assert.equal("a/b c", url.decode "a%2Fb%20c")
    assert.same({ nil, "encoding" }, { url.decode "%zz" })
  end)
end)

describe("regex", function()
  local regex = require "demilune.regex"

  it("matches, with groups by number and name", function()
    local re = assert(regex.compile "(?<year>\\d{4})-(\\d\\d)(x)?")
    local match = re:match "on 2026-11 and 2027-12"
    assert.equal("2026-11", match[0])
    assert.equal("2026", match.year)
    assert.equal("11", match[2])
    assert.is_nil(match[3])
    assert.equal(4, match.first)
    assert.equal(10, match.last)
    assert.is_true(re:test "2026-11")
    assert.is_false(re:test "2026")
    assert.is_nil((re:match "none"))
  end)

  it("finds all, and replaces", function()
    local re = assert(regex.compile("a(b*)", "i"))
    local found = {}
    for match in re:each "abb A aB" do
      found[#found + 1] = match[0]
    end
    assert.same({ "abb", "A", "aB" }, found)
    assert.equal("<bb> <> <B>", re:replace("abb A aB", "<$1>"))
    assert.equal("3 1 2", re:replace("abb A aB", function(match) return tostring(#match[0]) end))
    assert.equal("-x-", assert(regex.compile "y*"):replace("x", "-"))
  end)

  it("says what is wrong, and gives up in time", function()
    local re, message = regex.compile "(a"
    assert.is_nil(re)
    assert.truthy(message:find "at 2")
    assert.same({ nil, "limit" }, { assert(regex.compile "^(a+)+$"):test(("a"):rep(40) .. "b") })
  end)
end)
