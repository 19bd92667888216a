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

  it("resolves references as RFC 3986 has it (5.4)", function()
    local base = "http://a/b/c/d;p?q"
    for reference, wanted in pairs {
      ["g:h"] = "g:h", g = "http://a/b/c/g", ["./g"] = "http://a/b/c/g", ["g/"] = "http://a/b/c/g/",
      ["/g"] = "http://a/g", ["//g"] = "http://g", ["?y"] = "http://a/b/c/d;p?y", ["g?y"] = "http://a/b/c/g?y",
      ["#s"] = "http://a/b/c/d;p?q#s", ["g#s"] = "http://a/b/c/g#s", ["g?y#s"] = "http://a/b/c/g?y#s",
      [";x"] = "http://a/b/c/;x", ["g;x?y#s"] = "http://a/b/c/g;x?y#s", [""] = "http://a/b/c/d;p?q",
      ["."] = "http://a/b/c/", ["./"] = "http://a/b/c/", [".."] = "http://a/b/", ["../"] = "http://a/b/",
      ["../g"] = "http://a/b/g", ["../.."] = "http://a/", ["../../"] = "http://a/", ["../../g"] = "http://a/g",
      ["../../../g"] = "http://a/g", ["/./g"] = "http://a/g", ["/../g"] = "http://a/g", ["g."] = "http://a/b/c/g.",
      ["..g"] = "http://a/b/c/..g", ["./../g"] = "http://a/b/g", ["./g/."] = "http://a/b/c/g/",
      ["g/../h"] = "http://a/b/c/h", ["g;x=1/../y"] = "http://a/b/c/y", ["g?y/../x"] = "http://a/b/c/g?y/../x",
    } do
      assert.equal(wanted, url.resolve(base, reference), reference)
    end
    assert.equal("https://a:8443/x", url.resolve("https://a:8443", "x"))
    assert.same({ nil, "syntax" }, { url.resolve("a", "b") })
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
    assert.equal("<bb> <> <B>", (re:replace("abb A aB", "<$1>")))
    assert.equal("3 1 2", (re:replace("abb A aB", function(match) return tostring(#match[0]) end)))
    assert.equal("-x-", (assert(regex.compile "y*"):replace("x", "-")))
  end)

  it("says where a match stands, and splits at matches", function()
    local comma = assert(regex.compile " *, *")
    assert.same({ 2, 4 }, { comma:find "a , b" })
    assert.same({ 3, 3 }, { comma:find("ab,c,d", 2) })
    assert.is_nil((comma:find "abc"))
    assert.same({ "a", "b", "", "c" }, comma:split "a , b,,c")
    assert.same({ "a", "b,,c" }, comma:split("a , b,,c", 2))
    assert.same({ "", "" }, comma:split ",")
    assert.same({ "abc" }, comma:split "abc")
    assert.same({ "abc" }, assert(regex.compile "x*"):split "abc")
  end)

  it("replaces so many and no more, and says how many", function()
    local re = assert(regex.compile "a")
    assert.same({ "xxx", 3 }, { re:replace("aaa", "x") })
    assert.same({ "xxa", 2 }, { re:replace("aaa", "x", 2) })
    assert.same({ "bbb", 0 }, { re:replace("bbb", "x") })
  end)

  it("moves on by characters in UTF-8", function()
    local re = assert(regex.compile("x*", "u"))
    assert.equal("-ü-€-", (re:replace("ü€", "-")))
    local n = 0
    for _ in re:each "ü€" do
      n = n + 1
    end
    assert.equal(3, n)
  end)

  it("tells a search that took too long from one that found nothing", function()
    local re, text = assert(regex.compile "^(a+)+$"), ("a"):rep(40) .. "b"
    assert.same({ nil, "limit" }, { re:match(text) })
    assert.same({ nil, "limit" }, { re:find(text) })
    assert.same({ nil, "limit" }, { re:replace(text, "") })
    assert.same({ nil, "limit" }, { re:split(text) })
    assert.has_error(function() re:each(text)() end)
  end)

  it("says what is wrong, and gives up in time", function()
    local re, message = regex.compile "(a"
    assert.is_nil(re)
    assert.truthy(message:find "at 2")
    assert.same({ nil, "limit" }, { assert(regex.compile "^(a+)+$"):test(("a"):rep(40) .. "b") })
  end)
end)

describe("metrics", function()
  local metrics = require "demilune.metrics"

  it("are counters, gauges and histograms, and nothing else than what they are", function()
    local counter = metrics.counter("spec_counted_total", "Counted.", { "kind" })
    local gauge = metrics.gauge("spec_size", "Its size.")
    local histogram = metrics.histogram("spec_time_seconds", "Time.", {}, { 1, 2 })
    counter:inc "a"
    counter:add(2, "a")
    gauge:set(5)
    gauge:add(-2)
    histogram:observe(1.5)
    assert.error_matches(function() counter:add(-1, "a") end, "spec_counted_total is a counter, which can't go down")
    assert.error_matches(function() counter:set(1, "a") end, "is a counter, which can't be set")
    assert.error_matches(function() counter:inc() end, "has 1 labels, and this is the value of 0")
    assert.error_matches(function() gauge:observe(1) end, "is a gauge, which can't observe values")
    assert.error_matches(function() histogram:add(1) end, "is a histogram, which can't be added to")
    assert.error_matches(function() histogram:inc() end, "is a histogram")
    assert.error_matches(function() metrics.gauge("spec_counted_total", "x") end, "is taken by one with other labels")
  end)

  it("are kept in bounds, whatever their labels", function()
    local counter = metrics.counter("spec_many_total", "Many.", { "id" })
    for i = 1, 25000 do
      counter:inc(tostring(i))
    end
    local n = 0
    for _ in pairs(counter.series) do
      n = n + 1
    end
    assert.is_true(n <= 10001)
  end)
end)
