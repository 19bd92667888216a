-- SPDX-License-Identifier: Apache-2.0

-- Which endpoints get requests: what an operator says, what probes say, and what is shown of it.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local json = require "cjson"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

describe("an endpoint", function()
  local gateway, first, second, open

  local function keep(thing)
    open[#open + 1] = thing
    return thing
  end

  before_each(function()
    open = {}
    first, second = keep(origin.listen()), keep(origin.listen())
  end)

  after_each(function()
    for _, thing in ipairs(open) do
      pcall(thing.close, thing)
    end
    gateway:stop()
  end)

  -- Two endpoints, the keys of the upstream behind them.
  local function start(keys, workers)
    gateway = server.start(([[
upstreams:
  - name: up
    endpoints: [{ address: "127.0.0.1:%d" }, { address: "127.0.0.1:%d" }]
    timeout: 5s
    %s
routes: [{ name: all, upstream: up }]
]]):format(first.port, second.port, keys or "balance: round_robin"), { workers = workers or 2 })
  end

  local function address(o)
    return "127.0.0.1:" .. o.port
  end

  local function shown(o)
    local up = json.decode(client.get(gateway.admin_port, "/upstreams").body).upstreams[1]
    for _, e in ipairs(up.endpoints) do
      if e.address == address(o) then
        return e
      end
    end
  end

  local function order(o, verb, path)
    local response = client.request(gateway.admin_port, "POST",
      path or ("/upstreams/up/endpoints/%s/%s"):format(address(o), verb))
    return response, json.decode(response.body)
  end

  -- Sends a request and serves it; returns which of the two was asked.
  local function ask()
    local c = client.connect(gateway.port):send(client.bytes("GET", "/"))
    wait("a request", function()
      return not (first:is_left_alone(0) and second:is_left_alone(0))
    end)
    local taken = first:is_left_alone(0) and second or first
    local _, u = taken:serve(200, { Connection = "close" }, "ok")
    assert.equal(200, c:response().status)
    u:close()
    c:close()
    return taken
  end

  describe("that is drained", function()
    it("gets no new requests, finishes what is under way, and is enabled again", function()
      start()
      local c = keep(client.connect(gateway.port)):send(client.bytes("GET", "/slow"))
      wait("a request", function()
        return not (first:is_left_alone(0) and second:is_left_alone(0))
      end)
      local taken = first:is_left_alone(0) and second or first
      local other = taken == first and second or first
      local u = keep(taken:accept())
      u:request()
      assert.equal(1, shown(taken).active)

      local response, said = order(taken, "drain")
      assert.equal(200, response.status)
      assert.equal("drained", said.state)
      assert.equal(address(taken), said.address)
      assert.is_false(said.usable)
      for _ = 1, 6 do
        assert.equal(other, ask())
      end
      u:respond(200, {}, "late")
      assert.equal("late", c:response().body)
      wait("its connection, idle now, to be closed", function()
        return posix.readable(u.fd, 0) and u:is_ended(0)
      end)
      assert.equal(0, shown(taken).active)

      local _, enabled = order(taken, "enable")
      assert.equal("healthy", enabled.state)
      local seen = {}
      for _ = 1, 8 do
        seen[ask()] = true
      end
      assert.is_true(seen[taken] and seen[other])
    end)

    it("answers the same when it is told twice, and says what it does not know", function()
      start()
      for _ = 1, 2 do
        assert.equal(200, (order(first, "drain")).status)
      end
      local encoded = "/upstreams/%75p/endpoints/127.0.0.1%3A" .. first.port .. "/drain"
      assert.equal(200, (order(nil, nil, encoded)).status)
      for _, path in ipairs { "/upstreams/no/endpoints/127.0.0.1:1/drain", "/upstreams/up/endpoints/x/drain",
        "/upstreams/up/endpoints/%zz/enable" } do
        local response, said = order(nil, nil, path)
        assert.equal(404, response.status)
        assert.equal("application/problem+json", response.headers["content-type"])
        assert.matches("/upstreams shows them", said.detail, 1, true)
      end
      assert.equal(405, client.get(gateway.admin_port, "/upstreams/up/endpoints/x/drain").status)
      assert.matches("no new requests", gateway:event "upstream.drained", 1, true)
    end)

    it("leaves nothing to send to when it is the last", function()
      start()
      order(first, "drain")
      order(second, "drain")
      assert.equal(503, client.get(gateway.port, "/").status)
      local metrics = client.get(gateway.admin_port, "/metrics").body
      assert.matches("\ndemilune_upstream_usable_endpoints{upstream=\"up\"} 0\n", metrics, 1, true)
    end)
  end)

  local function wait_for_state(o, state)
    return wait("an endpoint that is " .. state, function()
      local e = shown(o)
      return e.state == state and e
    end)
  end


  describe("that is probed", function()
    local PROBED = "health: { active: { path: '/health?from=gateway', interval: 30ms, timeout: 10s, "
      .. "healthy_after: 2, unhealthy_after: 3 } }"

    -- Serves the next probe.
    local function answer(o, status, headers, body)
      local request, c = o:serve(status, headers or {}, body or "")
      c:close()
      return request
    end

    it("is asked for its path, by its name, once for all workers", function()
      start(PROBED, 4)
      local request = answer(first, 200)
      assert.equal("GET", request.method)
      assert.equal("/health?from=gateway", request.target)
      assert.equal(address(first), request.headers.host)
      assert.equal("demilune-health", request.headers["user-agent"])
      answer(second, 302)
      for _ = 1, 3 do
        local _, c = first:serve(200, {}, "fine")
        assert.is_true(c:is_ended(5)) -- each has a connection of its own
        c:close()
      end
      local probe = wait("a probe that is judged", function() return shown(second).probe end)
      wait("the verdict", function() return shown(second).probe.result == "good" end)
      assert.equal(302, shown(second).probe.status)
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT", shown(second).probe.at)
      assert.is_table(probe)
      local metrics = client.get(gateway.admin_port, "/metrics").body
      local labels = ('{upstream="up",endpoint="%s",result="good"} '):format(address(first))
      assert.matches("demilune_upstream_probes_total" .. labels, metrics, 1, true)
      assert.matches('demilune_upstream_probe_duration_seconds_count{upstream="up"} ', metrics, 1, true)
    end)

    it("goes down after bad answers in a row, and comes back after good ones", function()
      start(PROBED)
      answer(first, 200)
      for _ = 1, 2 do answer(first, 500) end
      answer(first, 200)
      for _ = 1, 2 do answer(first, 404) end
      assert.is_false(shown(first).down) -- two in a row are not three
      answer(first, 503)
      local e = wait_for_state(first, "down")
      assert.is_false(e.usable)
      assert.matches("status 503", gateway:event "upstream.down", 1, true)
      assert.matches(('demilune_upstream_endpoint_up{upstream="up",endpoint="%s"} 0'):format(address(first)),
        client.get(gateway.admin_port, "/metrics").body, 1, true)
      answer(first, 200)
      assert.is_true(shown(first).down)
      answer(first, 204)
      wait_for_state(first, "healthy")
      gateway:event "upstream.up"
    end)

    it("gets no requests while it is down; when all are, all do", function()
      start "health: { active: { path: /, interval: 1h, timeout: 10s } }"
      answer(first, 503) -- the first one decides
      wait_for_state(first, "down")
      answer(second, 200)
      wait("the other's probe", function() return shown(second).probe.result == "good" end)
      for _ = 1, 6 do
        assert.equal(second, ask())
      end
      gateway:stop()
      start "health: { active: { path: /, interval: 1h, timeout: 10s } }"
      answer(first, 503)
      answer(second, 503)
      wait_for_state(first, "down")
      wait_for_state(second, "down")
      local seen = {}
      for _ = 1, 8 do
        seen[ask()] = true
      end
      assert.is_true(seen[first] and seen[second])
    end)

    it("is down when it does not answer in time, breaks off, or speaks something else", function()
      start "health: { active: { path: /, interval: 40ms, timeout: 300ms, unhealthy_after: 1, healthy_after: 1 } }"
      -- Between good answers, so that each verdict is told.
      local function expect(word, act)
        wait("an endpoint that is down: " .. word, function()
          pcall(answer, first, 200)
          local c = first:accept()
          pcall(c.request, c)
          act(c)
          c:is_ended(5)
          c:close()
          return gateway:log():find('"event":"upstream.down"[^\n]*"why":"' .. word .. '"')
        end)
      end
      expect("timeout", function() end)
      expect("timeout", function(c) c:send "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2" end)
      expect("closed", function(c) c:shutdown() end)
      expect("protocol", function(c) c:send "SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n" end)
    end)

    it("may say as much as it likes: it is judged by its head", function()
      start "health: { active: { path: /, interval: 40ms, timeout: 10s } }"
      for _ = 1, 2 do
        local c = first:accept()
        c:request()
        c:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        local piece = ("100000\r\n%s\r\n"):format(("x"):rep(1024 * 1024))
        for _ = 1, 4 do c:try(piece) end
        c:close()
      end
      wait("the verdict", function() return shown(first).probe.result == "good" end)
      assert.equal("healthy", shown(first).state)
    end)

    it("without a path need only take connections", function()
      start "health: { active: { interval: 30ms, timeout: 10s, healthy_after: 1, unhealthy_after: 1 } }"
      local c = first:accept()
      assert.is_true(c:is_ended(5))
      c:close()
      wait("the verdict", function() return shown(first).probe.result == "good" end)
      local port = first.port
      first:close()
      local e = wait("an endpoint that is down", function()
        local up = json.decode(client.get(gateway.admin_port, "/upstreams").body).upstreams[1]
        return up.endpoints[1].down and up.endpoints[1]
      end)
      assert.equal("refused", e.probe.error)
      first = keep(origin.listen(port))
      wait_for_state(first, "healthy")
    end)

    it("is asked by the name that the upstream says", function()
      start "host: health.example\n    health: { active: { path: /, interval: 1h } }"
      assert.equal("health.example", answer(first, 200).headers.host)
    end)

    it("and drained is probed on, so that it is known when it is enabled", function()
      start(PROBED)
      answer(first, 200)
      order(first, "drain")
      for _ = 1, 3 do answer(first, 500) end
      wait("the verdict", function() return shown(first).down end)
      assert.equal("drained", shown(first).state)
      local _, said = order(first, "enable")
      assert.equal("down", said.state)
    end)
  end)

  it("that is ejected comes back, and that is said", function()
    start "health: { passive: { consecutive_errors: 1, eject_for: 200ms } }"
    first:close()
    wait("an ejection", function()
      local c = client.connect(gateway.port):send(client.bytes("GET", "/"))
      wait("an answer, or a request at the other endpoint", function()
        return posix.readable(c.fd, 0) or not second:is_left_alone(0)
      end)
      if not second:is_left_alone(0) then
        local _, u = second:serve(200, { Connection = "close" }, "ok")
        u:close()
      end
      local status = c:response().status
      c:close()
      return status == 502
    end)
    gateway:event "upstream.ejected"
    gateway:event "upstream.returned"
    local e = json.decode(client.get(gateway.admin_port, "/upstreams").body).upstreams[1].endpoints[1]
    assert.equal("healthy", e.state)
    assert.equal(1, e.ejections)
  end)

  it("that came back starts slowly", function()
    start "health: { slow_start: 1h }"
    order(first, "drain")
    local _, said = order(first, "enable")
    assert.equal("slow_start", said.state)
    assert.is_true(said.share >= 0.1 and said.share < 0.2)
    local n = 0
    for _ = 1, 22 do -- two workers, each 10 to 1
      n = n + (ask() == first and 1 or 0)
    end
    assert.is_true(n <= 4, n .. " of 22")
  end)

  it("with requests that still wait gets fewer than the others", function()
    start "balance: least_request"
    local waiting = {}
    for i = 1, 4 do
      waiting[i] = keep(client.connect(gateway.port)):send(client.bytes("GET", "/" .. i))
    end
    local ups = { [first] = {}, [second] = {} }
    wait("four requests at two endpoints", function()
      for o, list in pairs(ups) do
        if not o:is_left_alone(0) then
          list[#list + 1] = keep(o:accept())
          list[#list]:request()
        end
      end
      return #ups[first] + #ups[second] == 4
    end)
    assert.equal(#ups[first], shown(first).active)
    assert.equal(#ups[second], shown(second).active)
    -- One of the two gets rid of its requests; every next one is its own.
    local busy = #ups[first] > 0 and first or second
    local idle = busy == first and second or first
    for _, u in ipairs(ups[idle]) do
      u:respond(200, { Connection = "close" }, "ok")
    end
    wait("an idle endpoint", function() return shown(idle).active == 0 end)
    for _ = 1, 6 do
      assert.equal(idle, ask())
    end
    for _, u in ipairs(ups[busy]) do
      u:respond(200, { Connection = "close" }, "ok")
    end
    for i = 1, 4 do
      assert.equal(200, waiting[i]:response().status)
    end
  end)
end)
