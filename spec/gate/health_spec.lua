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
      assert.equal(200, (order(first, "drain", "/upstreams/%75p/endpoints/127.0.0.1%3A" .. first.port .. "/drain")).status)
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
