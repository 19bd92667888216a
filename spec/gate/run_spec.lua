-- SPDX-License-Identifier: Apache-2.0

-- A gateway's life: start, drain, stop.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local HELLO = [[
routes:
  - name: hello
    paths: [/hello]
    respond: { headers: { content-type: text/plain }, body: "hello" }
]]

local function proxy_to(port, more)
  return ([[
%s
upstreams: [{ name: up, endpoints: [{ address: "127.0.0.1:%d" }] }]
routes: [{ name: all, upstream: up }]
]]):format(more or "", port)
end

local function text_of(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

describe("run", function()
  local gateway, upstream

  after_each(function()
    if gateway then
      gateway:stop()
      gateway = nil
    end
    if upstream then
      upstream:close()
      upstream = nil
    end
  end)

  describe("starting", function()
    it("answers on each listener with each worker", function()
      gateway = server.start([[
workers: 3
listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0" }]
]] .. HELLO, { bare = true })
      assert.equal(2, #gateway.ports)
      for _, port in ipairs(gateway.ports) do
        for _ = 1, 10 do
          assert.equal("hello", client.get(port, "/hello").body)
        end
      end
      assert.matches('"workers":3', gateway:event "ready", 1, true)
    end)

    it("takes --workers before the file's", function()
      gateway = server.start(HELLO, { args = { "--workers", "1" } })
      assert.matches('"workers":1,', gateway:event "ready", 1, true)
    end)

    it("tells every address that can't be had, with its place", function()
      local taken, other = origin.listen(), origin.listen()
      local folder = server.folder()
      folder:write("demilune.yaml", ([[
listeners:
  - address: 127.0.0.1:%d
  - address: 127.0.0.1:0
admin: { address: "127.0.0.1:%d" }
]]):format(taken.port, other.port))
      local result = server.run({ "run" }, { folder = folder })
      assert.equal(3, result.status)
      assert.matches("demilune.yaml:2:14: listeners[0].address: can't listen on 127.0.0.1:" .. taken.port, result.err,
        1, true)
      assert.matches("demilune.yaml:4:19: admin.address: can't listen on", result.err, 1, true)
      folder:remove()
      taken:close()
      other:close()
    end)

    it("does not share a port with another gateway", function()
      gateway = server.start(HELLO)
      local folder = server.folder()
      folder:write("demilune.yaml", ('listeners: [{ address: "127.0.0.1:%d" }]\n'):format(gateway.port))
      assert.equal(3, server.run({ "run" }, { folder = folder }).status)
      folder:remove()
    end)

    it("does not begin with a faulty file", function()
      local folder = server.folder()
      folder:write("demilune.yaml", "routes: [{ name: x, upstraem: y }]\n")
      local result = server.run({ "run" }, { folder = folder })
      assert.equal(1, result.status)
      assert.matches('did you mean "upstream"?', result.err, 1, true)
      folder:remove()
    end)
  end)

  describe("SIGTERM", function()
    it("ends an idle gateway with 0, and idle connections with it", function()
      gateway = server.start(HELLO)
      local idle = client.connect(gateway.port)
      idle:send(client.bytes("GET", "/hello")):response()
      gateway:signal "TERM"
      assert.equal(0, gateway:wait())
      assert.is_true(idle:is_ended())
      idle:close()
    end)

    it("lets a request in flight finish, and takes no new connection", function()
      upstream = origin.listen()
      gateway = server.start(proxy_to(upstream.port))
      local c = client.connect(gateway.port):send(client.bytes("GET", "/slow"))
      local u = upstream:accept()
      u:request()
      gateway:signal "TERM"
      wait("the listener is closed", function()
        local late = client.try_connect(gateway.port)
        if late then
          late:close()
        end
        return not late
      end)
      u:respond(200, {}, ("x"):rep(300000))
      local response = c:response()
      assert.equal(200, response.status)
      assert.equal(300000, #response.body)
      assert.equal("close", response.headers.connection)
      assert.is_true(c:is_ended())
      assert.equal(0, gateway:wait())
      u:close()
      c:close()
    end)

    it("sends the whole of an answer that the client takes slowly", function()
      upstream = origin.listen()
      gateway = server.start(proxy_to(upstream.port))
      local c = client.connect(gateway.port):send(client.bytes("GET", "/big"))
      local u = upstream:accept()
      u:request()
      local body = ("0123456789abcdef"):rep(65536 * 4)
      u:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(#body), body:sub(1, 65536))
      c:response_head()
      gateway:signal "TERM"
      gateway:event "drain.begin"
      local sent, got = 65536, #c.rest
      c.rest = ""
      while sent < #body do
        u:send(body:sub(sent + 1, sent + 65536))
        sent = sent + 65536
        c:more()
        got = got + #c.rest
        c.rest = ""
      end
      got = got + #c:read_all()
      assert.equal(#body, got)
      assert.equal(0, gateway:wait())
      u:close()
      c:close()
    end)

    it("goes on for drain.delay, but is not ready", function()
      gateway = server.start("drain: { delay: 1h }\n" .. HELLO)
      gateway:signal "TERM"
      gateway:event "drain.begin"
      local response = client.get(gateway.admin_port, "/health/ready")
      assert.equal(503, response.status)
      assert.matches("draining", response.body, 1, true)
      assert.equal(200, client.get(gateway.admin_port, "/health/live").status)
      assert.equal("hello", client.get(gateway.port, "/hello").body)
      gateway:signal "TERM" -- the second one ends it
      assert.equal(0, gateway:wait())
    end)

    it("cuts off what is left at drain.timeout", function()
      upstream = origin.listen()
      gateway = server.start(proxy_to(upstream.port, "drain: { timeout: 50ms }"))
      local c = client.connect(gateway.port):send(client.bytes("GET", "/never"))
      local u = upstream:accept()
      u:request()
      gateway:signal "TERM"
      assert.equal(0, gateway:wait())
      gateway:event "drain.timeout"
      local _, how = c:read_all()
      assert.is_truthy(how)
      u:close()
      c:close()
    end)
  end)

  describe("SIGINT", function()
    it("ends at once, whatever is under way", function()
      upstream = origin.listen()
      gateway = server.start(proxy_to(upstream.port, "drain: { delay: 1h, timeout: 1h }"))
      local c = client.connect(gateway.port):send(client.bytes("GET", "/never"))
      local u = upstream:accept()
      u:request()
      gateway:signal "INT"
      assert.equal(0, gateway:wait())
      u:close()
      c:close()
    end)

    it("ends a drain, too", function()
      gateway = server.start("drain: { delay: 1h }\n" .. HELLO)
      gateway:signal "TERM"
      gateway:event "drain.begin"
      gateway:signal "INT"
      assert.equal(0, gateway:wait())
    end)
  end)

  it("reopens log files on SIGUSR1", function()
    local folder = server.folder()
    local log, moved = folder:write("access.log", ""), folder:write("access.log.1", "")
    gateway = server.start(([[
plugins: [{ name: access-log, config: { to: "%s", fields: { p: "{path}" } } }]
%s]]):format(log, HELLO), { folder = folder, workers = 2 })
    client.get(gateway.port, "/hello")
    wait("a line in the log", function() return text_of(log):find '"/hello"' end)
    assert(os.rename(log, moved))
    gateway:signal "USR1"
    wait("a new log", function() return io.open(log) end)
    client.get(gateway.port, "/next")
    wait("a line in the new log", function() return text_of(log):find '"/next"' end)
    assert.equal('{"p":"/hello"}\n', text_of(moved))
    folder:remove()
  end)

  describe("when logs can't be written", function()
    local LOST = "demilune_access_log_lost_lines_total"

    local function lost_lines()
      return tonumber(client.get(gateway.admin_port, "/metrics").body:match("\n" .. LOST .. " (%d+)\n"))
    end

    local function access_log(path)
      return ('plugins: [{ name: access-log, config: { to: "%s", fields: { p: "{path}" } } }]\n'):format(path) .. HELLO
    end

    it("serves on, says so and counts the lines of an access log", function()
      gateway = server.start(access_log "/dev/full")
      for _ = 1, 3 do
        assert.equal("hello", client.get(gateway.port, "/hello").body)
      end
      assert.matches("No space left on device", gateway:event "access_log.write", 1, true)
      wait("three lost lines", function() return lost_lines() == 3 end)
    end)

    it("never makes one line of two in an access log whose disk was full", function()
      local folder = server.folder()
      local log = folder:write("access.log", ("x"):rep(1024 * 1024 - 20) .. "\n")
      gateway = server.start(access_log(log), { folder = folder, before = "ulimit -f 2048" }) -- 1 MiB in dash
      client.get(gateway.port, "/hello-and-some-more")
      wait("a lost line", function() return lost_lines() == 1 end)
      assert.equal('\n{"p":"/hello-and-so', text_of(log):sub(-20))
      assert(posix.truncate(log, 1024 * 1024 - 12))
      client.get(gateway.port, "/x")
      wait("the next line", function() return text_of(log):sub(-20) == '\n{"p":"/\n{"p":"/x"}\n' end)
      folder:remove()
    end)

    -- Without a log nobody says that it is ready: its admin address is asked.
    local function is_served_with(stderr, before)
      local folder, port = server.folder(), origin.free_port()
      local file = folder:write("demilune.yaml",
        ('listeners: [{ address: "127.0.0.1:%d" }]\nadmin: { address: "127.0.0.1:%d" }\n'):format(port,
          origin.free_port()) .. HELLO)
      local argv = { "/bin/sh", "-c", 'exec "$0" "$@" ' .. before, server.program, "run", "-c", file }
      local pid = posix.spawn(argv, { stderr = stderr })
      wait("a gateway that is ready", function()
        return server.run({ "health", "-c", file }).status == 0
      end)
      assert.equal("hello", client.get(port, "/hello").body)
      posix.kill(pid, posix.SIGTERM)
      assert.equal(0, wait("its end", function() return posix.exit_status(pid) end))
      folder:remove()
    end

    it("serves with a standard error that is full", function()
      is_served_with("/dev/full", "")
    end)

    it("serves with a standard error that is closed", function()
      is_served_with(nil, "0<&- 1>&- 2>&-")
    end)
  end)

  it("runs start and stop hooks once in each worker", function()
    local folder = server.folder()
    folder:write("plugins/life/init.lua", [[
local log = require "demilune.log"
local M = { name = "life", version = "1.0.0" }
M.__index = M
function M.new() return setmetatable({}, M) end
function M:start(context) log.info("started", { first = context.first }) end
function M:stop() log.info("stopped") end
return M
]])
    gateway = server.start("plugin_path: [plugins]\nplugins: [{ name: life }]\n" .. HELLO,
      { folder = folder, workers = 3 })
    gateway:signal "TERM"
    assert.equal(0, gateway:wait())
    local log = gateway:log()
    assert.equal(3, select(2, log:gsub("started", "")))
    assert.equal(1, select(2, log:gsub('"first":true', "")))
    assert.equal(3, select(2, log:gsub("stopped", "")))
    folder:remove()
  end)
end)
