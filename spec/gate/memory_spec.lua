-- SPDX-License-Identifier: Apache-2.0

-- Many requests of all kinds, failures among them, leave nothing behind: memory, descriptors and waiting hooks are what
-- they were. DEMILUNE_FULL=1 sends ten times as many.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local process = require "spec.support.process"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local PLUGIN = [[
local task = require "demilune.task"
local M = { name = "mixed", version = "1.0.0" }
M.__index = M
function M.new() return setmetatable({}, M) end
function M:access(exchange)
  local act = exchange.request.headers["x-act"]
  if act == "raise" then error "out of luck"
  elseif act == "pause" then task.sleep(0.001)
  elseif act == "wait" then task.sleep(3600)
  elseif act == "read" then exchange:reply(200, nil, tostring(exchange.request.body:read()))
  elseif act == "spawn" then exchange.ctx.t = task.spawn(task.sleep, 3600)
  end
end
function M:log(exchange) exchange.ctx.seen = exchange.request.path end
return M
]]

local CONFIG = [[
plugin_path: [plugins]
limits: { body_timeout: 1s, request_head: 1KiB }
upstreams:
  - { name: up, endpoints: [{ address: "127.0.0.1:%d" }] }
  - { name: dead, endpoints: [{ address: "127.0.0.1:1" }], health: { passive: { max_ejected: 0%% } } }
plugins: [{ name: mixed }]
routes:
  - { name: hello, paths: [/hello], respond: { body: hello } }
  - { name: up, paths: ["/up/*"], upstream: up }
  - { name: dead, paths: [/dead], upstream: dead }
]]

-- What the upstream (a gateway, too) answers.
local UPSTREAM = [[
routes: [{ name: all, paths: ["/up/*"], respond: { body: "%s" } }]
]]

local ROUNDS = os.getenv "DEMILUNE_FULL" and 20000 or 2000 -- ten requests each
local GROWTH = 3 * 1024 * 1024

describe("after many requests", function()
  local folder, gateway, upstream

  setup(function()
    folder = server.folder()
    folder:write("plugins/mixed/init.lua", PLUGIN)
    upstream = server.start(UPSTREAM:format(("content "):rep(500)), { workers = 1 })
    gateway = server.start(CONFIG:format(upstream.port), { folder = folder, workers = 2, env = process.LEAN })
  end)

  teardown(function()
    gateway:stop()
    upstream:stop()
    folder:remove()
  end)

  local function request(method, path, act, body)
    return client.bytes(method, path, { headers = { ["x-act"] = act or "none" }, body = body })
  end

  -- In order, on one connection: bytes, method, the status they end in.
  local KEPT = {
    { request("GET", "/hello"), "GET", 200 },
    { request("GET", "/up/a?b=c"), "GET", 200 },
    { request("POST", "/up/b", nil, ("x"):rep(20000)), "POST", 200 },
    { request("GET", "/nowhere"), "GET", 404 },
    { request("HEAD", "/up/c"), "HEAD", 200 },
    { request("GET", "/hello", "pause"), "GET", 200 },
    { request("GET", "/hello", "raise"), "GET", 500 },
    { request("POST", "/hello", "read", "body"), "POST", 200 },
    { request("GET", "/dead"), "GET", 502 },
    { request("GET", "/hello", "spawn"), "GET", 200 },
  }

  -- On connections of their own, which are reset then.
  local LOST = {
    "nonsense\r\n\r\n",
    "GET /up/a HTTP/1.1\r\nHost: x\r\nX: " .. ("a"):rep(2000),
    "GET /hello HTTP/1.1\r\nHo",
    "POST /up/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nxxx",
    "POST /hello HTTP/1.1\r\nHost: x\r\nX-Act: read\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "POST /up/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd",
    request("GET", "/hello", "wait"),
    request("GET", "/up/a"),
    request("GET", "/dead"),
  }

  local function work(rounds)
    local c = client.connect(gateway.port)
    for round = 1, rounds do
      for _, one in ipairs(KEPT) do
        c:send(one[1])
        assert.equal(one[3], c:response(one[2]).status)
      end
      local lost = client.connect(gateway.port)
      lost:try(LOST[round % #LOST + 1])
      lost:reset()
      if round % 50 == 0 then
        c:close()
        c = client.connect(gateway.port)
      end
    end
    c:close()
  end

  local function gauge(name)
    local sum = 0
    for n in client.get(gateway.admin_port, "/metrics").body:gmatch("\n" .. name .. "[^\n]* (%d+)") do
      sum = sum + tonumber(n)
    end
    return sum
  end

  it("nothing of them is left", function()
    work(math.floor(ROUNDS / 4)) -- until all that is kept for later has been made
    local before, files = process.rss(gateway.process), process.open_files(gateway.process, 1000)
    work(ROUNDS)
    assert.is_true(process.has_grown_less(gateway.process, before, GROWTH),
      ("it has grown from %d to %d bytes"):format(before, process.rss(gateway.process)))
    wait("no client to be connected", function() return gauge "demilune_connections" == 0 end)
    wait("no hook to wait", function() return gauge "demilune_lua_waiting" == 0 end)
    assert.is_true(process.open_files(gateway.process, 1000) <= files + 8)
    assert.equal("hello", client.get(gateway.port, "/hello").body)
  end)
end)
