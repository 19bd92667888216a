-- SPDX-License-Identifier: Apache-2.0

-- The response cache in a gateway with several workers: many that want the same, slow and leaving clients, purges, a
-- crash.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local json = require "cjson"
local origin = require "spec.support.origin"
local server = require "spec.support.server"

local CONFIG = [[
routes:
  - name: all
    paths: ["/*"]
    upstream: http://127.0.0.1:%d
    plugins: [{ name: cache, config: { size: 16MiB, max_object: 1MiB } }]
]]
local FRESH = { ["Cache-Control"] = "max-age=600", Connection = "close" } -- the next request comes by a new one

describe("the response cache of several workers", function()
  local gateway, upstream

  before_each(function()
    upstream = origin.listen()
    gateway = server.start(CONFIG:format(upstream.port), { workers = 4 })
  end)

  after_each(function()
    gateway:stop()
    upstream:close()
  end)

  local function ask(path)
    local c = client.connect(gateway.port)
    c:send(client.bytes("GET", path))
    return c
  end

  local function asks(n, path)
    local list = {}
    for i = 1, n do
      list[i] = ask(path)
    end
    return list
  end

  local function purge(what)
    return client.request(gateway.admin_port, "POST", "/cache/purge", { body = json.encode(what) })
  end

  local function counted(result)
    local line = ('demilune_cache_requests_total{place="route:all",result="%s"} '):format(result)
    local metrics = client.get(gateway.admin_port, "/metrics").body
    local _, at = metrics:find(line, 1, true)
    return at and tonumber(metrics:match("^%d+", at + 1)) or 0
  end

  local function answers_with(list, body)
    for _, c in ipairs(list) do
      local response = c:response "GET"
      assert.same({ 200, body }, { response.status, response.body })
      c:close()
    end
  end

  it("asks the upstream once for a thousand who want the same", function()
    local up = upstream
    local clients = asks(1000, "/same")
    local c = up:accept()
    c:request()
    assert.is_true(up:is_left_alone(0.2))
    c:respond(200, FRESH, "content")
    answers_with(clients, "content")
    assert.is_true(up:is_left_alone(0))
    assert.same({ 1, 999 }, { counted "miss", counted "hit" + counted "waited" })
  end)

  it("sends each what there is while it comes, and a slow one delays nobody", function()
    local body = ("0123456789"):rep(100000)
    local first = ask "/large"
    local c = upstream:accept()
    c:request()
    c:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: ", #body, "\r\n\r\n", body:sub(1, 500000))
    assert.equal("HTTP/1.1 200 OK", first:read_until("\r\n\r\n"):match "^[^\r]*")
    local second = ask "/large"
    second:read_until "\r\n\r\n"
    assert.equal(body:sub(1, 500000), second:read(500000)) -- the first has read nothing of the body
    c:send(body:sub(500001))
    assert.equal(body:sub(500001), second:read(500000))
    answers_with({ ask "/large" }, body)
    assert.equal(body, first:read(#body))
    first:close()
    second:close()
  end)

  it("goes on for the others when the one who asked first has left", function()
    local first = ask "/left"
    local c = upstream:accept()
    c:request()
    c:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 6\r\n\r\nabc")
    first:read_until "abc"
    local others = asks(8, "/left")
    for _, other in ipairs(others) do
      other:read_until "\r\n\r\n"
    end
    first:reset()
    assert.is_true(c:is_silent(0.1))
    c:send "def"
    for _, other in ipairs(others) do
      assert.equal("abcdef", other:read(6))
      other:close()
    end
    answers_with({ ask "/left" }, "abcdef")
    assert.is_true(upstream:is_left_alone(0))
  end)

  it("lets the next one ask when the first gets no answer", function()
    local clients = asks(2, "/fails")
    local c = upstream:accept()
    c:request()
    c:close()
    upstream:serve(200, FRESH, "second")
    local statuses = {}
    for i, one in ipairs(clients) do
      statuses[i] = one:response("GET").status
      one:close()
    end
    table.sort(statuses)
    assert.same({ 200, 502 }, statuses)
  end)

  it("breaks off for all when the upstream does, and keeps nothing", function()
    local first = ask "/broken"
    local c = upstream:accept()
    c:request()
    c:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 6\r\n\r\nabc")
    first:read_until "abc"
    local second = ask "/broken"
    second:read_until "abc"
    c:close()
    assert.is_true(first:is_ended())
    assert.is_true(second:is_ended())
    local third = ask "/broken"
    upstream:serve(200, FRESH, "whole")
    answers_with({ third }, "whole")
  end)

  it("is purged by URL, beginning of it, and tag", function()
    local function fill(path, tags)
      local c = ask(path)
      upstream:serve(200, { ["Cache-Control"] = "max-age=600", ["Cache-Tag"] = tags, Connection = "close" }, path)
      answers_with({ c }, path)
    end
    fill("/a/1", "red, green")
    fill("/a/2", "green")
    fill("/a/3", "greenish")
    fill("/b", "blue")
    local url = "http://localhost"
    assert.same({ purged = 2 }, json.decode(purge({ tag = "green" }).body))
    assert.same({ purged = 1 }, json.decode(purge({ key = url .. "/b" }).body))
    assert.same({ purged = 0 }, json.decode(purge({ key = url .. "/b" }).body))
    answers_with({ ask "/a/3" }, "/a/3")
    assert.same({ purged = 1 }, json.decode(purge({ prefix = url .. "/a/" }).body))
    fill("/a/3", "blue")
  end)

  it("says what is wrong with a purge", function()
    local wrong = { "", "{", "[]", "{}", '{"key":1}', '{"what":"x"}', '{"key":"a","tag":"b"}', '{"tag":"b"} x' }
    for _, body in ipairs(wrong) do
      local response = client.request(gateway.admin_port, "POST", "/cache/purge", { body = body })
      assert.equal(400, response.status)
      assert.truthy(response.body:find("prefix", 1, true))
    end
    assert.equal(413, client.request(gateway.admin_port, "POST", "/cache/purge", { body = ("x"):rep(20000) }).status)
    assert.equal(405, client.get(gateway.admin_port, "/cache/purge").status)
  end)

  it("does not keep what was purged while it came", function()
    local first = ask "/raced"
    local c = upstream:accept()
    c:request()
    assert.same({ purged = 0 }, json.decode(purge({ key = "http://localhost/raced" }).body))
    c:respond(200, FRESH, "old")
    answers_with({ first }, "old")
    local second = ask "/raced"
    upstream:serve(200, FRESH, "new")
    answers_with({ second }, "new")
  end)

  it("keeps within its budget, and fails no request for it", function()
    local body = ("x"):rep(20000)
    for i = 1, 2000 do
      local one = ask("/" .. i)
      local _, c = upstream:serve(200, FRESH, body)
      c:close()
      answers_with({ one }, body)
    end
    answers_with({ ask "/2000" }, body)
  end)

  it("ends in order while it fetches what no client waits for", function()
    for _, head in ipairs { "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "Content-Length: 9\r\n\r\nabc" } do
      local one = ask("/left" .. #head)
      local c = upstream:accept()
      c:request()
      c:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n", head)
      one:read_until "abc"
      one:reset()
      assert.is_true(c:is_silent(0.1))
    end
    gateway:signal "TERM"
    assert.equal(0, gateway:wait())
  end)

  it("ends when those have all that read along with one who has left", function()
    local first = ask "/shared"
    local c = upstream:accept()
    c:request()
    c:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 6\r\n\r\nabc")
    first:read_until "abc"
    local second = ask "/shared"
    second:read_until "abc"
    first:reset()
    gateway:signal "TERM"
    assert.is_true(c:is_silent(0.2))
    c:send "def"
    assert.equal("def", second:read(3))
    second:close()
    assert.equal(0, gateway:wait())
  end)

  it("survives reloads", function()
    local one = ask "/kept"
    upstream:serve(200, FRESH, "kept")
    answers_with({ one }, "kept")
    assert.equal(200, client.request(gateway.admin_port, "POST", "/reload").status)
    answers_with({ ask "/kept" }, "kept")
  end)
end)
