-- SPDX-License-Identifier: Apache-2.0

-- Bodies on their way: large ones in bounded memory, slow readers and writers, chunks, trailers, Expect.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local process = require "spec.support.process"
local server = require "spec.support.server"

local MIB = 1024 * 1024
local LARGE = 150 * MIB
local PIECE = ("0123456789abcdef"):rep(65536) -- 1 MiB
local GROWTH = 8 * MIB -- of the gateway while such a body passes: windows and buffers, not the body

describe("a body", function()
  local gateway, upstream, c, u

  local function start(more, route)
    upstream = origin.listen()
    gateway = server.start(([[
%s
upstreams: [{ name: up, endpoints: [{ address: "127.0.0.1:%d" }] }]
routes: [{ name: all, upstream: up %s }]
]]):format(more or "limits: { request_body: 1GiB }", upstream.port, route or ""), { workers = 1, env = process.LEAN })
    c = client.connect(gateway.port)
  end

  after_each(function()
    c:close()
    if u then
      u:close()
    end
    u = nil
    upstream:close()
    gateway:stop()
  end)

  local before

  local function is_bounded()
    return process.has_grown_less(gateway.process, before, GROWTH)
  end

  -- Moves `size` bytes of content from one end to the other, as fast as both go.
  local function pass(from, to, size)
    local sent, got = 0, #to.rest
    before = process.rss(gateway.process)
    to.rest = ""
    while got < size do
      if sent < size and from:has_room(0) then
        sent = sent + from:send_some(PIECE:sub(1, math.min(#PIECE, size - sent)))
      end
      if posix.readable(to.fd, sent < size and 0 or posix.PATIENCE) then
        assert(to:more())
        got = got + #to.rest
        to.rest = ""
      end
      assert.is_true(is_bounded())
    end
    assert.equal(size, got)
  end

  describe("that is large", function()
    it("goes up in bounded memory", function()
      start()
      c:send(("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"):format(LARGE))
      u = upstream:accept()
      u:request_head()
      pass(c, u, LARGE)
      u:respond(200, {}, "ok")
      assert.equal("ok", c:response().body)
    end)

    it("comes down in bounded memory", function()
      start()
      c:send(client.bytes("GET", "/"))
      u = upstream:accept()
      u:request()
      u:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(LARGE))
      c:response_head()
      pass(u, c, LARGE)
      c:send(client.bytes("GET", "/next"))
      assert.equal("/next", u:request().target)
      u:respond(200, {}, "ok")
      assert.equal("ok", c:response().body)
    end)

    it("comes down to a client that reads by fits and starts", function()
      start()
      c:send(client.bytes("GET", "/"))
      u = upstream:accept()
      u:request()
      u:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(20 * MIB))
      c:response_head()
      before = process.rss(gateway.process)
      local sent, got = 0, #c.rest
      c.rest = ""
      while got < 20 * MIB do
        while sent < 20 * MIB and u:has_room(0.02) do -- all that fits on the way
          sent = sent + u:send_some(PIECE:sub(1, math.min(MIB, 20 * MIB - sent)))
        end
        assert.is_true(is_bounded())
        local burst = got + 3 * MIB
        while got < math.min(burst, 20 * MIB) and posix.readable(c.fd, 0.02) do
          assert(c:more())
          got = got + #c.rest
          c.rest = ""
        end
      end
    end)

    it("waits for an upstream that does not read, in bounded memory", function()
      start()
      c:send(("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"):format(LARGE))
      u = upstream:accept()
      u:request_head()
      before = process.rss(gateway.process)
      local sent = 0
      while sent < LARGE and c:has_room(0.3) do
        sent = sent + c:send_some(PIECE)
      end
      assert.is_true(sent < 50 * MIB)
      assert.is_true(is_bounded())
    end)

    it("is not read at all while nobody wants it", function()
      start("limits: { request_body: 1GiB }", ", timeout: 10s")
      upstream:close()
      upstream = origin.listen()
      -- Nobody is at the old port: this is answered at once, and what follows is dropped.
      c:send(("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"):format(LARGE))
      assert.equal(502, c:response().status)
      local sent = 0
      while sent < LARGE and c:has_room(0.3) do
        local n = c:send_some(PIECE)
        if n == 0 then
          break
        end
        sent = sent + n
      end
      assert.is_true(sent < 20 * MIB)
    end)
  end)

  describe("in chunks", function()
    it("arrives whole however it was cut", function()
      start()
      local body = ("The quick brown fox. "):rep(300)
      local bytes, at = { "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" }, 1
      local sizes = { 1, 2, 3, 15, 16, 17, 255, 256, 4095, 1 }
      while at <= #body do
        local piece = body:sub(at, at + sizes[#bytes % #sizes + 1] - 1)
        bytes[#bytes + 1] = ("%x;n=\"a\\\"b\"\r\n%s\r\n"):format(#piece, piece)
        at = at + #piece
      end
      local all = table.concat(bytes) .. "000\r\n\r\n"
      for _, step in ipairs { 1, 7, #all } do
        for i = 1, #all, step do
          c:send(all:sub(i, i + step - 1))
        end
        u = u or upstream:accept()
        assert.equal(body, u:request().body)
        u:respond(200, {}, "ok")
        assert.equal("ok", c:response().body)
      end
    end)

    it("keeps its trailers, both ways, but not those that would change the message", function()
      start()
      c:send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n",
        "2\r\nhi\r\n0\r\nX-Sum: up\r\nContent-Length: 5\r\nHost: evil\r\nTransfer-Encoding: gzip\r\n\r\n")
      u = upstream:accept()
      u:request_head()
      local up = u:read_until "\r\n\r\n"
      assert.matches("0\r\nX-Sum: up\r\n\r\n", up, 1, true)
      assert.is_nil(up:find("evil", 1, true))
      u:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n0\r\nX-Sum: down\r\n",
        "Set-Cookie: a=1\r\nContent-Length: 7\r\n\r\n")
      c:response_head()
      local down = c:read_until "\r\n\r\n"
      assert.matches("0\r\nX-Sum: down\r\n", down, 1, true)
      assert.is_nil(down:find("Content-Length", 1, true))
      c:send(client.bytes("GET", "/next"))
      assert.equal("/next", u:request().target)
    end)

    it("has an end by closing for a client of HTTP/1.0", function()
      start()
      c:send "GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
      u = upstream:accept()
      u:request()
      u:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
      local head = c:response_head()
      assert.is_nil(head.headers["transfer-encoding"])
      u:send "6\r\n world\r\n0\r\n\r\n"
      local body, how = c:read_all()
      assert.equal("hello world", body)
      assert.equal("closed", how)
    end)

    it("has a length where it is all there already", function()
      start()
      c:send "GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
      u = upstream:accept()
      u:request()
      u:send "HTTP/1.1 204 None\r\n\r\n"
      assert.equal(204, c:response().status)
      c:send "GET /2 HTTP/1.0\r\nHost: x\r\n\r\n"
      assert.equal("/2", u:request().target)
    end)
  end)

  describe("of an answer that may have none", function()
    it("is dropped after HEAD, and the connection with it", function()
      start()
      c:send(client.bytes("HEAD", "/"))
      u = upstream:accept()
      u:request()
      u:send "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
      local response = c:response "HEAD"
      assert.equal("5", response.headers["content-length"])
      c:send(client.bytes("GET", "/2"))
      u:close()
      u = upstream:accept()
      assert.equal("/2", u:request().target)
      u:respond(200, {}, "two")
      assert.equal("two", c:response().body)
    end)
  end)

  describe("that waits for 100 Continue", function()
    local EXPECT = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

    it("is sent when the upstream says so", function()
      start()
      c:send(EXPECT)
      u = upstream:accept()
      assert.equal("100-continue", u:request_head().headers.expect)
      assert.is_true(c:is_silent(0.05))
      u:send "HTTP/1.1 100 Continue\r\n\r\n"
      assert.equal(100, c:response_head().status)
      c:send "hello"
      assert.equal("hello", u:read(5))
      u:respond(200, {}, "ok")
      assert.equal("ok", c:response().body)
    end)

    it("is not sent when the upstream answers", function()
      start()
      c:send(EXPECT)
      u = upstream:accept()
      u:request_head()
      u:respond(401, {}, "no")
      local response = c:response()
      assert.equal(401, response.status)
      assert.equal("close", response.headers.connection) -- who knows whether the body still comes
    end)

    it("may come without waiting", function()
      start()
      c:send(EXPECT, "hello")
      u = upstream:accept()
      u:request_head()
      assert.equal("hello", u:read(5))
      u:respond(200, {}, "ok")
      assert.equal("ok", c:response().body)
    end)

    it("is given up with 504 when the upstream says nothing", function()
      start("limits: { body_timeout: 1h }", ", timeout: 200ms")
      c:send(EXPECT)
      u = upstream:accept()
      u:request_head()
      assert.equal(504, c:response().status)
    end)
  end)
end)
