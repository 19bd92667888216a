-- SPDX-License-Identifier: Apache-2.0

-- What reloads are for: traffic does not feel them. 200,000 requests and 100 reloads with spec/run --full, a tenth of it
-- every day.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local process = require "spec.support.process"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local websocket = require "spec.support.websocket"

describe("a reload under load", function()
  local gateway, upstream

  before_each(function()
    upstream = origin.listen()
  end)

  after_each(function()
    gateway:stop()
    upstream:close()
  end)

  local function metric(name)
    return tonumber(client.get(gateway.admin_port, "/metrics").body:match("\n" .. name .. " (%S+)"))
  end

  local FULL = os.getenv "DEMILUNE_FULL"
  local CLIENTS = 16
  local CALM_MAX = 5 -- seconds between two reloads

  local function routes(n, version)
    local list = { "routes:" }
    for i = 1, n do
      local headers = ('{ name: headers, config: { response: { set: { x-version: "%s" } } } }'):format(version)
      list[i + 1] = ('  - { name: r%d, paths: ["/r%d/{id}"], respond: { body: own }, plugins: [%s, %s] }')
        :format(i, i, headers, "{ name: rate-limit, config: { limit: 100000000, window: 1m } }")
    end
    list[#list + 1] = ('  - { name: chat, paths: [/chat], upstream: "http://127.0.0.1:%d" }'):format(upstream.port)
    return table.concat(list, "\n") .. "\nplugins: [{ name: request-id }]\n"
  end

  -- The two ends of a WebSocket.
  local function open_chat()
    local c = client.connect(gateway.port):send(websocket.REQUEST)
    local u = upstream:accept()
    u:request()
    u:send(websocket.SWITCH)
    assert.equal(101, c:response().status)
    return c, u
  end

  -- A stretch of time: answers, the longest wait for one (milliseconds), and what the workers' threads had of the CPUs
  -- and had to wait for them (seconds). The latter is the machine's doing, where it is not the reload's.
  local function stretch()
    return { n = 0, longest = 0, ran = 0, waited = 0 }
  end

  -- Sends requests as long as `next_stretch(n)` says to which stretch the next ones belong; returns how many, and how
  -- many failed.
  local function load(next_stretch)
    local cs, sent, n, failed = {}, {}, 0, 0
    local threads = process.threads(gateway.process, "worker")
    local ran, waited = process.ran_and_waited(gateway.process, threads)
    local now = next_stretch(0)
    for i = 1, CLIENTS do
      cs[i] = client.connect(gateway.port)
    end
    while now do
      for i, c in ipairs(cs) do
        c:send(client.bytes("GET", "/r1/7"))
        sent[i] = posix.now()
      end
      for i, c in ipairs(cs) do
        local ok, response = pcall(c.response, c)
        now.longest = math.max(now.longest, (posix.now() - sent[i]) * 1000)
        if not ok or response.status ~= 200 or response.body ~= "own" then
          failed = failed + 1
          c:close()
          cs[i] = client.connect(gateway.port)
        end
      end
      n, now.n = n + CLIENTS, now.n + CLIENTS
      local before = now
      now = next_stretch(n)
      if now ~= before then
        local r, w = process.ran_and_waited(gateway.process, threads)
        before.ran, before.waited = before.ran + r - ran, before.waited + w - waited
        ran, waited = r, w
      end
    end
    for _, c in ipairs(cs) do
      c:close()
    end
    return n, failed
  end

  local function told(name, s)
    return ("%s: %d requests, longest wait %.1f ms, workers waited %.2f s for a CPU for each that they ran")
      :format(name, s.n, s.longest, s.waited / math.max(s.ran, 0.001))
  end

  local is_slow = os.getenv "DEMILUNE_PRESET" == "tsan" or os.getenv "DEMILUNE_PRESET" == "asan"

  for _, n in ipairs { 1, is_slow and 100 or FULL and 10000 or 1000 } do
    it(("of %d routes fails no request, and gives its memory back"):format(n), function()
      local requests, reloads = 20000, 20
      if is_slow then
        requests, reloads = 4000, 8
      elseif FULL then
        requests, reloads = 200000, 100
      end
      gateway = server.start(routes(n, 0))
      local pid = tonumber(gateway:event("ready"):match '"pid":(%d+)')
      local before = process.rss(pid)
      local chat, other = open_chat()
      local admin
      local done, asked, begun, busy_until, calm_until = 0, 0, 0, 0, 0
      local calm, busy = stretch(), stretch()
      -- Each reload with what comes after it (new VMs run, old ones are freed), then about as long without one.
      local function next_stretch(k)
        local now = posix.now()
        if asked > done then
          if admin:is_silent(0) then
            return busy
          end
          assert.equal(200, admin:response().status)
          admin:close()
          assert.equal("x", other:send("x") and chat:read(1)) -- a silent tunnel has a deadline
          done = done + 1
          busy_until = FULL and now + (now - begun) / 2 or now
          calm_until = busy_until + math.min(busy_until - begun, CALM_MAX)
        end
        if now < busy_until then
          return busy
        elseif FULL and now < calm_until or asked == reloads and k < requests or k < requests * asked / reloads then
          return calm
        elseif asked == reloads then
          return nil
        end
        gateway:configure(routes(n, asked + 1))
        admin = client.connect(gateway.admin_port):send(client.bytes("POST", "/reload"))
        begun, asked = posix.now(), asked + 1
        return busy
      end
      local total, failed = load(next_stretch)
      chat:send "still"
      assert.equal("still", other:send("here"):read(5))
      assert.equal("here", chat:read(4))
      chat:close()
      other:close()
      assert.equal(0, failed)
      wait("the end of the old plugins", function()
        return metric "demilune_lua_states" == 2
      end, 60)
      wait("the memory of the old configurations", function()
        return process.has_grown_less(pid, before, 32 * 2 ^ 20)
      end, 60)
      if FULL then
        io.stderr:write(("# %d routes: %d requests, %d reloads, %d failed; memory %.0f MB, before %.0f MB\n")
          :format(n, total, done, failed, process.rss(pid) / 2 ^ 20, before / 2 ^ 20),
          "# ", told("reloading", busy), "\n# ", told("calm", calm), "\n")
      end
    end)
  end
end)
