-- SPDX-License-Identifier: Apache-2.0

-- What a client may send, how slowly, and how much of it at once.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local LIMITS = [[
limits: %s
upstreams: [{ name: up, endpoints: [{ address: "127.0.0.1:%d" }] }]
routes:
  - name: hello
    paths: [/hello]
    respond: { body: hello }
  - name: small
    paths: [/small]
    request_body: 10
    upstream: up
  - name: quick
    paths: [/quick]
    body_timeout: 50ms
    upstream: up
  - name: all
    upstream: up
]]

local HELLO = client.bytes("GET", "/hello")

describe("a limit", function()
  local gateway, upstream, open

  local function start(limits, workers)
    upstream = origin.listen()
    gateway = server.start(LIMITS:format(limits, upstream.port), { workers = workers or 1 })
  end

  local function connect()
    local c = client.connect(gateway.port)
    open[#open + 1] = c
    return c
  end

  before_each(function()
    open = {}
  end)

  after_each(function()
    for _, c in ipairs(open) do
      c:close()
    end
    upstream:close()
    gateway:stop()
  end)

  local function answer_to(...)
    local c = connect()
    c:try(...)
    local response = c:response()
    return response, c
  end

  local function is_closed_with(status, ...)
    local response, c = answer_to(...)
    assert.equal(status, response.status)
    assert.equal("close", response.headers.connection)
    assert.equal("", (c:read_all()))
  end

  describe("of size:", function()
    before_each(function()
      start "{ request_line: 256, request_head: 1000, headers: 10, request_body: 1000 }"
    end)

    it("a request line", function()
      local rest = " HTTP/1.1\r\nHost: x\r\n\r\n"
      assert.equal(200, answer_to("GET /hello?" .. ("a"):rep(256 - #"GET /hello? HTTP/1.1") .. rest).status)
      is_closed_with(414, "GET /hello?" .. ("a"):rep(257 - #"GET /hello? HTTP/1.1") .. rest)
      is_closed_with(414, "GET /hello?" .. ("a"):rep(1e6))
    end)

    it("a head", function()
      local fixed = "GET /hello HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n"
      local function of(size)
        return (fixed:gsub("X: ", "X: " .. ("a"):rep(size - #fixed)))
      end
      assert.equal(200, answer_to(of(1000)).status)
      is_closed_with(431, of(1001))
      is_closed_with(431, "GET /hello HTTP/1.1\r\nHost: x\r\nX: " .. ("a"):rep(1e6))
    end)

    it("the number of fields", function()
      local first = "GET /hello HTTP/1.1\r\nHost: x\r\n"
      assert.equal(200, answer_to(first .. ("A: 1\r\n"):rep(9) .. "\r\n").status)
      is_closed_with(431, first .. ("A: 1\r\n"):rep(10) .. "\r\n")
    end)

    it("a body that says its length, before a byte of it is sent", function()
      is_closed_with(413, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
      is_closed_with(413, "POST /small HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
      assert.is_true(upstream:is_left_alone(0.05))
    end)

    it("a body that is so small that dropping it costs less than a new connection", function()
      local response, c = answer_to("POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world", HELLO)
      assert.equal(413, response.status)
      assert.equal("hello", c:response().body)
      assert.is_true(upstream:is_left_alone(0.05))
    end)

    it("a body in chunks, at the first byte too many", function()
      local response = answer_to("POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "b\r\nhello world\r\n")
      assert.equal(413, response.status)
      local u = upstream:accept()
      assert.is_nil(u:read_all():find("0\r\n\r\n", 1, true))
      u:close()
    end)

    it("a body of just that size passes", function()
      local c = connect():send(client.bytes("POST", "/small", { body = "0123456789" }))
      local request, u = upstream:serve(200, {}, "ok")
      assert.equal("0123456789", request.body)
      assert.equal(200, c:response().status)
      u:close()
    end)
  end)

  describe("of time:", function()
    it("a slow head is told so", function()
      start "{ header_timeout: 50ms, idle_timeout: 1h }"
      is_closed_with(408, "GET /hello HTTP/1.1\r\nHo")
      is_closed_with(408, "G")
    end)

    it("a head that trickles is no faster", function()
      start "{ header_timeout: 100ms, idle_timeout: 1h }"
      local c = connect():send "GET /hello HTTP/1.1\r\n"
      local began = posix.now()
      while not posix.readable(c.fd, 0.02) and posix.now() < began + posix.PATIENCE do
        c:try "A: 1\r\n"
      end
      assert.equal(408, c:response().status)
    end)

    it("a head behind another one has its own time", function()
      start "{ header_timeout: 50ms, idle_timeout: 1h }"
      local c = connect():send(HELLO, "GET /hello HT")
      assert.equal(200, c:response().status)
      assert.equal(408, c:response().status)
      assert.is_true(c:is_ended())
    end)

    it("empty lines are no request, however they trickle", function()
      start "{ header_timeout: 150ms, idle_timeout: 150ms }"
      local c = connect()
      local began, n = posix.now(), 0
      while not posix.readable(c.fd, 0.02) and posix.now() < began + posix.PATIENCE do
        n = n + 1
        c:try(n % 2 == 1 and "\r" or "\n")
      end
      assert.is_true(posix.readable(c.fd, 0))
    end)

    it("a slow body is told so, and cut off upstream", function()
      start "{ body_timeout: 50ms }"
      local c = connect():send "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234"
      local u = upstream:accept()
      u:read_until "01234"
      assert.equal(408, c:response().status)
      assert.equal("", (c:read_all()))
      assert.equal("", (u:read_all()))
      u:close()
    end)

    it("a route has its own for bodies", function()
      start "{ body_timeout: 1h }"
      is_closed_with(408, "POST /quick HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab")
    end)

    it("a body that goes on is not slow", function()
      start "{ body_timeout: 1s }"
      local c = connect():send "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 25\r\n\r\n"
      local u = upstream:accept()
      u:request_head()
      for i = 1, 25 do -- all together longer than the limit
        c:send(tostring(i % 10))
        u:read(1)
        assert.is_true(u:is_silent(0.05))
      end
      u:respond(200, {}, "ok")
      assert.equal(200, c:response().status)
      u:close()
    end)

    it("an idle connection is closed without a word", function()
      start "{ idle_timeout: 300ms, header_timeout: 1h }"
      assert.is_true(connect():is_ended())
      local c = connect():send(HELLO)
      assert.equal(200, c:response().status)
      assert.is_true(c:is_ended())
    end)

    it("a client that takes nothing of its answer is left", function()
      start "{ idle_timeout: 200ms }"
      local c = connect():send(client.bytes("GET", "/"))
      local u = upstream:accept()
      u:request()
      u:send "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
      local piece = ("x"):rep(65536)
      wait("the gateway to give up on its client", function()
        return not pcall(u.send, u, piece) or u:is_ended(0)
      end)
      assert.is_not_nil(c)
      u:close()
    end)
  end)

  describe("of number:", function()
    it("connections beyond the cap wait until one has gone", function()
      start("{ connections: 4 }", 2)
      local held = {}
      for i = 1, 4 do
        held[i] = connect():send(HELLO)
        assert.equal(200, held[i]:response().status)
      end
      local late = connect():send(HELLO)
      assert.is_true(late:is_silent(0.2))
      for i = 1, 4 do
        held[i]:close()
      end
      assert.equal(200, late:response().status)
    end)

    it("a thousand pipelined requests are answered in order", function()
      start "{ request_body: 1000 }"
      local c = connect()
      local sent, got = 0, 0
      while got < 1000 do
        while sent < 1000 and c:has_room(0) and sent < got + 200 do
          c:send(HELLO)
          sent = sent + 1
        end
        assert.equal("hello", c:response().body)
        got = got + 1
      end
    end)

    it("pipelined requests are not read ahead without end", function()
      start "{ idle_timeout: 1h }"
      local c = connect():send(client.bytes("GET", "/"))
      local u = upstream:accept()
      u:request()
      local bytes, taken = HELLO:rep(1000), 0
      while taken < 100e6 and c:has_room(0.3) do
        taken = taken + c:send_some(bytes)
      end
      assert.is_true(taken < 30e6, "the gateway reads what it can't serve yet")
      u:respond(200, {}, "first")
      assert.equal("first", c:response().body)
      for _ = 1, 1000 do
        assert.equal("hello", c:response().body)
      end
      u:close()
    end)

    it("a client that asks and takes no answers is not served without end", function()
      start "{ idle_timeout: 1h }"
      local c = connect()
      local bytes, taken = HELLO:rep(1000), 0
      while taken < 300e6 and c:has_room(0.3) do
        taken = taken + c:send_some(bytes)
      end
      assert.is_true(taken < 100e6, "answers pile up")
    end)
  end)
end)
