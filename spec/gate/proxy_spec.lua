-- SPDX-License-Identifier: Apache-2.0

-- Requests on their way to an upstream and back, as both ends see them.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local json = require "cjson"
local origin = require "spec.support.origin"
local server = require "spec.support.server"

local CONFIG = [[
upstreams:
  - name: up
    endpoints: [{ address: "127.0.0.1:%d" }]
    connect_timeout: 500ms
    %s
routes: [{ name: all, upstream: up }]
]]

describe("a proxied request", function()
  local gateway, upstream, c, u

  local function start(upstream_keys)
    upstream = origin.listen()
    gateway = server.start(CONFIG:format(upstream.port, upstream_keys or ""), { workers = 1 })
    c = client.connect(gateway.port)
  end

  local function exchange(request, response)
    c:send(request)
    u = u or upstream:accept()
    local seen = u:request()
    u:send(response)
    return c:response(seen.method), seen
  end

  after_each(function()
    for _, one in ipairs { c or false, u or false } do
      if one then
        one:close()
      end
    end
    c, u = nil, nil
    upstream:close()
    gateway:stop()
  end)

  local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

  describe("goes up", function()
    before_each(function() start() end)

    it("with method, path, query, Host and headers as they were", function()
      local _, seen = exchange("PUT /a%20b/c?d=%2F&e HTTP/1.1\r\nHost: shop.example:81\r\nX-One: 1\r\nX-Two: a,  b\r\n"
        .. "Content-Length: 0\r\n\r\n", OK)
      assert.equal("PUT /a%20b/c?d=%2F&e HTTP/1.1", seen.first)
      assert.equal("shop.example:81", seen.headers.host)
      assert.equal("1", seen.headers["x-one"])
      assert.equal("a,  b", seen.headers["x-two"])
    end)

    it("with a normalised path", function()
      local _, seen = exchange(client.bytes("GET", "/a/./b/../%41%2f?x=/../"), OK)
      assert.equal("/a/A%2F?x=/../", seen.target)
    end)

    it("without what belongs to the connection", function()
      local _, seen = exchange("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n"
        .. "Keep-Alive: 5\r\nTE: gzip\r\nUpgrade: h2c\r\nProxy-Connection: x\r\n\r\n", OK)
      for _, name in ipairs { "x-mine", "keep-alive", "te", "upgrade", "proxy-connection" } do
        assert.is_nil(seen.headers[name], name)
      end
    end)

    it("with the client's address in place of what the client says", function()
      local _, seen = exchange(client.bytes("GET", "/", { headers = {
        Host = "shop.example", ["X-Forwarded-For"] = "1.2.3.4", ["X-Forwarded-Proto"] = "https",
        Forwarded = "for=1.2.3.4",
      } }), OK)
      assert.equal("127.0.0.1", seen.headers["x-forwarded-for"])
      assert.equal("http", seen.headers["x-forwarded-proto"])
      assert.is_nil((seen.headers.forwarded or ""):find("1.2.3.4", 1, true))
    end)

    it("with a body of known length", function()
      local body = ("body "):rep(20000)
      local _, seen = exchange(client.bytes("POST", "/", { body = body }), OK)
      assert.equal(tostring(#body), seen.headers["content-length"])
      assert.equal(body, seen.body)
    end)

    it("with a body in chunks", function()
      local _, seen = exchange("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        .. "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n", OK)
      assert.equal("hello world", seen.body)
    end)

    it("before all of its body is there", function()
      c:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
      u = upstream:accept()
      u:request_head()
      assert.equal("01234", u:read(5))
      c:send("56789")
      assert.equal("56789", u:read(5))
      u:send(OK)
      assert.equal(200, c:response().status)
    end)

    it("is cut off when the client leaves", function()
      c:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
      u = upstream:accept()
      u:read_until "01234"
      c:reset()
      c = nil
      assert.is_true(u:is_ended())
    end)
  end)

  it("is cut off when the client closes its sending side, too", function()
    start()
    c:send(client.bytes("GET", "/"))
    u = upstream:accept()
    u:request_head()
    c:shutdown()
    assert.is_true(u:is_ended())
    assert.is_true(c:is_ended())
  end)

  describe("comes back", function()
    before_each(function() start() end)

    it("with status, headers and body", function()
      local response = exchange(client.bytes("GET", "/"),
        "HTTP/1.1 418 Teapot\r\nX-One: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 3\r\n\r\ntea")
      assert.equal(418, response.status)
      assert.equal("1", response.headers["x-one"])
      assert.equal("a=1, b=2", response.headers["set-cookie"])
      assert.equal("tea", response.body)
    end)

    it("in chunks, each as soon as it is there", function()
      c:send(client.bytes("GET", "/"))
      u = upstream:accept()
      u:request()
      u:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
      c:response_head()
      c:read_until "first"
      u:send "6\r\nsecond\r\n0\r\n\r\n"
      c:read_until "second"
      c:read_until "0\r\n\r\n"
    end)

    it("without a body where there may be none", function()
      for _, case in ipairs { { "HEAD", "200 OK" }, { "GET", "204 No Content" }, { "GET", "304 Not Modified" } } do
        local length = case[2]:find "204" and "" or "Content-Length: 5\r\n"
        local response = exchange(client.bytes(case[1], "/"), ("HTTP/1.1 %s\r\n%s\r\n"):format(case[2], length))
        assert.equal(tonumber(case[2]:sub(1, 3)), response.status)
      end
      assert.equal("ok", exchange(client.bytes("GET", "/"), OK).body)
    end)

    it("when its end is the upstream's closing", function()
      c:send(client.bytes("GET", "/"))
      u = upstream:accept()
      u:request()
      u:send "HTTP/1.1 200 OK\r\n\r\nall of it"
      u:close()
      u = nil
      assert.equal("all of it", c:response().body)
    end)

    it("with interim responses before it", function()
      c:send(client.bytes("GET", "/"))
      u = upstream:accept()
      u:request()
      u:send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", OK)
      assert.equal(103, c:response_head().status)
      assert.equal("ok", c:response().body)
    end)

    it("so that a client can tell that it is not whole", function()
      c:send(client.bytes("GET", "/"))
      u = upstream:accept()
      u:request()
      u:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
      c:read_until "first"
      u:reset()
      u = nil
      local rest = c:read_all()
      assert.is_nil(rest:find("0\r\n\r\n", 1, true))
    end)

    it("no faster than the client takes it", function()
      c:send(client.bytes("GET", "/"))
      u = upstream:accept()
      u:request()
      u:send "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
      local piece, sent = ("x"):rep(1024 * 1024), 0
      while sent < 200e6 and u:has_room(0.3) do
        sent = sent + u:send_some(piece)
      end
      assert.is_true(sent < 50e6, "the gateway takes what its client does not")
    end)
  end)

  describe("over connections that are kept", function()
    it("uses one for many", function()
      start()
      for i = 1, 3 do
        assert.equal("ok", exchange(client.bytes("GET", "/" .. i), OK).body)
      end
      assert.is_true(upstream:is_left_alone(0))
    end)

    it("answers pipelined requests in order", function()
      start()
      c:send(client.bytes("GET", "/1"), client.bytes("GET", "/2"))
      u = upstream:accept()
      for i = 1, 2 do
        assert.equal("/" .. i, u:request().target)
        u:respond(200, {}, "answer " .. i)
        assert.equal("answer " .. i, c:response().body)
      end
    end)

    it("replaces one that the upstream has closed", function()
      start()
      exchange(client.bytes("GET", "/1"), OK)
      u:close()
      u = nil
      assert.equal("ok", exchange(client.bytes("GET", "/2"), OK).body)
    end)

    it("sends a request once more that met a closing connection", function()
      start()
      exchange(client.bytes("GET", "/1"), OK)
      c:send(client.bytes("GET", "/2"))
      u:request()
      u:close()
      u = nil
      u = upstream:accept()
      assert.equal("/2", u:request().target)
      u:send(OK)
      assert.equal(200, c:response().status)
    end)

    it("does not send one that is not idempotent once more", function()
      start()
      exchange(client.bytes("GET", "/1"), OK)
      c:send(client.bytes("POST", "/2", { body = "x" }))
      u:request()
      u:close()
      u = nil
      assert.equal(502, c:response().status)
    end)

    it("lets a request wait for one where the number is limited", function()
      start "max_connections: 1"
      local other = client.connect(gateway.port)
      c:send(client.bytes("GET", "/1"))
      u = upstream:accept()
      u:request()
      other:send(client.bytes("GET", "/2"))
      assert.is_true(upstream:is_left_alone(0.05))
      u:send(OK)
      assert.equal(200, c:response().status)
      assert.equal("/2", u:request().target)
      u:send(OK)
      assert.equal(200, other:response().status)
      other:close()
    end)

    it("refuses a request when too many wait", function()
      start "max_connections: 1\n    max_pending: 0"
      local other = client.connect(gateway.port)
      c:send(client.bytes("GET", "/1"))
      u = upstream:accept()
      u:request()
      other:send(client.bytes("GET", "/2"))
      assert.equal(503, other:response().status)
      other:close()
    end)
  end)

  describe("fails", function()
    local function is_problem(status, response)
      assert.equal(status, response.status)
      assert.equal("application/problem+json", response.headers["content-type"])
      local problem = json.decode(response.body)
      assert.equal(status, problem.status)
      assert.is_string(problem.request_id)
      assert.is_nil(response.body:find("127.0.0.1", 1, true))
    end

    it("with 400 when its head can't be parsed, under an id that stands in the log", function()
      start()
      c:send "GET / HTTP/1.1\r\n\r\n"
      local response = c:response()
      is_problem(400, response)
      assert.matches(json.decode(response.body).request_id, gateway:event "request.bad_head", 1, true)
    end)

    it("with 502 when nobody listens", function()
      start()
      upstream:close()
      c:send(client.bytes("GET", "/"))
      is_problem(502, c:response())
      upstream = origin.listen()
    end)

    it("with 502 when the upstream breaks off or talks nonsense", function()
      start()
      for _, answer in ipairs { "", "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n" } do
        c:send(client.bytes("POST", "/", { body = "x" }))
        u = upstream:accept()
        u:request()
        u:send(answer)
        u:close()
        u = nil
        is_problem(502, c:response())
      end
    end)

    it("with 504 when the upstream takes too long", function()
      start "timeout: 50ms"
      c:send(client.bytes("GET", "/"))
      u = upstream:accept()
      is_problem(504, c:response())
      assert.is_true(u:request().method == "GET" and u:is_ended())
    end)
  end)

  it("becomes a tunnel when both ends want a WebSocket", function()
    start()
    c:send("GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    u = upstream:accept()
    local seen = u:request()
    assert.equal("websocket", seen.headers.upgrade:lower())
    u:send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      .. "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfrom above")
    assert.equal(101, c:response().status)
    assert.equal("from above", c:read(10))
    c:send "\129\5hello"
    assert.equal("\129\5hello", u:read(7))
    u:close()
    u = nil
    assert.is_true(c:is_ended())
  end)
end)
