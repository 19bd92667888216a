-- SPDX-License-Identifier: Apache-2.0

-- What the gateway protects itself from: requests that are too long, too slow, too many, or that two servers could
-- read in two ways.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local origin = require "spec.support.origin"
local server = require "spec.support.server"

describe("the gateway", function()
  local gateway, upstream

  local function start(limits)
    upstream = origin.listen()
    gateway = server.start(([[
limits: { %s }
upstreams: [{ name: up, endpoints: [{ address: "127.0.0.1:%d" }] }]
routes:
  - name: hello
    paths: [/hello]
    respond: { body: hello }
  - name: up
    paths: [/up]
    upstream: up
]]):format(limits or "", upstream.port), { workers = 1 })
  end

  after_each(function()
    upstream:close()
    gateway:stop()
  end)

  -- The status that the bytes are answered with, on a connection that ends then.
  local function refused(bytes)
    local c = client.connect(gateway.port)
    c:try(bytes)
    local response = c:response()
    assert.is_true(c:is_ended(), ("the connection goes on after %q"):format(bytes:sub(1, 200)))
    c:close()
    assert.equal("application/problem+json", response.headers["content-type"])
    return response.status
  end

  it("refuses what two servers could read in two ways", function()
    start()
    local head = "POST /up HTTP/1.1\r\nHost: x\r\n"
    for _, rest in ipairs {
      "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
      "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
      "Content-Length: +3\r\n\r\nabc",
      "Content-Length: 3, 3\r\n\r\nabc",
      "Content-Length: 0x3\r\n\r\nabc",
      "Content-Length : 3\r\n\r\nabc",
      "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
      "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
      "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
      "Transfer-Encoding:\r\n\r\n",
      "X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
      "X: a\nContent-Length: 0\r\n\r\n",
      "X: a\rb\r\nContent-Length: 0\r\n\r\n",
      "X\0Y: a\r\nContent-Length: 0\r\n\r\n",
      ": a\r\nContent-Length: 0\r\n\r\n",
      "Host: y\r\nContent-Length: 0\r\n\r\n",
    } do
      assert.equal(400, refused(head .. rest), rest)
    end
    assert.equal(400, refused "GET /up HTTP/1.1\r\n\r\n")
    assert.equal(400, refused "GET /up HTTP/1.1\nHost: x\n\n")
    assert.equal(400, refused "GET  /up HTTP/1.1\r\nHost: x\r\n\r\n")
    assert.equal(505, refused "GET /up HTTP/2.0\r\nHost: x\r\n\r\n")
    assert.is_true(upstream:is_left_alone(0))
  end)

  it("refuses paths that climb or hide something", function()
    start()
    for _, path in ipairs { "/../up", "/up/%2e%2e/%2e%2e/etc", "/up%00", "/up%zz", "/up%2" } do
      assert.equal(400, client.get(gateway.port, path).status, path)
    end
  end)

  it("does not know CONNECT, TRACE and words of others", function()
    start()
    for _, line in ipairs { "CONNECT x:80", "TRACE /", "FROB /" } do
      assert.equal(501, refused(line .. " HTTP/1.1\r\nHost: x\r\n\r\n"), line)
    end
  end)

  it("bounds the request line, the head and its fields", function()
    start "request_line: 1KiB, request_head: 4KiB, headers: 10"
    assert.equal(414, refused("GET /" .. ("a"):rep(2000) .. " HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert.equal(431, refused("GET / HTTP/1.1\r\nHost: x\r\nX: " .. ("a"):rep(5000) .. "\r\n\r\n"))
    assert.equal(431, refused("GET / HTTP/1.1\r\nHost: x\r\n" .. ("X: a\r\n"):rep(11) .. "\r\n"))
    assert.equal("hello", client.get(gateway.port, "/hello", { headers = { X = ("a"):rep(3000) } }).body)
  end)

  it("bounds the request body, announced or not", function()
    start "request_body: 1KiB"
    assert.equal(413, client.request(gateway.port, "POST", "/up", { body = ("a"):rep(1025) }).status)
    local c = client.connect(gateway.port)
    c:send("POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
      ("100\r\n" .. ("a"):rep(256) .. "\r\n"):rep(5), "0\r\n\r\n")
    assert.equal(413, c:response().status)
    c:close()
  end)

  it("ends connections on which no head comes", function()
    start "header_timeout: 50ms, idle_timeout: 50ms"
    local silent, slow = client.connect(gateway.port), client.connect(gateway.port)
    slow:send "GET /hello HTT"
    assert.is_true(silent:is_ended())
    assert.equal(408, slow:response().status)
    assert.is_true(slow:is_ended())
    silent:close()
    slow:close()
  end)

  it("ends connections that are idle for too long", function()
    start "idle_timeout: 50ms"
    local c = client.connect(gateway.port)
    c:send(client.bytes("GET", "/hello"))
    assert.equal("hello", c:response().body)
    assert.is_true(c:is_ended())
    c:close()
  end)

  it("ends requests whose body stops coming", function()
    start "body_timeout: 50ms"
    local c = client.connect(gateway.port)
    c:send "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234"
    local u = upstream:accept()
    u:request_head()
    assert.equal(408, c:response().status)
    u:close()
    c:close()
  end)

  it("takes no more connections than it may", function()
    start "connections: 2"
    local first, second = client.connect(gateway.port), client.connect(gateway.port)
    for _, c in ipairs { first, second } do
      c:send(client.bytes("GET", "/hello"))
      assert.equal("hello", c:response().body)
    end
    local third = client.connect(gateway.port) -- lies in the system's queue
    third:send(client.bytes("GET", "/hello"))
    assert.is_true(third:is_silent(0.1))
    first:close()
    assert.equal("hello", third:response().body)
    second:close()
    third:close()
  end)
end)
