-- SPDX-License-Identifier: Apache-2.0

-- What an operator sees of the supervisor: crashes that nobody is turned away by, hangs that end, a new binary without
-- a lost request, signals. DEMILUNE_FULL=1 hands over 50 times.

package.path = "./?.lua;" .. package.path

local certs = require "spec.support.certs"
local client = require "spec.support.client"
local load = require "spec.support.load"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local process = require "spec.support.process"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local HANDOVERS = os.getenv "DEMILUNE_FULL" and 50 or 3

local HELLO = [[
routes:
  - name: hello
    paths: [/hello]
    respond: { headers: { content-type: text/plain }, body: "hello" }
]]

-- A plugin whose hook `name` runs this Lua.
local function plugin(folder, name, body)
  folder:write("plugins/harm/init.lua", ([[
local ffi = require "ffi"
ffi.cdef "int raise(int); unsigned sleep(unsigned); int usleep(unsigned); int access(const char *, int);"
local M = { name = "harm", version = "1.0.0" }
M.__index = M
function M.new() return setmetatable({}, M) end
function M:%s() %s end
return M
]]):format(name, body))
  return "plugin_path: [plugins]\n"
end

local function count(text, what)
  return select(2, text:gsub(what, ""))
end

describe("the supervisor", function()
  local gateway, folder, clients

  before_each(function()
    folder = server.folder()
  end)

  after_each(function()
    if clients then
      clients:close()
      clients = nil
    end
    if gateway then
      gateway:stop()
      gateway = nil
    end
    folder:remove()
  end)

  it("and its gateway are called as they were started, for ps, top and pgrep", function()
    gateway = server.start(HELLO)
    for _, pid in ipairs { gateway.pid, gateway.process } do
      local file = assert(io.open(("/proc/%d/comm"):format(pid)))
      assert.equal(server.program:match "[^/]*$", file:read "*l")
      file:close()
    end
  end)

  local function start(config, options)
    options = options or {}
    options.folder = folder
    gateway = server.start(config, options)
    return gateway
  end

  local function metric(name)
    return tonumber(client.get(gateway.admin_port, "/metrics").body:match("\n" .. name .. "[^\n]* (%S+)\n"))
  end

  describe("after a crash", function()
    it("answers again soon, and no connection is refused", function()
      start(HELLO)
      clients = load.new(gateway.port, "/hello")
      assert.is_truthy(clients:more(200))
      assert.equal(0, clients.broken)
      local killed = posix.now()
      posix.kill(gateway.process, posix.SIGKILL)
      clients:until_true(function() return not process.is_running(gateway.process) end)
      local before = clients.answered
      assert.is_truthy(clients:until_true(function() return clients.answered > before end))
      local took = posix.now() - killed
      print(("# kill -9 under load: answering again after %.0f ms"):format(took * 1000))
      assert.is_true(took < posix.PATIENCE / 3)
      assert.is_truthy(clients:more(200))
      assert.equal(0, clients.refused)
      assert.equal(0, clients.wrong)
      assert.is_true(clients.broken <= 16, "only what was under way is lost")
      assert.matches('"reason":"SIGKILL"', gateway:event "supervisor.crash", 1, true)
      gateway:event "supervisor.restarted"
      assert.equal(1, metric "demilune_supervisor_restarts_total")
    end)

    it("makes nobody wait where it has served for a while, however many crashes there were before", function()
      start(HELLO)
      for n = 1, 4 do
        posix.sleep(0.7)
        posix.kill(gateway.process, posix.SIGKILL)
        wait("the gateway after crash " .. n, function()
          return select(2, gateway:log():gsub("supervisor%.restarted", "")) == n
        end)
        gateway.process = process.children(gateway.pid)[1]
      end
      assert.equal(4, count(gateway:log(), '"in_a_row":1,"delay_ms":0'))
    end)

    it("has the ports that the system chose, each listener its own", function()
      start([[
workers: 2
listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0" }
]] .. HELLO, { bare = true })
      assert.not_equal(gateway.ports[1], gateway.ports[2])
      posix.kill(gateway.process, posix.SIGKILL)
      gateway:event "supervisor.restarted"
      for _, port in ipairs(gateway.ports) do
        assert.equal("hello", client.get(port, "/hello").body)
      end
      assert.equal(200, client.get(gateway.admin_port, "/health/ready").status)
    end)

    it("has a unix socket as it was", function()
      local path = folder.path .. "/s"
      start(('workers: 2\nlisteners: [{ address: "unix:%s" }, { address: "127.0.0.1:0" }]\n'):format(path) .. HELLO,
        { bare = true })
      posix.kill(gateway.process, posix.SIGKILL)
      gateway:event "supervisor.restarted"
      assert.equal("hello", client.get("unix:" .. path, "/hello").body)
      gateway:stop()
      assert.is_nil(io.open(path))
      gateway = nil
    end)

    it("waits longer and longer while it crashes at every start, and connections wait, too", function()
      local flag = folder:write("crash", "")
      local config = plugin(folder, "start", ("if ffi.C.access(%q, 0) == 0 then ffi.C.raise(9) end"):format(flag))
        .. "plugins: [{ name: harm }]\n" .. HELLO
      os.remove(flag)
      start(config)
      folder:write("crash", "")
      posix.kill(gateway.process, posix.SIGKILL)
      wait("five crashes", function() return count(gateway:log(), '"event":"supervisor.crash"') >= 5 end)
      local delays = {}
      for delay in gateway:log():gmatch '"delay_ms":(%d+)' do
        delays[#delays + 1] = tonumber(delay)
      end
      assert.same({ 0, 100, 200, 400, 800 }, { unpack(delays, 1, 5) })
      assert.matches('"reason":"SIGKILL"', gateway:log(), 1, true)
      local patient = client.connect(gateway.port):send(client.bytes("GET", "/hello"))
      os.remove(flag)
      assert.equal("hello", patient:response().body)
      patient:close()
    end)

    it("keeps trying with a configuration that has become faulty, until it is mended", function()
      start(HELLO)
      local path = folder.path .. "/demilune.yaml"
      local file = assert(io.open(path))
      local text = file:read "*a"
      file:close()
      folder:write("demilune.yaml", "nonsense: 1\n")
      posix.kill(gateway.process, posix.SIGKILL)
      wait("two failures", function() return count(gateway:log(), '"reason":"exit status 1"') >= 2 end)
      assert.matches("nonsense: unknown key", gateway:log(), 1, true)
      local patient = client.connect(gateway.port):send(client.bytes("GET", "/hello"))
      folder:write("demilune.yaml", text)
      assert.equal("hello", patient:response().body)
      patient:close()
    end)

    it("serves on with a certificate that has expired meanwhile, which no start or reload takes", function()
      local function issue(days)
        certs.issue(folder, "api", { by = "ca", names = { "DNS:api.example" }, days = days })
      end
      certs.authority(folder, "ca")
      issue(2)
      start([[
listeners:
  - { address: "127.0.0.1:0" }
  - { address: "127.0.0.1:0", tls: { certificates: [{ cert: api.pem, key: api.key }] } }
]] .. HELLO, { bare = true })
      issue(-1)
      posix.kill(gateway.process, posix.SIGKILL)
      gateway:event "supervisor.restarted"
      assert.matches("warning: listeners[1].tls.certificates[0].cert: api.pem has expired on", gateway:log(), 1, true)
      assert.equal("hello", client.get(gateway.port, "/hello").body)
      gateway:signal "HUP"
      gateway:event "reload.failed"
      assert.equal("hello", client.get(gateway.port, "/hello").body)
    end)

    it("loses nobody when there are fewer workers than before, or more", function()
      start(HELLO, { workers = 4 })
      for _, workers in ipairs { 1, 3 } do
        folder:write("demilune.yaml", ([[
workers: %d
listeners: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0" }
]]):format(workers) .. HELLO)
        gateway:signal "USR2"
        wait("the next gateway", function()
          assert.equal("hello", client.get(gateway.port, "/hello").body)
          return metric "demilune_workers" == workers -- the old one answers, too, until it has retired
        end)
        for _ = 1, 40 do
          assert.equal("hello", client.get(gateway.port, "/hello").body)
        end
      end
    end)
  end)

  describe("at the first start", function()
    it("ends with the gateway's word when that refuses", function()
      folder:write("demilune.yaml", "nonsense: 1\n")
      local result = server.run({ "run" }, { folder = folder })
      assert.equal(1, result.status)
      assert.is_nil(result.err:find "supervisor")
    end)

    it("tries again when it crashes, and ends when told to", function()
      local config = plugin(folder, "start", "ffi.C.raise(9)") .. "plugins: [{ name: harm }]\n" .. HELLO
      folder:write("demilune.yaml", 'listeners: [{ address: "127.0.0.1:0" }]\n' .. config)
      local log = folder.path .. "/stderr"
      local pid = posix.spawn({ server.program, "run" }, { stderr = log, dir = folder.path })
      wait("two crashes", function()
        local file = io.open(log)
        local text = file and file:read "*a" or ""
        if file then
          file:close()
        end
        return count(text, '"event":"supervisor.crash"') >= 2
      end)
      posix.kill(pid, posix.SIGTERM)
      assert.equal(0, wait("its end", function() return posix.exit_status(pid) end))
    end)
  end)

  describe("ends a hang", function()
    local function hang(body)
      start(plugin(folder, "access", body) .. [[
script: { hang_timeout: 500ms }
routes:
  - name: hang
    paths: [/hang]
    respond: { body: "never" }
    plugins: [{ name: harm }]
  - name: hello
    paths: [/hello]
    respond: { body: "hello" }
]])
      local c = client.connect(gateway.port):send(client.bytes("GET", "/hang"))
      local line = gateway:event "lua.hang"
      assert.matches('"plugin":"harm"', line, 1, true)
      assert.matches('"hook":"access"', line, 1, true)
      assert.matches('"reason":"SIGABRT"', gateway:event "supervisor.crash", 1, true)
      gateway:event "supervisor.restarted"
      assert.equal("hello", client.get(gateway.port, "/hello").body)
      c:close()
    end

    it("that waits in a C function", function()
      hang "ffi.C.sleep(1000)"
    end)

    it("that computes in a C function", function()
      hang "return (('a'):rep(60):find(('.-'):rep(30) .. 'b'))"
    end)
  end)

  describe("on SIGUSR2", function()
    -- Asks for a handover and waits until the new gateway has taken over; under load, if there is any.
    local function hand_over()
      local before = count(gateway:log(), "the new gateway has taken over")
      gateway:signal "USR2"
      local function is_done()
        return count(gateway:log(), "the new gateway has taken over") > before
      end
      if clients then
        assert.is_truthy(clients:until_true(is_done))
      else
        wait("the handover", is_done)
      end
      for pid in gateway:log():gmatch '"the gateway is ready"[^\n]*"pid":(%d+)' do
        gateway.process = tonumber(pid)
      end
    end

    it("hands over under load without a request that fails", function()
      local upstream = origin.listen()
      start(HELLO)
      clients = load.new(gateway.port, "/hello")
      clients:more(100)
      for _ = 1, HANDOVERS do
        local old = gateway.process
        hand_over()
        assert.not_equal(old, gateway.process)
        assert.is_truthy(clients:more(100))
        assert.is_truthy(clients:until_true(function() return not process.is_running(old) end), "the old one ends")
      end
      print(("# %d handovers, %d requests: %d refused, %d broken, %d wrong"):format(HANDOVERS, clients.answered,
        clients.refused, clients.broken, clients.wrong))
      assert.equal(0, clients.refused)
      assert.equal(0, clients.broken)
      assert.equal(0, clients.wrong)
      assert.equal(HANDOVERS, metric "demilune_supervisor_handovers_total")
      assert.is_true(gateway:is_running(), "the process id stays")
      upstream:close()
    end)

    it("lets what is under way finish, and an idle connection have its last answer", function()
      local upstream = origin.listen()
      start(([[
upstreams: [{ name: up, endpoints: [{ address: "127.0.0.1:%d" }] }]
routes: [{ name: up, paths: [/up], upstream: up }, { name: hello, paths: [/hello], respond: { body: hello } }]
]]):format(upstream.port))
      local idle = client.connect(gateway.port):send(client.bytes("GET", "/hello"))
      assert.is_nil(idle:response().headers.connection)
      local slow = client.connect(gateway.port):send(client.bytes("GET", "/up"))
      local u = upstream:accept()
      u:request()
      local old = gateway.process
      hand_over()
      gateway:event "drain.begin"
      u:respond(200, {}, "late")
      local response = slow:response()
      assert.equal("late", response.body)
      assert.equal("close", response.headers.connection)
      assert.is_true(process.is_running(old))
      assert.equal("close", idle:send(client.bytes("GET", "/hello")):response().headers.connection)
      assert.is_true(idle:is_ended())
      wait("the end of the old gateway", function() return not process.is_running(old) end)
      for _, c in ipairs { idle, slow, u, upstream } do
        c:close()
      end
    end)

    it("cuts off at drain.timeout what is left", function()
      start("drain: { timeout: 50ms }\n" .. HELLO)
      local idle = client.connect(gateway.port):send(client.bytes("GET", "/hello"))
      idle:response()
      hand_over()
      assert.is_true(idle:is_ended())
      idle:close()
    end)

    it("goes on untouched when the new gateway does not get ready", function()
      start(HELLO)
      local idle = client.connect(gateway.port):send(client.bytes("GET", "/hello"))
      idle:response()
      local old = gateway.process
      folder:write("demilune.yaml", 'listeners: [{ address: "127.0.0.1:0" }]\nnonsense: 1\n')
      gateway:signal "USR2"
      wait("word of it", function() return gateway:log():find("did not get ready", 1, true) end)
      assert.matches('did not get ready[^\n]*"reason":"exit status 1"', gateway:log())
      assert.is_true(process.is_running(old))
      local response = idle:send(client.bytes("GET", "/hello")):response()
      assert.equal("hello", response.body)
      assert.is_nil(response.headers.connection)
      assert.equal(200, client.get(gateway.admin_port, "/health/ready").status)
      idle:close()
    end)

    it("goes on untouched when the new binary can't be executed", function()
      local path = folder.path .. "/demilune"
      local program = server.program
      assert(posix.symlink(program, path))
      server.program = path
      local ok, err = pcall(start, HELLO)
      server.program = program
      os.remove(path)
      assert(ok, err)
      folder:write("demilune", "no program")
      gateway:signal "USR2"
      wait("word of it", function() return gateway:log():find("did not get ready", 1, true) end)
      assert.matches("the program can't be executed", gateway:log(), 1, true)
      assert.equal("hello", client.get(gateway.port, "/hello").body)
      os.remove(path)
      assert(posix.symlink(program, path))
      hand_over()
      assert.equal("hello", client.get(gateway.port, "/hello").body)
      os.remove(path)
    end)

    it("may come twice, and SIGTERM in the middle of it", function()
      start(HELLO)
      gateway:signal "USR2"
      gateway:signal "USR2"
      gateway:signal "TERM"
      assert.equal(0, gateway:wait())
      assert.is_false(process.is_running(gateway.process))
    end)

    it("helps out of a crash in the middle of it", function()
      local flag = folder:write("slow", "")
      os.remove(flag)
      start(plugin(folder, "start", ([[
        while ffi.C.access(%q, 0) == 0 do ffi.C.usleep(5000) end]]):format(flag))
        .. "script: { hang_timeout: 1m }\nplugins: [{ name: harm }]\n" .. HELLO)
      folder:write("slow", "")
      gateway:signal "USR2"
      wait("the beginning", function() return gateway:log():find("a gateway of the new binary is started", 1, true) end)
      posix.kill(gateway.process, posix.SIGKILL)
      gateway:event "supervisor.crash"
      local patient = client.connect(gateway.port):send(client.bytes("GET", "/hello"))
      os.remove(flag)
      assert.equal("hello", patient:response().body)
      patient:close()
    end)
  end)

  it("lets the gateway end when it has gone itself", function()
    start(HELLO)
    gateway.may_fail = true
    posix.kill(gateway.pid, posix.SIGKILL)
    gateway:event "supervisor.gone"
    wait("the end of the gateway", function() return not process.is_running(gateway.process) end)
  end)

  it("hands TLS sessions on to the next gateway, after a crash and on SIGUSR2", function()
    local function openssl(...)
      local pid = posix.spawn({ "/usr/bin/openssl", ... }, { stdout = folder.path .. "/out", dir = folder.path })
      wait("the end of openssl", function() return posix.exit_status(pid) end)
      local file = assert(io.open(folder.path .. "/out"))
      local text = file:read "*a"
      file:close()
      return text
    end
    for _, name in ipairs { "cert.pem", "key.pem", "session", "out" } do
      folder:write(name, "")
    end
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem")
    start([[
workers: 2
listeners: [{ address: "127.0.0.1:0", tls: { certificates: [{ cert: cert.pem, key: key.pem }] } }]
]] .. HELLO, { bare = true })
    local function shake(option)
      return openssl("s_client", "-connect", "127.0.0.1:" .. gateway.port, "-servername", "localhost", "-tls1_2",
        option, "session")
    end
    assert.matches("New, TLSv1.2", shake "-sess_out", 1, true)
    assert.matches("Reused, TLSv1.2", shake "-sess_in", 1, true)
    posix.kill(gateway.process, posix.SIGKILL)
    gateway:event "supervisor.restarted"
    assert.matches("Reused, TLSv1.2", shake "-sess_in", 1, true)
    gateway:signal "USR2"
    wait("the handover", function() return gateway:log():find("the new gateway has taken over", 1, true) end)
    assert.matches("Reused, TLSv1.2", shake "-sess_in", 1, true)
  end)

  describe("as process 1", function()
    local UNSHARE = { "/usr/bin/unshare", "--fork", "--pid", "--mount-proc" }

    local function run(argv, more)
      local all = {}
      for _, list in ipairs { argv, more } do
        for _, word in ipairs(list) do
          all[#all + 1] = word
        end
      end
      return posix.spawn(all, { stderr = folder.path .. "/stderr", dir = folder.path })
    end

    local function ended(pid)
      return wait("the end of a process", function() return posix.exit_status(pid) end)
    end

    -- unshare wants root.
    local it_may = ended(posix.spawn({ "/bin/sh", "-c", table.concat(UNSHARE, " ") .. " true" }, {})) == 0 and it
      or pending

    it_may("it reaps what is nobody's, restarts the gateway, and drains when told to", function()
      folder:write("demilune.yaml", 'listeners: [{ address: "127.0.0.1:0" }]\n' .. HELLO)
      local outer = run(UNSHARE, { server.program, "run" })
      local first = wait("process 1", function() return process.children(outer)[1] end)
      local inner = wait("the gateway", function() return process.children(first)[1] end)
      local namespace = { "/usr/bin/nsenter", "--target", tostring(first), "--pid", "--mount" }
      assert.equal(0, ended(run(namespace, { "/bin/sh", "-c", "sleep 0.5 & exit 0" })))
      wait("an orphan", function() return #process.children(first) == 2 end)
      wait("its end", function() return #process.children(first) == 1 end)
      posix.kill(inner, posix.SIGKILL)
      wait("another gateway", function()
        local now = process.children(first)
        return #now == 1 and now[1] ~= inner
      end)
      posix.kill(first, posix.SIGTERM)
      assert.equal(0, ended(outer))
    end)
  end)

  it("ends with the status of a gateway that fails while it ends", function()
    start(plugin(folder, "stop", "ffi.C.raise(9)") .. "plugins: [{ name: harm }]\n" .. HELLO)
    gateway.may_fail = true
    gateway:signal "TERM"
    assert.equal(128 + posix.SIGKILL, gateway:wait())
    assert.matches('"reason":"SIGKILL"', gateway:event "supervisor.disorder", 1, true)
  end)

  it("kills a gateway that does not end in time", function()
    start("drain: { timeout: 50ms }\n" .. HELLO)
    gateway.may_fail = true
    posix.kill(gateway.process, posix.SIGSTOP)
    gateway:signal "TERM"
    wait("its end by force", function() return gateway:log():find("supervisor.kill", 1, true) end, 2 * posix.PATIENCE)
    assert.equal(128 + posix.SIGKILL, gateway:wait())
  end)

  it("acts once on a signal that the whole group gets", function()
    start("drain: { delay: 300ms }\n" .. HELLO)
    posix.kill(gateway.process, posix.SIGTERM)
    gateway:signal "TERM"
    gateway:event "drain.begin"
    assert.equal("hello", client.get(gateway.port, "/hello").body)
    assert.equal(0, gateway:wait())
    gateway:event "drain.end"
  end)
end)
