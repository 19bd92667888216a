-- SPDX-License-Identifier: Apache-2.0

-- WebSockets through the gateway: a tunnel on a 101 and on nothing else, with half-close, back-pressure and an end.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local origin = require "spec.support.origin"
local process = require "spec.support.process"
local server = require "spec.support.server"
local websocket = require "spec.support.websocket"

local HANDSHAKE, SWITCH = websocket.REQUEST, websocket.SWITCH

describe("a WebSocket", function()
  local gateway, upstream, c, u

  local function start(more, keys)
    upstream = origin.listen()
    gateway = server.start(([[
%s
upstreams:
  - name: up
    endpoints: [{ address: "127.0.0.1:%d" }]
    %s
routes: [{ name: all, upstream: up }]
]]):format(more or "", upstream.port, keys or ""), { workers = 1, env = process.LEAN })
  end

  local function shake(handshake, answer)
    c = client.connect(gateway.port):send(handshake or HANDSHAKE)
    u = upstream:accept()
    local request = u:request()
    u:send(answer or SWITCH)
    return c:response(), request
  end

  after_each(function()
    if c then
      c:close()
    end
    if u then
      u:close()
    end
    c, u = nil, nil
    upstream:close()
    gateway:stop()
  end)

  it("keeps its handshake whole", function()
    start()
    local response, request = shake()
    assert.equal(101, response.status)
    assert.equal("websocket", response.headers.upgrade:lower())
    assert.equal("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", response.headers["sec-websocket-accept"])
    assert.equal("13", request.headers["sec-websocket-version"])
    assert.equal("dGhlIHNhbXBsZSBub25jZQ==", request.headers["sec-websocket-key"])
    assert.is_nil(response.headers["content-length"])
    assert.is_nil(response.headers["transfer-encoding"])
  end)

  it("carries bytes that came with the handshake, either way", function()
    start()
    shake(HANDSHAKE .. "early", SWITCH .. "first")
    assert.equal("first", c:read(5))
    assert.equal("early", u:read(5))
  end)

  it("ends one way at a time", function()
    start()
    shake()
    c:send "last"
    c:shutdown()
    assert.equal("last", (u:read_all()))
    u:send(("still "):rep(10000))
    assert.equal(60000, #c:read(60000))
    u:close()
    u = nil
    assert.is_true(c:is_ended())
  end)

  it("ends the other way first, too", function()
    start()
    shake()
    u:send "last"
    u:shutdown()
    assert.equal("last", (c:read_all()))
    c:send "still"
    assert.equal("still", u:read(5))
    c:close()
    c = nil
    assert.is_true(u:is_ended())
  end)

  it("is broken off at both ends when one resets", function()
    start()
    shake()
    c:reset()
    c = nil
    assert.is_true(u:is_ended())
  end)

  it("is an ordinary request when the upstream says no", function()
    start()
    local response = shake(nil, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    assert.equal(403, response.status)
    assert.equal("no", response.body)
    c:send(client.bytes("GET", "/next"))
    assert.equal("/next", u:request().target)
    u:respond(200, {}, "fine")
    assert.equal("fine", c:response().body)
  end)

  it("is none when the upstream switches to something else", function()
    start()
    local response = shake(nil, "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert.equal(502, response.status)
    assert.is_true(u:is_ended())
  end)

  it("is none for other upgrades: they don't even reach the upstream", function()
    start()
    for _, other in ipairs { "h2c", "TLS/1.0", "websocketx" } do
      local _, request = shake((HANDSHAKE:gsub("Upgrade: websocket", "Upgrade: " .. other)),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      assert.is_nil(request.headers.upgrade)
      assert.is_nil((request.headers.connection or ""):lower():match "upgrade")
      c:close()
      u:close()
    end
  end)

  it("hides no second request when it is refused", function()
    start()
    shake(HANDSHAKE .. client.bytes("GET", "/second"), "HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n")
    assert.equal("/second", u:request().target) -- the gateway reads it as the request that it is
    u:respond(200, {}, "two")
    assert.equal("two", c:response().body)
  end)

  it("that is silent is closed", function()
    start("limits: { idle_timeout: 200ms }", "idle_timeout: 200ms")
    shake()
    assert.is_true(c:is_ended())
    assert.is_true(u:is_ended())
  end)

  it("with traffic one way only is not silent", function()
    start("limits: { idle_timeout: 400ms, body_timeout: 50ms }", "idle_timeout: 400ms")
    shake()
    for _ = 1, 25 do -- more than twice the limit, all told
      u:send "tick"
      assert.equal("tick", c:read(4))
      assert.is_true(u:is_silent(0.04))
    end
    c:send "tock"
    assert.equal("tock", u:read(4))
  end)

  it("outlives header, body and response timeouts", function()
    start("limits: { header_timeout: 50ms, body_timeout: 50ms }", "timeout: 50ms")
    shake()
    assert.is_true(c:is_silent(0.3))
    u:send "late"
    assert.equal("late", c:read(4))
  end)

  for _, side in ipairs { "client", "upstream" } do
    it("waits for a " .. side .. " that does not read, in bounded memory", function()
      start()
      shake()
      local from, to = u, c
      if side == "upstream" then
        from, to = c, u
      end
      local before = process.rss(gateway.process)
      local piece, sent = ("x"):rep(1024 * 1024), 0
      while sent < 200e6 and from:has_room(0.3) do
        sent = sent + from:send_some(piece)
      end
      assert.is_true(sent < 50e6, "the gateway takes what nobody reads")
      assert.is_true(process.has_grown_less(gateway.process, before, 8e6))
      local got = 0
      while got < sent do
        assert(to:more())
        got = got + #to.rest
        to.rest = ""
        if from:has_room(0) and sent < 60e6 then
          sent = sent + from:send_some(piece)
        end
      end
      assert.equal(sent, got)
    end)
  end

  it("frees its connection slot when it ends", function()
    start(nil, "max_connections: 1")
    shake()
    local second = client.connect(gateway.port):send(client.bytes("GET", "/next"))
    assert.is_true(second:is_silent(0.05))
    c:close()
    c = nil
    assert.is_true(u:is_ended())
    u:close()
    u = upstream:accept()
    assert.equal("/next", u:request().target)
    u:respond(200, {}, "fine")
    assert.equal("fine", second:response().body)
    second:close()
  end)

  it("is closed at the drain's timeout", function()
    start "drain: { timeout: 100ms }"
    shake()
    gateway:signal "TERM"
    assert.is_true(c:is_ended())
    assert.is_true(u:is_ended())
    assert.equal(0, gateway:wait())
  end)
end)
