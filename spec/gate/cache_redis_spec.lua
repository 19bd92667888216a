-- SPDX-License-Identifier: Apache-2.0

-- Gateways that share what one of them has fetched, through a Redis; and what becomes of requests when that is slow, gone,
-- full or lies.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local json = require "cjson"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local test = require "demilune.test"
local wait = require "spec.support.wait"

local CONFIG = [[
redis: [{ name: main, url: "%s", connect_timeout: 10s, timeout: %s }]
routes:
  - name: all
    paths: ["/*"]
    upstream: http://127.0.0.1:%d
    plugins: [{ name: cache, config: { store: redis, redis: main, store_timeout: %s } }]
]]
local PREFIX = "demilune:cache:1:route:all:"
local FRESH = { ["Cache-Control"] = "max-age=600", Connection = "close" }

local function fresh(more)
  local headers = { ["Cache-Control"] = "max-age=600", Connection = "close" }
  for name, value in pairs(more or {}) do
    headers[name] = value
  end
  return headers
end

describe("gateways that share a Redis", function()
  local redis, upstream, one, two

  before_each(function()
    redis = test.redis()
    upstream = origin.listen()
  end)

  after_each(function()
    for _, gateway in pairs { one, two } do
      gateway:stop()
    end
    one, two = nil, nil
    upstream:close()
  end)

  local function start(timeout, of_server)
    return server.start(CONFIG:format(redis.url, of_server or "1s", upstream.port, timeout or "5s"), { workers = 2 })
  end

  local function figure(gateway, result)
    local page = client.get(gateway.admin_port, "/metrics").body
    return tonumber(page:match('demilune_cache_redis_total{place="route:all",result="' .. result .. '"} (%d+)')) or 0
  end

  local function responses(gateway)
    return tonumber(client.get(gateway.admin_port, "/metrics").body:match 'cache_responses{place="route:all"} (%d+)')
  end

  -- Asks a gateway, and lets the upstream answer.
  local function fetch(gateway, path, headers, body, options)
    local kept = figure(gateway, "kept")
    local c = client.connect(gateway.port)
    c:send(client.bytes("GET", path, options))
    local asked, up = upstream:serve(200, headers, body)
    local response = c:response "GET"
    c:close()
    up:close()
    assert.equal(body, response.body)
    wait("Redis to have it", function() return figure(gateway, "kept") == kept + 1 end)
    return asked
  end

  local function get(gateway, path, options)
    local response = client.get(gateway.port, path, options)
    return response.body, response.headers["cache-status"], response
  end

  -- ... whom the upstream is not asked by.
  local function has(gateway, path, body, options)
    assert.equal(body, (get(gateway, path, options)))
    assert.is_true(upstream:is_left_alone(0))
  end

  local function purge(gateway, what)
    assert.equal(200, client.request(gateway.admin_port, "POST", "/cache/purge", { body = json.encode(what) }).status)
  end

  local function listens(gateway)
    local n = tonumber(redis:command("PUBSUB", "NUMSUB", PREFIX .. "purges")[2])
    return n == (gateway or 2)
  end

  local function both()
    one, two = start(), start()
    wait("both to listen", listens)
  end

  it("find what one of them has fetched", function()
    both()
    local body = ("\0\r\n\255"):rep(1000)
    fetch(one, "/a?x=1", fresh { ETag = '"1"', ["X-Two"] = "b", ["Content-Type"] = "a/b" }, body)
    posix.sleep(0.6)
    posix.sleep(0.6) -- it is older than a second now
    local got, status, response = get(two, "/a?x=1")
    assert.equal(body, got)
    assert.matches("^demilune; hit; detail=redis; ttl=59%d$", status)
    assert.is_true(tonumber(response.headers.age) >= 1)
    assert.same({ '"1"', "b", "a/b" },
      { response.headers.etag, response.headers["x-two"], response.headers["content-type"] })
    assert.matches("^demilune; hit; ttl=59%d$", (select(2, get(two, "/a?x=1")))) -- from its memory now
    assert.equal(304, client.get(two.port, "/a?x=1", { headers = { ["If-None-Match"] = '"1"' } }).status)
    assert.is_true(upstream:is_left_alone(0))
    assert.equal(1, figure(two, "hit"))
    two:stop()
    two = start()
    has(two, "/a?x=1", body)
  end)

  it("have keys of their own in each place, whatever its name", function()
    one = server.start(CONFIG:gsub("name: all", 'name: "a:u"'):format(redis.url, "1s", upstream.port, "5s"))
    wait("it to listen", function()
      return redis:command("PUBSUB", "NUMSUB", "demilune:cache:1:route:a%3Au:purges")[2] == 1
    end)
    assert.equal(0, #redis:command("PUBSUB", "CHANNELS", "demilune:cache:1:route:a:*"))
  end)

  it("keep apart what varies", function()
    both()
    local function with(language) return { headers = { ["Accept-Language"] = language } } end
    local vary = fresh { Vary = "Accept-Language, Accept" }
    fetch(one, "/v", vary, "deutsch", with "de")
    fetch(one, "/v", vary, "english", with "en")
    has(two, "/v", "english", with "en")
    has(two, "/v", "deutsch", with "de")
    fetch(two, "/v", vary, "francais", with "fr")
    has(one, "/v", "francais", with "fr")
  end)

  it("share what has no length of its own, and what was found still to hold", function()
    both()
    local c = client.connect(one.port)
    c:send(client.bytes("GET", "/c"))
    local up = upstream:accept()
    up:request()
    up:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=0, stale-while-revalidate=60\r\nETag: \"1\"\r\n",
      "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert.equal("abc", c:response("GET").body)
    up:close()
    wait("Redis to have it", function() return figure(one, "kept") == 1 end)
    assert.equal("abc", (get(one, "/c"))) -- and asks in the background
    up = upstream:accept()
    assert.equal('"1"', up:request().headers["if-none-match"])
    up:respond(304, { ["Cache-Control"] = "max-age=600", Connection = "close" })
    up:close()
    wait("Redis to have that", function() return figure(one, "kept") == 2 end)
    has(two, "/c", "abc")
  end)

  for what, text in pairs { key = "http://localhost/p/1", prefix = "http://localhost/p", tag = "red" } do
    it("forget together what is purged by " .. what, function()
      both()
      fetch(one, "/p/1", fresh { ["Cache-Tag"] = "red, green" }, "old")
      fetch(one, "/q", FRESH, "other")
      has(two, "/p/1", "old")
      has(two, "/q", "other")
      purge(one, { [what] = text })
      local c = client.connect(one.port)
      c:send(client.bytes("GET", "/p/1"))
      local _, up = upstream:serve(200, FRESH, "new") -- at once, though Redis may not have heard of it yet
      up:close()
      assert.equal("new", c:response("GET").body)
      c:close()
      wait("the other to have heard of it", function() return responses(two) == 1 end)
      fetch(two, "/p/1", FRESH, "newer")
      has(two, "/q", "other")
      assert.matches("^newe?r?$", (get(one, "/p/1"))) -- its own purge may have come back meanwhile
      assert.is_true(upstream:is_left_alone(0))
    end)
  end

  it("forget together what was written to", function()
    both()
    fetch(one, "/w", FRESH, "old")
    has(two, "/w", "old")
    local c = client.connect(one.port)
    c:send(client.bytes("POST", "/w", { body = "x" }))
    local _, up = upstream:serve(200, { Connection = "close" }, "done")
    up:close()
    assert.equal("done", c:response("POST").body)
    c:close()
    wait("the purge to be there", function() return redis:command("GET", PREFIX .. "n") == "1" end)
    fetch(two, "/w", FRESH, "new")
    has(one, "/w", "new")
  end)

  it("do not keep there what was purged while it came", function()
    both()
    local c = client.connect(one.port)
    c:send(client.bytes("GET", "/raced"))
    local up = upstream:accept()
    up:request()
    purge(two, { key = "http://localhost/raced" })
    wait("the purge to be there", function() return redis:command("GET", PREFIX .. "n") == "1" end)
    up:respond(200, FRESH, "old")
    assert.equal("old", c:response("GET").body)
    up:close()
    wait("what comes too late is refused", function() return figure(one, "refused") + figure(one, "kept") > 0
      or #redis:command("HKEYS", PREFIX .. "u:http://localhost/raced") == 1 end)
    assert.same({ "g" }, redis:command("HKEYS", PREFIX .. "u:http://localhost/raced"))
  end)

  it("forget what they have in memory when they may have missed a purge", function()
    both()
    fetch(one, "/m", FRESH, "old")
    has(two, "/m", "old")
    redis:command("INCR", PREFIX .. "n") -- one that is not published
    redis:command("DEL", PREFIX .. "u:http://localhost/m")
    redis:command("CLIENT", "KILL", "TYPE", "pubsub")
    wait("both to listen again", listens)
    wait("nothing in memory", function() return responses(two) == 0 end)
  end)

  it("tell a purge that Redis could not hear as soon as it can", function()
    both()
    fetch(one, "/late", FRESH, "old")
    has(two, "/late", "old")
    redis:kill()
    purge(one, { tag = "x" })
    purge(one, { key = "http://localhost/late" })
    redis:restart()
    wait("both to listen", listens)
    wait("it to be there", function() return redis:command("GET", PREFIX .. "n") == "2" end)
    fetch(two, "/late", FRESH, "new")
  end)

  it("go on with their memory when it is gone, at no cost", function()
    one = start()
    fetch(one, "/g", FRESH, "kept")
    redis:kill()
    has(one, "/g", "kept")
    local from = posix.now()
    for i = 1, 20 do
      local c = client.connect(one.port)
      c:send(client.bytes("GET", "/g" .. i))
      local _, up = upstream:serve(200, FRESH, "x")
      up:close()
      assert.equal("x", c:response("GET").body)
      c:close()
      has(one, "/g" .. i, "x")
    end
    assert.is_true(posix.now() - from < posix.PATIENCE / 4)
    assert.equal(0, figure(one, "hit"))
  end)

  it("wait for it no longer than they may when it is slow, and not for long at that", function()
    one = start("50ms", "2m")
    fetch(one, "/s", FRESH, "kept")
    redis:pause()
    for i = 1, 20 do
      local c = client.connect(one.port)
      c:send(client.bytes("GET", "/s" .. i))
      local _, up = upstream:serve(200, FRESH, "x")
      up:close()
      assert.equal("x", c:response("GET").body)
      c:close()
    end
    assert.is_true(figure(one, "skipped") > 0)
    redis:resume()
    wait("it to be asked again", function()
      local before = figure(one, "kept")
      local c = client.connect(one.port)
      c:send(client.bytes("GET", "/again" .. posix.now()))
      local _, up = upstream:serve(200, FRESH, "x")
      up:close()
      c:response "GET"
      c:close()
      return figure(one, "kept") > before
    end)
  end)

  it("go on when it is full", function()
    one = start()
    redis:command("CONFIG", "SET", "maxmemory", "1")
    redis:command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    local c = client.connect(one.port)
    c:send(client.bytes("GET", "/full"))
    local _, up = upstream:serve(200, FRESH, "x")
    up:close()
    assert.equal("x", c:response("GET").body)
    c:close()
    wait("it to refuse", function() return figure(one, "failed") > 0 end)
    has(one, "/full", "x")
  end)

  it("believe nothing that is not what they have asked for", function()
    one = start()
    fetch(one, "/mine", fresh { ["X-A"] = "b" }, "mine")
    fetch(one, "/other", FRESH, "other")
    local function hash(path) return PREFIX .. "u:http://localhost" .. path end
    local field
    for _, name in ipairs(redis:command("HKEYS", hash "/mine")) do
      field = name:match "^r.+" or field
    end
    local good = redis:command("HGET", hash "/mine", field)
    local others = redis:command("HGET", hash "/other", field)
    for _, bad in ipairs {
      others, good:sub(1, -2), good .. "x", "", ("x"):rep(100),
      good:sub(1, -13) .. "evil" .. good:sub(-8), good:sub(1, 20) .. "\255" .. good:sub(22),
    } do
      redis:command("HSET", hash "/mine", field, bad)
      one:stop()
      one = start()
      fetch(one, "/mine", fresh { ["X-A"] = "b" }, "mine")
      assert.equal(1, figure(one, "refused"))
    end
    redis:command("DEL", hash "/mine")
    redis:command("SET", hash "/mine", "of another type")
    one:stop()
    one = start()
    local c = client.connect(one.port)
    c:send(client.bytes("GET", "/mine"))
    local _, up = upstream:serve(200, FRESH, "mine")
    up:close()
    assert.equal("mine", c:response("GET").body)
    c:close()
  end)

  it("keep what they share over reloads", function()
    one = start()
    fetch(one, "/r", FRESH, "x")
    for _ = 1, 3 do
      assert.equal(200, client.request(one.admin_port, "POST", "/reload").status)
      has(one, "/r", "x")
    end
    fetch(one, "/r2", FRESH, "y")
  end)
end)
