-- SPDX-License-Identifier: Apache-2.0

-- Few file descriptors, and none left.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local process = require "spec.support.process"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local LIMIT = 64
local HELLO = client.bytes("GET", "/hello")

describe("with few file descriptors", function()
  local gateway, upstream, open

  local function start(workers)
    upstream = origin.listen()
    gateway = server.start(([[
upstreams:
  - name: up
    endpoints: [{ address: "127.0.0.1:%d" }]
    health: { passive: { consecutive_errors: 1 } }
routes:
  - name: hello
    paths: [/hello]
    respond: { body: hello }
  - { name: up, upstream: up }
]]):format(upstream.port), { workers = workers or 1, before = "ulimit -n " .. LIMIT })
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

  local function connect()
    open[#open + 1] = client.connect(gateway.port)
    return open[#open]
  end

  local function open_files()
    return process.open_files(gateway.process, LIMIT)
  end

  it("connections are capped so that there is one left for each upstream", function()
    start()
    local possible = tonumber(gateway:event "limits.connections":match '"possible":(%d+)')
    assert.is_true(possible < LIMIT / 2)
    local clients = {}
    for i = 1, 2 * possible do
      clients[i] = connect()
      clients[i]:send(client.bytes("GET", "/" .. i))
    end
    for i = 1, 2 * possible do -- as one ends, the next begins
      local _, u = upstream:serve(200, { Connection = "close" }, "ok")
      u:close()
      wait("an answer", function()
        for k, c in ipairs(clients) do
          if not c:is_silent(0) then
            assert.equal("ok", c:response().body)
            c:close()
            table.remove(clients, k)
            return true
          end
        end
      end)
      assert.equal(2 * possible - i, #clients)
    end
  end)

  it("a gateway that has none left pauses, and recovers", function()
    start()
    -- Each of these is refused, and its end then lingers for a client that does not close.
    for _ = 1, 2 * LIMIT do
      connect():try "nonsense\r\n\r\n"
    end
    local before = process.cpu(gateway.process)
    local late = connect():send(HELLO)
    assert.equal("hello", late:response().body)
    assert.is_true(process.cpu(gateway.process) - before < 2, "it spins")
    for _, c in ipairs(open) do
      c:close()
    end
    open = {}
    assert.equal("hello", client.get(gateway.port, "/hello").body)
    wait("the descriptors to be given back", function() return open_files() < LIMIT / 2 end)
  end)

  it("a reload that can't open its files changes nothing, and can be asked for again", function()
    start()
    local c = connect():send(HELLO)
    assert.equal("hello", c:response().body)
    local operator = client.connect(gateway.admin_port)
    operator:send(client.bytes("GET", "/health/ready"))
    assert.equal(200, operator:response().status)
    local admin = {}
    wait("all descriptors to be used", function()
      admin[#admin + 1] = client.connect(gateway.admin_port)
      return open_files() == LIMIT
    end)
    operator:send(client.bytes("POST", "/reload"))
    local answer = operator:response()
    assert.equal(422, answer.status)
    assert.matches("Too many open files", answer.body, 1, true)
    assert.equal("hello", c:send(HELLO):response().body)
    for _, one in ipairs(admin) do
      one:close()
    end
    wait("the descriptors to be given back", function() return open_files() < LIMIT - 20 end)
    operator:send(client.bytes("POST", "/reload"))
    assert.equal(200, operator:response().status)
    operator:close()
    assert.equal("hello", c:send(HELLO):response().body)
  end)

  it("an upstream that can't be connected to for want of them is not to blame", function()
    start()
    local c = connect():send(HELLO)
    assert.equal("hello", c:response().body)
    local admin = {} -- its address has no cap: its connections take what is left
    wait("all descriptors to be used", function()
      admin[#admin + 1] = client.connect(gateway.admin_port)
      return open_files() == LIMIT
    end)
    c:send(client.bytes("GET", "/1"))
    assert.equal(503, c:response().status)
    for _, one in ipairs(admin) do
      one:close()
    end
    local again = connect():send(client.bytes("GET", "/2"))
    local _, u = upstream:serve(200, {}, "ok")
    assert.equal("ok", again:response().body)
    u:close()
    assert.is_nil(gateway:log():find("upstream.ejected", 1, true))
  end)
end)

describe("with too few file descriptors to start", function()
  it("that is a fault which says so, and no crash", function()
    for limit = 8, 24, 2 do
      local folder = server.folder()
      local file = folder:write("demilune.yaml", [[
workers: 4
listeners: [{ address: "127.0.0.1:0" }]
routes: [{ name: all, respond: { body: hello } }]
]])
      local command = ('ulimit -n %d && exec "$0" run -c "$1"'):format(limit)
      local pid = posix.spawn({ "/bin/sh", "-c", command, server.program, file },
        { stdout = folder.path .. "/stdout", stderr = folder.path .. "/stderr", dir = folder.path })
      assert.equal(3, wait("its end", function() return posix.exit_status(pid) end))
      assert.matches("LimitNOFILE=", folder:read "stderr", 1, true)
      folder:remove()
    end
  end)
end)
