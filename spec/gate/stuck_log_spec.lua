-- SPDX-License-Identifier: Apache-2.0

-- Standard output and error are a pipe that nobody reads: a log collector that hangs must not take the gateway with it.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local LINES = 40 -- of 8 KB, several times what a pipe holds

local CONFIG = [[
workers: 1
script: { hang_timeout: 300ms }
listeners: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0" }
plugin_path: [plugins]
routes:
  - name: all
    paths: ["/*"]
    respond: { body: fine }
    plugins:
      - name: noise
      - name: access-log
]]

local NOISE = [[
local log = require "demilune.log"
local M = { name = "noise", version = "1.0.0" }
M.__index = M
function M.new() return setmetatable({}, M) end
function M:access() log.error(("x"):rep(8000)) end
return M
]]

describe("a gateway whose log nobody reads", function()
  local folder, pid

  before_each(function()
    folder = server.folder()
    folder:write("plugins/noise/init.lua", NOISE)
    local config = folder:write("demilune.yaml", CONFIG)
    pid = posix.spawn({
      "/bin/sh", "-c", 'mkfifo pipe && exec 9<>pipe && exec "$0" "$@" >pipe 2>pipe',
      server.program, "run", "-c", config,
    }, { stdout = folder.path .. "/stdout", stderr = folder.path .. "/stderr", dir = folder.path })
  end)

  after_each(function()
    posix.kill(pid, posix.SIGKILL)
    os.remove(folder.path .. "/pipe")
    folder:remove()
  end)

  -- The last line that anybody reads says where it listens.
  local function ports()
    local pipe = wait("the pipe", function() return io.open(folder.path .. "/pipe", "rb") end)
    local door, admin
    for line in pipe:lines() do
      door, admin = line:match '"ready".*"listeners":"127.0.0.1:(%d+)","admin":"127.0.0.1:(%d+)"'
      if door then
        break
      end
    end
    pipe:close()
    return assert(tonumber(door)), tonumber(admin)
  end

  it("serves on, counts what is lost, and ends when told to", function()
    local door, admin = ports()
    for _ = 1, LINES do
      assert.equal(200, client.get(door, "/" .. ("a"):rep(7000)).status)
    end
    local metrics = client.get(admin, "/metrics").body
    assert.is_true(tonumber(metrics:match "demilune_log_lost_lines_total (%d+)") > 0, metrics)
    assert.is_true(tonumber(metrics:match "demilune_access_log_lost_lines_total (%d+)") > 0, metrics)
    assert.equal("0", metrics:match "demilune_supervisor_restarts_total (%d+)")
    posix.kill(pid, posix.SIGTERM)
    assert.equal(0, wait("its end", function() return posix.exit_status(pid) end))
  end)
end)

describe("an access log to a FIFO", function()
  local folder, gateway

  before_each(function()
    folder = server.folder()
    local pid = posix.spawn({ "/bin/sh", "-c", "mkfifo log" },
      { stdout = folder.path .. "/stdout", stderr = folder.path .. "/stderr", dir = folder.path })
    wait("mkfifo", function() return posix.exit_status(pid) end)
    gateway = server.start(([[
plugins: [{ name: access-log, config: { to: %s/log, fields: { path: "{path}" } } }]
routes: [{ name: all, respond: { body: fine } }]
]]):format(folder.path), { workers = 1, folder = folder })
  end)

  after_each(function()
    gateway:stop()
    os.remove(folder.path .. "/log")
    folder:remove()
  end)

  it("waits for no reader, not at a reload or SIGUSR1 either, and gives who comes its lines", function()
    assert.equal(200, client.get(gateway.port, "/a").status)
    assert.equal(200, client.request(gateway.admin_port, "POST", "/reload").status)
    gateway:signal "USR1"
    assert.equal(200, client.get(gateway.admin_port, "/health/ready").status)
    assert.equal(200, client.get(gateway.port, "/b").status)
    local fifo = assert(io.open(folder.path .. "/log", "rb"))
    assert.equal('{"path":"/a"}', fifo:read "*l")
    assert.equal('{"path":"/b"}', fifo:read "*l")
    fifo:close()
  end)
end)

describe("a full disk", function()
  local folder, gateway

  before_each(function()
    folder = server.folder()
  end)

  after_each(function()
    gateway:stop()
    folder:remove()
  end)

  local function start(to, before)
    gateway = server.start(([[
plugins: [{ name: access-log, config: { to: %s } }]
routes: [{ name: all, respond: { body: fine } }]
]]):format(to), { workers = 1, folder = folder, before = before })
  end

  local function lost()
    local page = client.get(gateway.admin_port, "/metrics").body
    return tonumber(page:match "\ndemilune_access_log_lost_lines_total (%d+)")
  end

  it("costs lines of the access log, which are counted and told, and nothing else", function()
    start "/dev/full"
    for _ = 1, 20 do
      assert.equal("fine", client.get(gateway.port, "/").body)
    end
    assert.equal(20, wait("the count", function() return lost() == 20 and 20 end))
    assert.matches("No space left on device", gateway:event "access_log.write", 1, true)
    assert.equal(200, client.request(gateway.admin_port, "POST", "/reload").status)
    assert.equal("fine", client.get(gateway.port, "/").body)
  end)

  it("is over when there is room again, and the next line is whole", function()
    local path = folder:write("access.log", "")
    start(path, "ulimit -f 16") -- blocks of 512 bytes; standard error stays far below it
    local target = "/" .. ("a"):rep(2000)
    for _ = 1, 10 do
      assert.equal("fine", client.get(gateway.port, target).body)
    end
    assert.is_true(wait("a line that is lost", function() return lost() > 0 end))
    posix.truncate(path, 0)
    local before = lost()
    assert.equal("fine", client.get(gateway.port, "/again").body)
    local text = wait("a line", function()
      local found = folder:read "access.log"
      return found:find("/again", 1, true) and found
    end)
    assert.equal(before, lost())
    assert.matches('\n?{"time":[^\n]*"path":"/again"[^\n]*}\n$', text)
  end)

  it("that holds the gateway's own log stops nothing either", function()
    gateway = server.start("routes: [{ name: all, respond: { body: fine } }]\n",
      { workers = 1, folder = folder, before = "ulimit -f 8" })
    for _ = 1, 100 do -- a line each
      local c = client.connect(gateway.port)
      c:send "nonsense\r\n\r\n"
      assert.equal(400, c:response().status)
      c:close()
      client.request(gateway.admin_port, "GET", "/none/" .. ("x"):rep(1000))
    end
    assert.equal("fine", client.get(gateway.port, "/").body)
    local page = client.get(gateway.admin_port, "/metrics").body
    assert.is_true(tonumber(page:match "\ndemilune_log_lost_lines_total (%d+)") > 0)
  end)
end)
