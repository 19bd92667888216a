-- SPDX-License-Identifier: Apache-2.0

-- Upstreams that misbehave: what the client is told, what happens to the connection, and when an endpoint is left out.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local json = require "cjson"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
local POST = "POST / HTTP/1.1\r\nHost: x\r\n"

-- What is not a clean response.
local GARBAGE = {
  { "no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n" },
  { "another protocol's greeting", "SSH-2.0-OpenSSH_9.2\r\n" },
  { "another version", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok" },
  { "a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok" },
  { "a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok" },
  { "a status below 100", "HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok" },
  { "a status above 599", "HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nok" },
  { "a bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok" },
  { "a bare CR", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok" },
  { "a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok" },
  { "a blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok" },
  { "a NUL", "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nok" },
  { "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok" },
  { "a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
  { "another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok" },
  { "chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
  { "a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" },
  { "a protocol that nobody asked for", "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" },
  { "an endless head", "HTTP/1.1 200 OK\r\nX: " .. ("a"):rep(1e6) },
  { "an endless number of fields", "HTTP/1.1 200 OK\r\n" .. ("A: 1\r\n"):rep(5000) },
  { "endless interim answers", ("HTTP/1.1 102 Wait\r\n\r\n"):rep(100) },
}

-- Bodies that break off or make no sense after a clean head.
local BROKEN = {
  { "truncated", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234" },
  { "truncated in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n012" },
  { "truncated before the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n" },
  { "truncated in the trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\nX: 1" },
  { "with a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\nxyz\r\n0\r\n\r\n" },
}

describe("an upstream that", function()
  local gateway, upstream, open

  local function start(config, workers)
    gateway = server.start(config, { workers = workers or 1 })
  end

  local function start_one(keys)
    upstream = origin.listen()
    start(([[
upstreams:
  - name: up
    endpoints: [{ address: "127.0.0.1:%d" }]
    %s
routes: [{ name: all, upstream: up }]
]]):format(upstream.port, keys or ""))
  end

  local function keep(c)
    open[#open + 1] = c
    return c
  end

  local function connect()
    return keep(client.connect(gateway.port))
  end

  local function ask(...)
    local c = connect():send(...)
    local u = keep(upstream:accept())
    u:request()
    return c, u
  end

  before_each(function()
    open = {}
  end)

  after_each(function()
    for _, c in ipairs(open) do
      c:close()
    end
    if upstream then
      upstream:close()
      upstream = nil
    end
    gateway:stop()
  end)

  local function is_problem(status, response)
    assert.equal(status, response.status)
    assert.equal("application/problem+json", response.headers["content-type"])
    assert.equal(status, json.decode(response.body).status)
  end

  describe("talks nonsense:", function()
    it("is answered for with 502, and its connection is closed", function()
      start_one "health: { passive: { consecutive_errors: 1000000 } }"
      for _, case in ipairs(GARBAGE) do
        local c, u = ask(client.bytes("GET", "/"))
        u:try(case[2])
        local ok, response = pcall(c.response, c)
        assert(ok, case[1] .. ": " .. tostring(response))
        if response.status == 102 then
          response = c:response()
        end
        assert.equal(502, response.status, case[1])
        assert.is_true(u:is_ended(), case[1])
        c:send(client.bytes("GET", "/again")) -- the client's own connection has not suffered
        local again = keep(upstream:accept())
        again:request()
        again:send(OK)
        assert.equal("ok", c:response().body, case[1])
        again:close()
        u:close()
        c:close()
      end
    end)

    it("can't slip an answer in behind another one", function()
      start_one()
      local c, u = ask(client.bytes("GET", "/1"))
      u:send(OK, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
      assert.equal("ok", c:response().body)
      assert.is_true(u:is_ended())
      c:send(client.bytes("GET", "/2"))
      local v = keep(upstream:accept())
      v:request()
      v:send(OK)
      assert.equal("ok", c:response().body)
    end)

    it("can't slip an answer in while its connection lies idle", function()
      start_one()
      local c, u = ask(client.bytes("GET", "/1"))
      u:send(OK)
      assert.equal("ok", c:response().body)
      u:send "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
      assert.is_true(u:is_ended())
      c:send(client.bytes("GET", "/2"))
      local v = keep(upstream:accept())
      v:request()
      v:send(OK)
      assert.equal("ok", c:response().body)
    end)

    for _, case in ipairs(BROKEN) do
      it("a body " .. case[1] .. " is seen as such by the client", function()
        start_one()
        local c, u = ask(client.bytes("GET", "/"))
        u:send(case[2])
        u:close()
        local ok, response = pcall(c.response, c)
        assert.is_true(not ok or response.status == 502)
        assert.is_nil(c.rest:find("0\r\n\r\n", 1, true))
        assert.is_truthy(ok or c:is_ended() or c.rest ~= "")
      end)
    end

    it("a body whose first chunk is bad and comes with the head is 502", function()
      start_one()
      local c, u = ask(client.bytes("GET", "/"))
      u:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc"
      assert.equal(502, c:response().status)
      c:send(client.bytes("GET", "/again"))
      u = keep(upstream:accept())
      assert.equal("/again", u:request().target)
      u:send "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
      assert.equal("ok", c:response().body)
    end)

    it("a body without a length that is reset is seen as such by a client of HTTP/1.0", function()
      start_one()
      local c, u = ask("GET / HTTP/1.0\r\nHost: x\r\n\r\n")
      u:send "HTTP/1.1 200 OK\r\n\r\nhalf of i"
      c:read_until "half of i"
      u:reset()
      local _, how = c:read_all()
      assert.equal("reset", how)
    end)
  end)

  describe("breaks off:", function()
    it("502 for a reset before the head", function()
      start_one()
      local c, u = ask(client.bytes("POST", "/", { body = "x" }))
      u:reset()
      is_problem(502, c:response())
    end)

    it("502 for half a head", function()
      start_one()
      local c, u = ask(client.bytes("GET", "/"))
      u:send "HTTP/1.1 200 OK\r\nConte"
      u:close()
      is_problem(502, c:response())
    end)

    it("504 for half a head that stays so", function()
      start_one "timeout: 100ms"
      local c, u = ask(client.bytes("GET", "/"))
      u:send "HTTP/1.1 200 OK\r\nConte"
      is_problem(504, c:response())
      assert.is_true(u:is_ended())
    end)

    it("504 for interim answers without a final one", function()
      start_one "timeout: 100ms"
      local c, u = ask(client.bytes("GET", "/"))
      u:send "HTTP/1.1 103 Early\r\n\r\n"
      is_problem(504, c:response())
      local page = client.get(gateway.admin_port, "/metrics").body
      assert.truthy(page:find('attempts_total{upstream="up",result="timeout"} 1', 1, true))
    end)

    it("504 when the route's time is over, whatever the upstream's", function()
      upstream = origin.listen()
      start(([[
routes: [{ name: all, upstream: "http://127.0.0.1:%d", timeout: 100ms }]
]]):format(upstream.port))
      local c, u = ask(client.bytes("GET", "/"))
      is_problem(504, c:response())
      assert.is_true(u:is_ended())
    end)

    it("a body that stalls is cut off", function()
      start_one "idle_timeout: 100ms"
      local c, u = ask(client.bytes("GET", "/"))
      u:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"
      c:read_until "01234"
      assert.is_true(c:is_ended())
      assert.is_true(u:is_ended())
    end)

    it("a request body that it does not take is cut off, too", function()
      start_one "idle_timeout: 100ms\n    timeout: 300ms"
      local c = connect():send(POST, "Content-Length: 8000000\r\n\r\n")
      local u = keep(upstream:accept())
      u:request_head()
      local piece = ("x"):rep(65536)
      while not posix.readable(c.fd, 0) do
        if c:has_room(0.05) then
          c:send_some(piece)
        end
      end
      is_problem(504, c:response())
    end)
  end)

  describe("answers before the request has ended:", function()
    it("the answer arrives, and both connections end", function()
      start_one()
      local c = connect():send(POST, "Content-Length: 1000000\r\n\r\n", ("x"):rep(1000))
      local u = keep(upstream:accept())
      u:request_head()
      u:send "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
      local response = c:response()
      assert.equal(403, response.status)
      assert.equal("no", response.body)
      assert.equal("close", response.headers.connection)
      assert.is_true(u:read_all() ~= nil)
      c:read_all()
    end)

    it("the answer arrives though the upstream has closed already", function()
      start_one()
      for _ = 1, 20 do
        local c = connect():send(POST, "Content-Length: 3000000\r\n\r\n")
        local u = keep(upstream:accept())
        u:request_head()
        u:send "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
        u:shutdown()
        local piece = ("x"):rep(65536)
        for _ = 1, 20 do
          c:try(piece)
        end
        assert.equal("no", c:response().body)
        u:close()
        c:close()
      end
    end)

    it("the body goes on where the answer waits for it", function()
      start_one()
      local c = connect():send(POST, "Content-Length: 200000\r\n\r\n")
      local u = keep(upstream:accept())
      u:request_head()
      u:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      c:response_head()
      for i = 1, 20 do -- each piece comes back before the next one goes
        local piece = tostring(i % 10):rep(10000)
        c:send(piece)
        assert.equal(piece, u:read(10000))
        u:send("2710\r\n", piece, "\r\n")
        c:read_until "2710\r\n"
        assert.equal(piece .. "\r\n", c:read(10002))
      end
      u:send "0\r\n\r\n"
      c:read_until "0\r\n\r\n"
      c:send(client.bytes("GET", "/next"))
      assert.equal("/next", u:request().target)
      u:send(OK)
      assert.equal("ok", c:response().body)
    end)
  end)

  describe("closes idle connections:", function()
    local BODY = ("0123456789"):rep(50000)

    -- A connection that the upstream closes as soon as the next request's head is there.
    local function stale(keys)
      start_one(keys)
      local c, u = ask(client.bytes("GET", "/1"))
      u:send(OK)
      c:response()
      return c, u
    end

    it("no idempotent request fails", function()
      start_one "health: { passive: { consecutive_errors: 1000000 } }"
      local clients = {}
      for i = 1, 8 do
        clients[i] = connect()
      end
      for round = 1, 50 do
        for _, c in ipairs(clients) do
          c:send(client.bytes("GET", "/" .. round))
        end
        local answered = 0
        while answered < #clients do
          for i = #open, 1, -1 do
            local u = open[i]
            if u.is_upstream and posix.readable(u.fd, 0) then
              if not pcall(u.request, u) then
                u:close()
                table.remove(open, i)
              elseif round % 3 == 0 and not u.was_fresh then
                u:close() -- with the request in hand
                table.remove(open, i)
              else
                u.was_fresh = false
                u:send(OK)
                answered = answered + 1
                if round % 2 == 0 then
                  u:close()
                  table.remove(open, i)
                end
              end
            end
          end
          while not upstream:is_left_alone(0) do
            local u = keep(upstream:accept())
            u.is_upstream, u.was_fresh = true, true
          end
        end
        for _, c in ipairs(clients) do
          assert.equal(200, c:response().status)
        end
      end
    end)

    it("a body that had begun is sent once more, all of it", function()
      local c, u = stale()
      c:send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ", #BODY, "\r\n\r\n", BODY:sub(1, 100000))
      u:request_head()
      u:close()
      local v = keep(upstream:accept())
      v:request_head()
      c:send(BODY:sub(100001))
      assert.equal(BODY, v:read(#BODY))
      v:send(OK)
      assert.equal(200, c:response().status)
    end)

    it("a chunked body that was too large to keep is not sent once more in part", function()
      local c, u = stale()
      c:send "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      u:request_head()
      local big = ("x"):rep(0x10000)
      for _ = 1, 20 do
        c:send("10000\r\n", big, "\r\n")
        u:read(#big)
      end
      u:reset()
      assert.equal(502, c:response().status)
      assert.is_true(upstream:is_left_alone(0))
    end)

    it("a body that keeps coming meanwhile is still whole", function()
      -- One endpoint that takes no connections for a while, so that bytes arrive between the two attempts.
      local c, u = stale "connect_timeout: 10s"
      c:send("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n", BODY:sub(1, 100000), "\r\n")
      u:request_head()
      u:close()
      c:send("61a80\r\n", BODY:sub(100001), "\r\n0\r\n\r\n")
      local v = keep(upstream:accept())
      assert.equal(BODY, v:request().body)
      v:send(OK)
      assert.equal(200, c:response().status)
    end)
  end)

  describe("is down:", function()
    local others

    local function start_two(keys)
      upstream, others = origin.listen(), origin.listen()
      start(([[
upstreams:
  - name: up
    endpoints: [{ address: "127.0.0.1:%d" }, { address: "127.0.0.1:%d" }]
    connect_timeout: 200ms
    %s
routes: [{ name: all, upstream: up }]
]]):format(upstream.port, others.port, keys))
    end

    local function serve_next(listener)
      local u = listener:accept()
      u:request()
      u:respond(200, { Connection = "close" }, "ok")
      u:close()
    end

    -- One request, served by the endpoint that lives when it comes there: its status.
    local function get_from_one()
      local c = connect():send(client.bytes("GET", "/"))
      wait("an answer, or a request at the other endpoint", function()
        return posix.readable(c.fd, 0) or not upstream:is_left_alone(0)
      end)
      if not upstream:is_left_alone(0) then
        serve_next(upstream)
      end
      return c:response().status
    end

    it("it is left out after errors in a row", function()
      start_two "health: { passive: { consecutive_errors: 3, eject_for: 1h, max_ejected: 50% } }"
      others:close()
      local seen = { [200] = 0, [502] = 0 }
      for _ = 1, 20 do
        local status = get_from_one()
        seen[status] = seen[status] + 1
      end
      assert.same({ [200] = 17, [502] = 3 }, seen)
      assert.matches(tostring(others.port), gateway:event "upstream.ejected", 1, true)
    end)

    it("it is tried again later", function()
      start_two "health: { passive: { consecutive_errors: 1, eject_for: 100ms, max_ejected: 50% } }"
      local dead = others.port
      others:close()
      wait("an error", function() return get_from_one() == 502 end)
      others = origin.listen(dead)
      wait("the endpoint that is back to be used", function()
        local c = connect():send(client.bytes("GET", "/"))
        wait("a request", function() return not upstream:is_left_alone(0) or not others:is_left_alone(0) end)
        local is_back = not others:is_left_alone(0)
        serve_next(is_back and others or upstream)
        assert.equal(200, c:response().status)
        return is_back
      end)
      others:close()
    end)

    it("the last usable ones are never left out", function()
      start_two "health: { passive: { consecutive_errors: 1, eject_for: 1h, max_ejected: 50% } }"
      others:close()
      upstream:close()
      for _ = 1, 10 do
        local c = connect():send(client.bytes("GET", "/"))
        is_problem(502, c:response())
      end
      local up = json.decode(client.get(gateway.admin_port, "/upstreams").body).upstreams[1]
      assert.equal(1, (up.endpoints[1].ejected and 1 or 0) + (up.endpoints[2].ejected and 1 or 0))
      upstream = origin.listen()
    end)

    it("504 when it takes no connection in time", function()
      upstream = origin.listen()
      start [[
upstreams: [{ name: up, endpoints: [{ address: "192.0.2.1:9" }], connect_timeout: 100ms }]
routes: [{ name: all, upstream: up }]
]]
      local began = posix.now()
      local status = client.get(gateway.port, "/").status
      assert.is_true(status == 504 or status == 502) -- a sandbox may have no route at all
      assert.is_true(posix.now() - began < 5)
    end)

    it("502 for a name that does not exist", function()
      upstream = origin.listen()
      start [[
dns: { servers: ["127.0.0.1:1"] }
upstreams: [{ name: up, endpoints: [{ address: "nowhere.invalid:9" }], connect_timeout: 300ms }]
routes: [{ name: all, upstream: up }]
]]
      local status = client.get(gateway.port, "/").status
      assert.is_true(status == 502 or status == 504)
    end)
  end)

  it("is named localhost is found", function()
    upstream = origin.listen()
    start(([[
upstreams: [{ name: up, endpoints: [{ address: "localhost:%d" }] }]
routes: [{ name: all, upstream: up }]
]]):format(upstream.port))
    local c, u = ask(client.bytes("GET", "/"))
    u:send(OK)
    assert.equal("ok", c:response().body)
  end)

  describe("has limits", function()
    local LIMITED = [[
upstreams:
  - name: up
    endpoints: [{ address: "127.0.0.1:%d" }]
    max_connections: %d
    max_pending: %d
    timeout: %s
routes: [{ name: all, upstream: up }]
]]

    -- Accepts what comes and answers what is asked; how many were answered. Whom the gateway has closed is left out.
    local function serve_all(ups)
      local answered = 0
      while not upstream:is_left_alone(0) do
        ups[#ups + 1] = keep(upstream:accept())
      end
      for i = #ups, 1, -1 do
        local u = ups[i]
        if posix.readable(u.fd, 0) then
          if pcall(u.request, u) then
            u:try(OK)
            answered = answered + 1
          else
            u:close()
            table.remove(ups, i)
          end
        end
      end
      return answered
    end

    it("over all workers: never more connections, and who waits is served", function()
      upstream = origin.listen()
      start(LIMITED:format(upstream.port, 3, 100, "30s"), 4)
      local clients = {}
      for i = 1, 40 do
        clients[i] = connect():send(client.bytes("GET", "/" .. i))
      end
      local ups, answered = {}, 0
      wait("40 requests", function()
        answered = answered + serve_all(ups)
        assert.is_true(#ups <= 3, #ups .. " connections")
        return answered == 40
      end)
      for i = 1, 40 do
        assert.equal(200, clients[i]:response().status)
      end
    end)

    it("who is too many is refused at once", function()
      upstream = origin.listen()
      start(LIMITED:format(upstream.port, 2, 3, "30s"), 4)
      local clients = {}
      for i = 1, 20 do
        clients[i] = connect():send(client.bytes("GET", "/" .. i))
      end
      local refused = 0
      wait("15 refusals", function()
        for i = 1, 20 do
          if clients[i] and posix.readable(clients[i].fd, 0) then
            assert.equal(503, clients[i]:response().status)
            clients[i] = false
            refused = refused + 1
          end
        end
        return refused == 15
      end)
      local ups, served = {}, 0
      wait("the others to be served", function()
        served = served + serve_all(ups)
        return served == 5
      end)
    end)

    it("who has waited too long is told so, and leaves the queue", function()
      upstream = origin.listen()
      start(LIMITED:format(upstream.port, 1, 100, "200ms"), 4)
      local c, u = ask(client.bytes("GET", "/1"))
      u:send(OK:sub(1, -2)) -- the head is here in time, the connection is busy
      c:response_head()
      for _ = 1, 3 do
        local late = connect():send(client.bytes("GET", "/late"))
        is_problem(503, late:response())
        late:close()
      end
      assert.is_true(u:is_silent(0))
      u:send(OK:sub(-1))
      assert.equal("ok", c:read(2))
      c:send(client.bytes("GET", "/2"))
      assert.equal("/2", u:request().target)
      u:send(OK)
      assert.equal("ok", c:response().body)
    end)

    it("a client that leaves gives its place back", function()
      upstream = origin.listen()
      start(LIMITED:format(upstream.port, 1, 1, "30s"), 4)
      local _, u = ask(client.bytes("GET", "/1"))
      for _ = 1, 20 do
        wait("the one place in the queue", function()
          local late = client.connect(gateway.port):send(client.bytes("GET", "/late"))
          local waits = late:is_silent(0.01)
          late:reset()
          return waits
        end)
      end
      local ups = { u }
      u:send(OK)
      -- The last one may be seen to have left only after it was its turn, or after the next was turned away.
      wait("the next to be served", function()
        local c = connect():send(client.bytes("GET", "/2"))
        wait("an answer", function()
          serve_all(ups)
          return posix.readable(c.fd, 0)
        end)
        return c:response().status == 200
      end)
    end)
  end)
end)
