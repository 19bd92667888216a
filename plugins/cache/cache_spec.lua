-- SPDX-License-Identifier: Apache-2.0

local task = require "demilune.task"
local test = require "demilune.test"

describe("cache", function()
  local asked, answer, gateway

  before_each(function()
    asked = {}
    answer = function() return 200, { ["cache-control"] = "max-age=60" }, "first" end
  end)

  local function start(config)
    local upstream = test.upstream(function(request)
      asked[#asked + 1] = request
      return answer(request, #asked)
    end)
    gateway = test.gateway { upstream = upstream, plugins = { { name = "cache", config = config } } }
  end

  local function body(path, options)
    return gateway:get(path or "/", options).body
  end

  it("answers with what it has kept, and says how old that is", function()
    start()
    local first = gateway:get "/a?x=1"
    assert.equal("first", first.body)
    assert.is_nil(first.headers.age)
    assert.equal("demilune; fwd=uri-miss; stored", first.headers["cache-status"])
    test.clock.advance(7)
    local second = gateway:get "/a?x=1"
    assert.same({ 200, "first", "7" }, { second.status, second.body, second.headers.age })
    assert.equal("demilune; hit; ttl=53", second.headers["cache-status"])
    assert.equal(1, #asked)
    body "/a?x=2"
    assert.equal(2, #asked)
  end)

  it("takes a host with and without the port of its scheme for one", function()
    local location
    answer = function(_, n) return 200, { ["cache-control"] = "max-age=60", location = location }, tostring(n) end
    start()
    local function from(host, path) return body(path, { headers = { host = host } }) end
    assert.same({ "1", "1", "1", "2" }, { from "h", from "h:80", from "H:80", from "h:8080" })
    location = "http://h:80/"
    gateway:request { method = "POST", path = "/b", body = "x", headers = { host = "h" } }
    assert.same({ "4", "4", "2" }, { from "h", from "h:80", from "h:8080" })
  end)

  it("asks again when it is stale", function()
    answer = function(_, n) return 200, { ["cache-control"] = "max-age=60" }, tostring(n) end
    start()
    assert.equal("1", body())
    test.clock.advance(61)
    assert.equal("2", body())
    assert.equal("2", body())
  end)

  it("asks whether what is stale still holds", function()
    answer = function(request)
      if request.headers["if-none-match"] == '"v1"' then
        return 304, { ["cache-control"] = "max-age=100", ["x-more"] = "new" }
      end
      return 200, { ["cache-control"] = "max-age=60", etag = '"v1"', ["content-type"] = "text/plain" }, "content"
    end
    start()
    assert.equal("content", body())
    test.clock.advance(61)
    local response = gateway:get "/"
    assert.same({ 200, "content", "new", "text/plain" },
      { response.status, response.body, response.headers["x-more"], response.headers["content-type"] })
    assert.equal("demilune; fwd=stale; fwd-status=304; ttl=100", response.headers["cache-status"])
    test.clock.advance(90)
    assert.equal("content", body())
    assert.equal(2, #asked)
    response = gateway:get("/", { headers = { ["cache-control"] = "no-cache" } })
    assert.equal("demilune; fwd=request; fwd-status=304; ttl=100", response.headers["cache-status"])
  end)

  it("takes over from a 304 all but what the content has to fit", function()
    local first = { ["cache-control"] = "max-age=60", etag = '"v1"', ["content-type"] = "text/plain",
      ["content-encoding"] = "br", ["content-md5"] = "A", ["content-digest"] = "sha-256=:A:", link = "</a>" }
    local later = { ["cache-control"] = "max-age=70", etag = 'W/"v1"', ["content-type"] = "text/html",
      ["content-encoding"] = "gzip", ["content-md5"] = "B", ["content-digest"] = "sha-256=:B:", link = "</b>" }
    answer = function(request)
      if request.headers["if-none-match"] then
        return 304, later
      end
      return 200, first, "content"
    end
    start()
    body()
    test.clock.advance(61)
    for _ = 1, 2 do
      local response = gateway:get "/"
      for name, value in pairs(later) do
        local stays = name:find "md5" or name:find "digest" or name:find "encoding"
        assert.equal(stays and first[name] or value, response.headers[name], name)
      end
      assert.equal("content", response.body)
    end
    assert.equal(2, #asked)
  end)

  it("renews nothing by a 304 that speaks of something else", function()
    local first, later
    answer = function(request, n)
      local is_asked = request.headers["if-none-match"] or request.headers["if-modified-since"]
      if is_asked then
        return 304, later
      end
      return 200, first, tostring(n)
    end
    start()
    local old, new = "Wed, 01 Jan 2020 00:00:00 GMT", "Thu, 02 Jan 2020 00:00:00 GMT"
    for i, case in ipairs {
      { { etag = '"v1"' }, { etag = '"v2"' } },
      { { etag = '"v1"', ["last-modified"] = old }, { etag = '"v2"', ["last-modified"] = old } },
      { { ["last-modified"] = new }, { ["last-modified"] = old } },
      { { ["last-modified"] = old }, { ["last-modified"] = old, etag = '"v2"' } },
    } do
      local path = "/" .. i
      first, later = case[1], case[2]
      first["cache-control"], later["cache-control"] = "max-age=60", "max-age=60"
      local n = #asked
      body(path)
      test.clock.advance(61)
      local response = gateway:get(path)
      assert.same({ tostring(n + 1), first.etag }, { response.body, response.headers.etag }, path)
      assert.equal(tostring(n + 3), body(path), path)
    end
  end)

  it("keeps an answer to POST that is what its URL has now, and says how long", function()
    local headers
    answer = function(request, n)
      return 200, request.method == "POST" and headers or { ["cache-control"] = "max-age=60" }, tostring(n)
    end
    start()
    body "/a"
    headers = { ["cache-control"] = "max-age=60", ["content-location"] = "/a" }
    local response = gateway:request { method = "POST", path = "/a", body = "x" }
    assert.same({ "2", "demilune; fwd=method; stored" }, { response.body, response.headers["cache-status"] })
    assert.equal("2", body "/a")
    for i, others in ipairs {
      { ["cache-control"] = "max-age=60", ["content-location"] = "/b" },
      { ["cache-control"] = "max-age=60" },
      { ["content-location"] = "/a", ["last-modified"] = "Wed, 01 Jan 2020 00:00:00 GMT" },
      { ["content-location"] = "/a", ["cache-control"] = "private, max-age=60" },
    } do
      headers = others
      local posted = gateway:request { method = "POST", path = "/a", body = "x" }.body
      assert.not_equal(posted, body "/a", "kept " .. i)
    end
  end)

  it("keeps what varies apart", function()
    answer = function(request)
      return 200, { ["cache-control"] = "max-age=60", vary = "Accept-Language" }, request.headers["accept-language"]
    end
    start()
    local function in_language(l) return body("/", { headers = { ["accept-language"] = l } }) end
    assert.same({ "de", "en", "de", "en" }, { in_language "de", in_language "en", in_language "de", in_language "en" })
    assert.equal(2, #asked)
  end)

  it("keeps the client's conditions", function()
    answer = function() return 200, { ["cache-control"] = "max-age=60", etag = '"v1"' }, "content" end
    start()
    body()
    local response = gateway:get("/", { headers = { ["if-none-match"] = 'W/"v1", "v2"' } })
    assert.same({ 304, "" }, { response.status, response.body })
    assert.equal('"v1"', response.headers.etag)
    assert.equal("content", body("/", { headers = { ["if-none-match"] = '"v3"' } }))
    assert.equal(1, #asked)
  end)

  it("cuts ranges out of what it has", function()
    answer = function() return 200, { ["cache-control"] = "max-age=60", etag = '"v1"' }, "0123456789" end
    start()
    body()
    local function range(r, more)
      local response = gateway:get("/", { headers = { range = r, ["if-range"] = more } })
      return { response.status, response.body, response.headers["content-range"] }
    end
    assert.same({ 206, "234", "bytes 2-4/10" }, range "bytes=2-4")
    assert.same({ 206, "89", "bytes 8-9/10" }, range "bytes=-2")
    assert.same({ 206, "89", "bytes 8-9/10" }, range "Bytes=8-") -- RFC 9110, 14.1
    assert.same({ 206, "9", "bytes 9-9/10" }, range "bytes=9-100")
    assert.same({ 416, "", "bytes */10" }, range "bytes=10-")
    assert.same({ 200, "0123456789" }, range "bytes=1-2,4-5")
    assert.same({ 200, "0123456789" }, range "lines=1-2")
    assert.same({ 206, "1", "bytes 1-1/10" }, range("bytes=1-1", '"v1"'))
    assert.same({ 200, "0123456789" }, range("bytes=1-1", '"v2"'))
    assert.equal(1, #asked)
  end)

  it("answers HEAD from what GET has brought", function()
    start()
    body()
    local response = gateway:request { method = "HEAD", path = "/" }
    assert.same({ 200, "", "5" }, { response.status, response.body, response.headers["content-length"] })
    assert.equal(1, #asked)
  end)

  it("forgets a URL that was written to", function()
    start()
    body()
    body()
    gateway:request { method = "POST", path = "/" }
    body()
    assert.equal(3, #asked)
  end)

  it("asks once for what many want at once", function()
    local go = false
    answer = function()
      while not go do task.sleep(0.001) end
      return 200, { ["cache-control"] = "max-age=60" }, ("x"):rep(100000)
    end
    start()
    local calls = {}
    for i = 1, 20 do
      calls[i] = task.spawn(function() return body() end)
    end
    test.eventually(function() return #asked == 1 end)
    go = true
    for i = 1, 20 do
      assert.equal(100000, #calls[i]:join())
    end
    assert.equal(1, #asked)
  end)

  it("does not let others wait for what is not kept", function()
    local go = false
    answer = function()
      while not go do task.sleep(0.001) end
      return 200, { ["cache-control"] = "no-store" }, "x"
    end
    start()
    local calls = {}
    for i = 1, 5 do
      calls[i] = task.spawn(function() return body() end)
    end
    test.eventually(function() return #asked == 1 end)
    go = true
    for i = 1, 5 do
      assert.equal("x", calls[i]:join())
    end
    assert.equal(5, #asked)
  end)

  it("lets nobody wait for requests one after another", function()
    for _, headers in ipairs {
      { ["cache-control"] = "no-cache", etag = '"v1"' },
      { ["cache-control"] = "max-age=60", vary = "X-Mine" },
      { ["cache-control"] = "max-age=0" },
    } do
      local go, calls = false, {}
      asked = {}
      answer = function(_, n)
        while n > 1 and not go do task.sleep(0.001) end
        return 200, headers, "x"
      end
      start()
      for i = 1, 5 do
        calls[i] = task.spawn(function() return body("/", { headers = { ["x-mine"] = tostring(i) } }) end)
      end
      test.eventually(function() return #asked == 5 end) -- all but the first at once
      go = true
      for i = 1, 5 do
        assert.equal("x", calls[i]:join())
      end
    end
  end)

  it("keeps no event stream", function()
    answer = function()
      return 200, { ["cache-control"] = "max-age=60", ["content-type"] = "Text/Event-Stream; charset=utf-8" }, "x"
    end
    start()
    body()
    body()
    assert.equal(2, #asked)
  end)

  it("keeps nothing that was asked for with content", function()
    answer = function(request) return 200, { ["cache-control"] = "max-age=60" }, request.body end
    start()
    local function with(content) return gateway:request({ method = "GET", path = "/", body = content }).body end
    assert.same({ "evil", "", "evil" }, { with "evil", body(), with "evil" })
  end)

  it("asks anew without the conditions of the one whose request told it to", function()
    answer = function(request)
      local status = request.headers["if-match"] and 412 or 200
      return status, { ["cache-control"] = "max-age=10, stale-while-revalidate=100" }, tostring(status)
    end
    start()
    body()
    test.clock.advance(20)
    assert.equal("200", body("/", { headers = { ["if-match"] = '"other"' } }))
    test.eventually(function() return #asked == 2 end)
    assert.is_nil(asked[2].headers["if-match"])
    assert.equal("200", body())
  end)

  it("answers with what is stale while it asks anew, once, when that is allowed", function()
    answer = function(_, n)
      return 200, { ["cache-control"] = "max-age=10, stale-while-revalidate=100" }, tostring(n)
    end
    start()
    body()
    test.clock.advance(20)
    local response = gateway:get("/", { headers = { ["x-mine"] = "yes" } })
    assert.same({ "1", "20" }, { response.body, response.headers.age })
    test.eventually(function() return body() == "2" end)
    assert.equal(2, #asked)
    assert.equal("yes", asked[2].headers["x-mine"])
    assert.truthy(asked[2].headers["x-forwarded-for"])
  end)

  it("stands in for an upstream that fails", function()
    answer = function(_, n)
      if n > 1 then return 503, {}, "broken" end
      return 200, { ["cache-control"] = "max-age=10, stale-if-error=100" }, "kept"
    end
    start()
    body()
    test.clock.advance(20)
    local response = gateway:get "/"
    assert.same({ 200, "kept", "20" }, { response.status, response.body, response.headers.age })
    test.clock.advance(100)
    assert.equal(503, gateway:get("/").status)
  end)

  it("tells a URL that it does not know from one that it knows for others", function()
    answer = function(request)
      local vary = request.path == "/some" and "Accept, X-Mine" or "X-Mine"
      return 200, { ["cache-control"] = "max-age=60", vary = vary }, "x"
    end
    start()
    local function status(path, mine)
      return gateway:get(path, { headers = { ["x-mine"] = mine } }).headers["cache-status"]:match ";%s*(%S+)"
    end
    assert.equal("fwd=uri-miss;", status("/", "1"))
    assert.equal("fwd=vary-miss;", status("/", "2"))
    assert.equal("hit;", status("/", "1"))
    assert.equal("fwd=uri-miss;", status("/some", "1"))
    assert.equal("hit;", status("/some", "1"))
  end)

  it("finds what is kept of a URL with one Vary and another", function()
    answer = function(request)
      return 200, { ["cache-control"] = "max-age=60", vary = request.headers["x-vary"] }, request.headers["x-vary"]
    end
    start()
    local function get(vary, a, b)
      return body("/", { headers = { ["x-vary"] = vary, a = a, b = b } })
    end
    assert.same({ "A", "A, B", "B" }, { get("A", "1"), get("A, B", "2", "1"), get("B", "3", "2") })
    assert.equal(3, #asked)
    assert.same({ "A", "A, B", "B" }, { get("", "1"), get("", "2", "1"), get("", "4", "2") })
    assert.equal(3, #asked)
  end)

  it("says that something is stored only when it is", function()
    local headers = { ["cache-control"] = "max-age=60", ["transfer-encoding"] = "chunked" }
    answer = function(request)
      if request.path == "/chunks" then
        return 200, headers, "4\r\nlong\r\n0\r\n\r\n"
      end
      return 200, { ["cache-control"] = "max-age=60" }, request.path == "/short" and "abc" or "long"
    end
    start { max_object = "3" }
    local function status(path) return gateway:get(path).headers["cache-status"] end
    assert.equal("demilune; fwd=uri-miss; stored", status "/short")
    assert.equal("demilune; fwd=uri-miss", status "/long")
    assert.equal("demilune; fwd=uri-miss", status "/chunks")
  end)

  it("goes on asking once for many, whatever one gets for himself or an upstream says that fails", function()
    for _, first in ipairs {
      { headers = { authorization = "Bearer x" }, status = 200, answer = {} },
      { headers = {}, status = 503, answer = {} },
    } do
      local go = true
      asked = {}
      answer = function(_, n)
        while not go do task.sleep(0.001) end
        if n == 1 then return first.status, { ["cache-control"] = "max-age=60" }, "first" end
        return 200, { ["cache-control"] = "max-age=60" }, "x"
      end
      start { statuses = { 200 } }
      assert.equal(first.status, gateway:get("/", { headers = first.headers }).status)
      go = false
      local calls = {}
      for i = 1, 5 do
        calls[i] = task.spawn(function() return body() end)
      end
      test.eventually(function() return #asked == 2 end)
      go = true
      for i = 1, 5 do
        assert.equal("x", calls[i]:join())
      end
      assert.equal(2, #asked)
    end
  end)

  it("never keeps a body that broke off", function()
    local upstream = test.upstream { headers = { ["cache-control"] = "max-age=60" } }
    gateway = test.gateway { upstream = upstream, plugins = { { name = "cache" } } }
    for path, broken in pairs { ["/length"] = "broken", ["/chunks"] = "6\r\nbroken\r\n0\r\n\r\n" } do
      upstream.options.headers["transfer-encoding"] = path == "/chunks" and "chunked" or nil
      upstream.options.body, upstream.options.truncate = broken, 5
      assert.is_nil((gateway:get(path)))
      upstream.options.headers["transfer-encoding"] = nil
      upstream.options.body, upstream.options.truncate = "whole", nil
      assert.equal("whole", body(path))
    end
  end)

  it("keeps a body whose length only its end tells", function()
    answer = function()
      return 200, { ["cache-control"] = "max-age=60", ["transfer-encoding"] = "chunked" },
        "3\r\ncon\r\n4\r\ntent\r\n0\r\n\r\n"
    end
    start()
    assert.equal("content", body())
    assert.equal("content", body())
    assert.equal(1, #asked)
  end)
end)
