-- SPDX-License-Identifier: Apache-2.0

-- The response cache in a gateway with several workers: many that want the same, slow and leaving clients, purges, a
-- crash.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local json = require "cjson"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local CONFIG = [[
routes:
  - name: all
    paths: ["/*"]
    upstream: http://127.0.0.1:%d
    plugins: [{ name: cache, config: { size: 16MiB, max_object: 1MiB } }]
]]
local FRESH = { ["Cache-Control"] = "max-age=600", Connection = "close" } -- the next request comes by a new one

describe("check", function()
  local CHAIN = [[
routes:
  - name: named
    paths: ["/{name}"]
    upstream: http://127.0.0.1:9
    plugins:
      - { name: headers, config: { request: { set: { x-a: "%s" } } } }
      - { name: cache, config: {%s} }
]]

  local function check(value, config)
    local folder = server.folder()
    local text = "listeners: [{ address: 127.0.0.1:0 }]\n" .. CHAIN:format(value, config)
    local result = server.run { "check", "-c", folder:write("demilune.yaml", text) }
    folder:remove()
    assert.equal(0, result.status)
    return result.out .. result.err
  end

  it("warns where a plugin sends upstream what the cache has no part of its key", function()
    for _, selector in ipairs { "header:X-Tenant", "cookie:lang", "claim:tenant", "client_ip", "consumer" } do
      local template = "a-{" .. selector .. "}"
      local warning = '"headers" sends upstream what "' .. selector
      assert.matches(warning, check(template, ""), 1, true)
      assert.is_nil(check(template, ' vary: ["' .. selector .. '"] '):find("warning", 1, true))
      assert.is_nil(check(template, ' vary: ["header:X-A"] '):find("warning", 1, true))
      assert.is_nil(check(template, ' key: "{path} {' .. selector .. '}" '):find("warning", 1, true))
    end
  end)

  it("does not where that is of the URL, or no part of the request", function()
    for _, template in ipairs { "fixed", "{{header:x}}", "{host} {path} {query:a}", "{name}", "{param:name}" } do
      assert.is_nil(check(template, ""):find("warning", 1, true))
    end
    assert.matches("warning", check("{query:a}", ' key: "{path}" '))
  end)
end)

describe("check, of what goes upstream beside the cache's key,", function()
  local CACHE = "{ name: cache%s }"
  local CHAINS = {
    ["claim:sub"] = [[
    plugins:
      - { name: oauth2, config: { issuer: "https://id.example.com", audience: a, claims_to_headers: { sub: x-a } } }
      - %s
]],
    ["header:x-a"] = [[
    plugins: [{ name: forward-auth, config: { url: "http://127.0.0.1:9/", upstream_headers: [x-a] } }, %s] ]],
    ["header:x-b"] = [[
    rewrite: "/b/{header:x-b}"
    plugins: [%s] ]],
    ["cookie:c"] = [[
    plugins: [%s, { name: headers, config: { request: { set: { x-a: "{cookie:c}" } } } }] ]],
  }

  local function check(chain, config, global)
    local folder = server.folder()
    local text = "listeners: [{ address: 127.0.0.1:0 }]\n" .. (global or "")
      .. "routes:\n  - name: a\n    paths: [/]\n    upstream: http://127.0.0.1:9\n"
      .. chain:format(CACHE:format(config))
    local result = server.run { "check", "-c", folder:write("demilune.yaml", text) }
    folder:remove()
    assert.equal(0, result.status, result.err)
    return result.out .. result.err
  end

  it("warns whichever plugin or key it is, and wherever that stands", function()
    for selector, chain in pairs(CHAINS) do
      assert.matches('sends upstream what "' .. selector, check(chain, ""), 1, true)
      assert.is_nil(check(chain, (', config: { vary: ["%s"] }'):format(selector)):find("warning", 1, true), selector)
    end
    for _, rest in ipairs {
      '    rewrite: "/b/{header:x-b}"\n',
      '    plugins: [{ name: headers, config: { request: { add: { x-b: "{header:x-b}" } } } }]\n',
    } do
      assert.matches('sends upstream what "header:x-b', check(rest, "", "plugins: [{ name: cache }]\n"), 1, true)
    end
  end)
end)

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

  local function figure(name)
    return tonumber(client.get(gateway.admin_port, "/metrics").body:match("\n" .. name .. '{place="route:all"} (%d+)'))
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

  it("is told something early where no client waits for it", function()
    local stale = { ["Cache-Control"] = "max-age=0, stale-while-revalidate=600", ETag = '"1"', Connection = "close" }
    local one = ask "/early"
    upstream:serve(200, stale, "old")
    answers_with({ one }, "old")
    answers_with({ ask "/early" }, "old")
    local c = upstream:accept()
    c:request()
    c:send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
    c:respond(200, FRESH, "new")
    c:close()
    wait("the new one", function()
      local response = client.get(gateway.port, "/early")
      return response.status == 200 and response.body == "new"
    end)
    assert.is_true(upstream:is_left_alone(0))
  end)

  it("asks once more, for all who wait, when what it asks for is purged", function()
    local clients = asks(50, "/twice")
    local c = upstream:accept()
    c:request()
    purge { prefix = "" }
    c:respond(200, FRESH, "old")
    upstream:serve(200, FRESH, "new")
    local bodies = {}
    for _, one in ipairs(clients) do
      local body = one:response("GET").body
      bodies[body] = (bodies[body] or 0) + 1
      one:close()
    end
    assert.same({ old = 1, new = 49 }, bodies)
    assert.is_true(upstream:is_left_alone(0))
  end)

  it("keeps what was good when it is asked whether it still is, and the upstream fails", function()
    local stale = { ["Cache-Control"] = "max-age=0, stale-if-error=600", ETag = '"1"', Connection = "close" }
    local one = ask "/fails"
    upstream:serve(200, stale, "good")
    answers_with({ one }, "good")
    for _, fail in ipairs { "close", "status", "head" } do
      local clients = asks(20, "/fails")
      local c = upstream:accept()
      assert.equal('"1"', c:request().headers["if-none-match"])
      if fail == "status" then
        c:respond(503, { Connection = "close" }, "bad")
      elseif fail == "head" then
        c:send "HTTP/1.1 200 OK\r\nContent-"
      end
      c:close()
      answers_with(clients, "good")
    end
  end)

  it("bounds the variants of a URL", function()
    local headers = { ["Cache-Control"] = "max-age=600", Vary = "X-Mine", Connection = "close" }
    local function get(i)
      local c = client.connect(gateway.port)
      c:send(client.bytes("GET", "/many", { headers = { ["X-Mine"] = tostring(i) } }))
      return c
    end
    for i = 1, 1000 do
      local c = get(i)
      local _, up = upstream:serve(200, headers, tostring(i))
      up:close()
      answers_with({ c }, tostring(i))
    end
    for i = 1000 - 63, 1000 do
      answers_with({ get(i) }, tostring(i))
    end
    assert.equal(64, figure "demilune_cache_responses")
  end)

  it("tells what it keeps", function()
    local one = ask "/told"
    upstream:serve(200, FRESH, ("x"):rep(5000))
    answers_with({ one }, ("x"):rep(5000))
    assert.equal(1, figure "demilune_cache_responses")
    assert.equal(0, figure "demilune_cache_evictions_total")
    assert.equal(16 * 1024 * 1024, figure "demilune_cache_limit_bytes")
    local bytes = figure "demilune_cache_bytes"
    assert.is_true(bytes > 5000 and bytes < 7000)
  end)

  it("counts what is on its way, and keeps no more of it than there is room for", function()
    local ups, clients = {}, {}
    for i = 1, 24 do -- 24 MB of 16, of unknown length each
      clients[i] = ask("/way" .. i)
      ups[i] = upstream:accept()
      ups[i]:request()
      ups[i]:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nConnection: close\r\n\r\n")
      clients[i]:read_until "\r\n\r\n"
      ups[i]:send(("x"):rep(1000000))
      assert.equal(1000000, #clients[i]:read(1000000))
    end
    local bytes = figure "demilune_cache_bytes"
    assert.is_true(bytes >= 1000000 and bytes <= 8 * 1024 * 1024, bytes)
    for i = 1, 24 do
      ups[i]:close()
      clients[i]:read_until "\r\n0\r\n\r\n"
      clients[i]:close()
    end
    assert.equal(200, purge({ prefix = "" }).status)
    wait("nothing more on its way", function() return figure "demilune_cache_bytes" == 0 end)
  end)

  it("begins anew when the process is killed while it fills", function()
    local one = ask "/killed"
    local c = upstream:accept()
    c:request()
    c:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 6\r\n\r\nabc")
    one:read_until "abc"
    posix.kill(gateway.process, posix.SIGKILL)
    assert.is_true(one:is_ended())
    c:close()
    gateway:event "supervisor.restarted"
    local two = ask "/killed"
    upstream:serve(200, FRESH, "whole")
    answers_with({ two }, "whole")
    answers_with({ ask "/killed" }, "whole")
  end)

  it("survives reloads", function()
    local one = ask "/kept"
    upstream:serve(200, FRESH, "kept")
    answers_with({ one }, "kept")
    assert.equal(200, client.request(gateway.admin_port, "POST", "/reload").status)
    answers_with({ ask "/kept" }, "kept")
  end)
end)
