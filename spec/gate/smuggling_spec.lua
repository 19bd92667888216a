-- SPDX-License-Identifier: Apache-2.0

-- Requests that two parsers could read differently. Each is refused, its connection is closed, and nothing of it, nor
-- of what was hidden behind it, reaches the upstream.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local json = require "cjson"
local origin = require "spec.support.origin"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local HIDDEN = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
local POST = "POST / HTTP/1.1\r\nHost: x\r\n"

-- What a request head must not say: a word for it, the head's bytes (with its end), the status (400).
local HEADS = {
  -- framing
  { "a length and chunked", POST .. "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
  { "chunked and a length", POST .. "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" },
  { "two lengths", POST .. "Content-Length: 0\r\nContent-Length: 36\r\n\r\n" },
  { "the same length twice", POST .. "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx" },
  { "a list of lengths", POST .. "Content-Length: 1, 1\r\n\r\nx" },
  { "a length with a sign", POST .. "Content-Length: +1\r\n\r\nx" },
  { "a negative length", POST .. "Content-Length: -1\r\n\r\n" },
  { "a hexadecimal length", POST .. "Content-Length: 0x1\r\n\r\nx" },
  { "a length with a blank inside", POST .. "Content-Length: 1 0\r\n\r\nx" },
  { "a length with a fraction", POST .. "Content-Length: 1.0\r\n\r\nx" },
  { "a length beyond 64 bits", POST .. "Content-Length: 18446744073709551617\r\n\r\nx" },
  { "an empty length", POST .. "Content-Length:\r\n\r\n" },
  { "another coding", POST .. "Transfer-Encoding: gzip\r\n\r\n" },
  { "chunked that is not last", POST .. "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" },
  { "a coding before chunked", POST .. "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" },
  { "identity", POST .. "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx" },
  { "chunked twice", POST .. "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
  { "chunked in a list with itself", POST .. "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" },
  { "something like chunked", POST .. "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" },
  { "chunked behind a vertical tab", POST .. "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" },
  { "chunked in quotes", POST .. 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' },
  { "chunked with a parameter", POST .. "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" },
  { "an empty Transfer-Encoding", POST .. "Transfer-Encoding:\r\nContent-Length: 0\r\n\r\n" },
  { "chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
  -- line ends
  { "a bare LF behind the request line", "GET / HTTP/1.1\nHost: x\r\n\r\n" },
  { "a bare LF behind a field", "GET / HTTP/1.1\r\nHost: x\nX-A: 1\r\n\r\n" },
  { "a bare LF as the head's end", "GET / HTTP/1.1\r\nHost: x\r\n\n" },
  { "bare LFs everywhere", "GET / HTTP/1.1\nHost: x\n\n" },
  { "a bare CR in a value", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\rContent-Length: 5\r\n\r\n" },
  { "a bare CR in the request line", "GET / HTTP/1.1\rHost: x\r\nHost: x\r\n\r\n" },
  { "two CRs", "GET / HTTP/1.1\r\r\nHost: x\r\n\r\n" },
  { "two CRs behind a field", "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n" },
  { "an empty line that is a bare LF before it", "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n" },
  -- fields
  { "a folded line", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n 2\r\n\r\n" },
  { "a line folded with a tab", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n\t2\r\n\r\n" },
  { "a blank before the first field", "GET / HTTP/1.1\r\n Host: x\r\n\r\n" },
  { "a blank before the colon", POST .. "Content-Length : 1\r\n\r\nx" },
  { "a tab before the colon", POST .. "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" },
  { "a line without a colon", "GET / HTTP/1.1\r\nHost: x\r\nX-A\r\n\r\n" },
  { "an empty name", "GET / HTTP/1.1\r\nHost: x\r\n: 1\r\n\r\n" },
  { "a name that is no token", "GET / HTTP/1.1\r\nHost: x\r\nX(A): 1\r\n\r\n" },
  { "a name with a NUL", "GET / HTTP/1.1\r\nHost: x\r\nX\0A: 1\r\n\r\n" },
  { "a name with a high byte", "GET / HTTP/1.1\r\nHost: x\r\nX\xffA: 1\r\n\r\n" },
  { "a value with a NUL", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\0002\r\n\r\n" },
  { "a value with DEL", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\1272\r\n\r\n" },
  { "a value with a control byte", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\0012\r\n\r\n" },
  -- whose request is it?
  { "no Host", "GET / HTTP/1.1\r\n\r\n" },
  { "two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" },
  { "the same Host twice", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n" },
  { "two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n" },
  { "a list of Hosts", "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n" },
  { "a Host with a path", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n" },
  { "a Host with a user", "GET / HTTP/1.1\r\nHost: u@x\r\n\r\n" },
  { "a Host with a bad port", "GET / HTTP/1.1\r\nHost: x:99999\r\n\r\n" },
  { "a Host with a blank", "GET / HTTP/1.1\r\nHost: x y\r\n\r\n" },
  { "a target of another host", "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n" },
  { "a target of another port", "GET http://a.example:81/ HTTP/1.1\r\nHost: a.example\r\n\r\n" },
  { "a target with a user", "GET http://b.example@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n" },
  -- the request line
  { "nothing like HTTP", "\22\3\1\2\0\1\0\1\r\n\r\n" },
  { "HTTP/0.9", "GET /\r\n\r\n" },
  { "no target", "GET HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "two blanks", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "a tab for a blank", "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "a blank behind the version", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n" },
  { "a blank before the method", " GET / HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "a blank in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "a small-letter protocol", "GET / http/1.1\r\nHost: x\r\n\r\n" },
  { "a version with two digits", "GET / HTTP/1.10\r\nHost: x\r\n\r\n" },
  { "a version with a comma", "GET / HTTP/1,1\r\nHost: x\r\n\r\n" },
  { "HTTP/2", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505 },
  { "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
  { "HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505 },
  { "CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", 501 },
  { "TRACE", "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 501 },
  { "an unknown method", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501 },
  { "a method in small letters", "get / HTTP/1.1\r\nHost: x\r\n\r\n", 501 },
  { "a method that is no token", "G(T / HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "* for GET", "GET * HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "a fragment", "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "a target that is no path", "GET a HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "a target with a high byte", "GET /\xe4 HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "a target with a NUL", "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "another scheme", "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "another expectation", POST .. "Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx", 417 },
}

-- These heads are clean, and so is what follows them on the connection: only the path is refused.
local PATHS = {
  "/%00", "/a%00b", "/%", "/%1", "/%zz", "/../a", "/..", "/a/../../b", "/%2e%2e/a", "/a/%2E%2e/..%2f/../..",
}

-- Bodies whose chunks are wrong.
local BODIES = {
  { "no digit", "\r\nabc\r\n0\r\n\r\n" },
  { "a letter", "g\r\n" },
  { "0x", "0x3\r\nabc\r\n0\r\n\r\n" },
  { "a sign", "+3\r\nabc\r\n0\r\n\r\n" },
  { "a minus", "-3\r\nabc\r\n0\r\n\r\n" },
  { "a blank before the size", " 3\r\nabc\r\n0\r\n\r\n" },
  { "something behind the size", "3 x\r\nabc\r\n0\r\n\r\n" },
  { "a size beyond 64 bits", "10000000000000003\r\nabc\r\n0\r\n\r\n" },
  { "a bare LF behind the size", "3\nabc\r\n0\r\n\r\n" },
  { "a bare CR behind the size", "3\rabc\r\n0\r\n\r\n" },
  { "a bare LF behind the content", "3\r\nabc\n0\r\n\r\n" },
  { "too much content", "3\r\nabcd\r\n0\r\n\r\n" },
  { "a bare LF in an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n" },
  { "a bare CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n" },
  { "a NUL in an extension", "3;a\0\r\nabc\r\n0\r\n\r\n" },
  { "an endless extension", "3;" .. ("a"):rep(1000) .. "\r\nabc\r\n0\r\n\r\n" },
  { "a bare LF as its end", "3\r\nabc\r\n0\r\n\n" },
  { "a trailer without a colon", "3\r\nabc\r\n0\r\nX\r\n\r\n" },
  { "a folded trailer", "3\r\nabc\r\n0\r\nX: 1\r\n 2\r\n\r\n" },
  { "a trailer with a blank before the colon", "3\r\nabc\r\n0\r\nX : 1\r\n\r\n" },
  { "a trailer with a bare LF", "3\r\nabc\r\n0\r\nX: 1\n\r\n" },
  { "an endless trailer", "3\r\nabc\r\n0\r\nX: " .. ("a"):rep(70000) .. "\r\n\r\n" },
}

describe("bytes that could be read in two ways:", function()
  local gateway, upstream

  setup(function()
    upstream = origin.listen()
    gateway = server.start(([[
upstreams: [{ name: up, endpoints: [{ address: "127.0.0.1:%d" }] }]
routes: [{ name: all, upstream: up }]
]]):format(upstream.port), { workers = 1 })
  end)

  teardown(function()
    gateway:stop()
    upstream:close()
  end)

  local function is_refused(status, bytes)
    local c = client.connect(gateway.port)
    c:try(bytes)
    local response = c:response()
    assert.equal(status, response.status)
    assert.equal("close", response.headers.connection)
    assert.equal("application/problem+json", response.headers["content-type"])
    assert.equal(status, json.decode(response.body).status)
    assert.equal("", (c:read_all()))
    c:close()
  end

  for _, case in ipairs(HEADS) do
    it("refuses " .. case[1], function()
      is_refused(case[3] or 400, case[2] .. HIDDEN)
    end)
  end

  it("refuses all of them a byte at a time", function()
    for _, case in ipairs(HEADS) do
      local c = client.connect(gateway.port)
      for i = 1, #case[2] do
        if not c:try(case[2]:sub(i, i)) then
          break
        end
      end
      local text = c:read_all()
      assert.equal(case[3] or 400, tonumber(text:match "^HTTP/1%.1 (%d+)"), case[1])
      c:close()
    end
  end)

  it("refuses paths that climb out or hide a NUL", function()
    for _, path in ipairs(PATHS) do
      assert.equal(400, client.get(gateway.port, path).status, path)
    end
  end)

  it("lets nothing of that reach the upstream", function()
    assert.is_true(upstream:is_left_alone(0.1))
  end)

  for _, case in ipairs(BODIES) do
    it("refuses a chunked body with " .. case[1], function()
      local c = client.connect(gateway.port)
      c:try(POST .. "Transfer-Encoding: chunked\r\n\r\n" .. case[2] .. HIDDEN)
      local text = c:read_all()
      assert.equal("400", text:match "^HTTP/1%.1 (%d+)")
      assert.matches("\r\nConnection: close\r\n", text, 1, true)
      assert.is_nil(text:find("HTTP/1.1", 2, true))
      c:close()
      if not upstream:is_left_alone(0) then -- its head may have been on its way by then, but never its end
        local u = upstream:accept()
        local seen = u:read_all()
        assert.is_nil(seen:find("0\r\n\r\n", 1, true))
        assert.is_nil(seen:find("hidden", 1, true))
        u:close()
      end
    end)
  end

  it("lets no other spelling of a framing field through", function()
    local c = client.connect(gateway.port)
    c:send(POST .. "Transfer_Encoding: chunked\r\nContent_Length: 3\r\ncontent_length: 4\r\nX_Other: 1\r\n" ..
      "Content-Length: 5\r\n\r\nhello")
    local request, u = upstream:serve(200)
    assert.same({ nil, nil, "5", "1" }, { request.headers.transfer_encoding, request.headers.content_length,
      request.headers["content-length"], request.headers.x_other })
    assert.equal("hello", request.body)
    assert.equal(200, c:response().status)
    u:close()
    c:close()
  end)

  it("still serves the next client", function()
    local c = client.connect(gateway.port):send(client.bytes("GET", "/next"))
    local request, u = upstream:serve(200, {}, "fine")
    assert.equal("/next", request.target)
    assert.equal("fine", c:response().body)
    u:close()
    c:close()
  end)

  it("counts what it refused, by reason", function()
    local page = client.get(gateway.admin_port, "/metrics").body
    assert.matches('\ndemilune_bad_heads_total{reason="bad_request"} %d%d', page)
    assert.matches('\ndemilune_bad_heads_total{reason="not_implemented"} ', page, 1, true)
    assert.matches('\ndemilune_bad_heads_total{reason="http_version"} ', page, 1, true)
  end)

  it("tells all of a flood in its log: a line each, at most ten a second, and how many more there were", function()
    local before = gateway:log()
    local function told()
      local lines, held_back = 0, 0
      for line in gateway:log():sub(#before + 1):gmatch '[^\n]*"event":"request.bad_head"[^\n]*' do
        lines = lines + (line:find("a request head was refused", 1, true) and 1 or 0)
        held_back = held_back + (tonumber(line:match '"suppressed":(%d+)') or 0)
      end
      return lines, held_back
    end
    for _ = 1, 300 do
      local c = client.connect(gateway.port)
      c:try "GET / HTTP/1.1\r\n\r\n"
      c:read_all()
      c:close()
    end
    wait("all are told of", function()
      local lines, held_back = told()
      return lines + held_back >= 300
    end)
    local _, held_back = told()
    assert.is_true(held_back > 0)
  end)

  it("never echoes what was sent", function()
    local c = client.connect(gateway.port)
    c:try "GET /<script> HTTP/1.1\r\nHost: x\r\nX\r\n\r\n"
    assert.is_nil(c:read_all():find("script", 1, true))
    c:close()
  end)
end)
