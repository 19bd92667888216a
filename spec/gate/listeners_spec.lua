-- SPDX-License-Identifier: Apache-2.0

-- Where clients connect: IPv6, unix sockets, connections that begin with a PROXY header; and whose rights the gateway
-- has once its ports are bound.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local WHO = [[
routes:
  - name: who
    paths: [/who]
    respond: { body: "{client_ip}" }
]]

-- A machine may have no IPv6.
local function has_ipv6()
  local file = io.open "/proc/net/if_inet6"
  local text = file and file:read "*a" or ""
  if file then
    file:close()
  end
  return text:find("00000000000000000000000000000001 ", 1, true) ~= nil
end

local function is_root()
  for line in io.lines "/proc/self/status" do
    if line:find "^Uid:%s+0%s+0" then
      return true
    end
  end
  return false
end

local it_v6 = has_ipv6() and it or function(name)
  pending(name .. " (this machine has no IPv6 loopback)")
end

local it_root = is_root() and it or function(name)
  pending(name .. " (it takes root)")
end

local function exists(path)
  local file, _, code = io.open(path)
  if file then
    file:close()
  end
  return file ~= nil or code == 6 -- ENXIO: a socket can't be opened
end

describe("listeners", function()
  local gateway, upstream, folder

  before_each(function()
    folder = server.folder()
  end)

  after_each(function()
    if gateway then
      gateway:stop()
      gateway = nil
    end
    if upstream then
      upstream:close()
      upstream = nil
    end
    folder:remove()
  end)

  local function start(config, options)
    options = options or {}
    options.bare, options.folder = true, folder
    gateway = server.start(config, options)
    return gateway
  end

  -- What run says of a configuration that it does not start with.
  local function refusal(config)
    folder:write("demilune.yaml", config)
    local result = server.run({ "run" }, { folder = folder })
    return result.err, result.status
  end

  local function proxy_config(more)
    upstream = origin.listen()
    return ([[
workers: 2
%s
upstreams: [{ name: up, endpoints: [{ address: "127.0.0.1:%d" }] }]
routes: [{ name: all, upstream: up }]
]]):format(more, upstream.port)
  end

  -- The request that the upstream gets when these bytes go to the first listener.
  local function seen_upstream(bytes)
    local c = client.connect(gateway.places[1]:match "^[%[u]" and gateway.places[1] or gateway.port)
    c:send(bytes)
    local request, u = upstream:serve(200, {}, "ok")
    assert.equal(200, c:response().status)
    c:close()
    u:close()
    return request
  end

  describe("on IPv6", function()
    it_v6("take IPv6, beside IPv4 on the same port", function()
      start([[
workers: 2
listeners: [{ address: "[::1]:0" }]
admin: { address: "[::1]:0" }
]] .. WHO)
      for _ = 1, 10 do
        assert.equal("::1", client.get(gateway.places[1], "/who").body)
      end
      local admin = gateway:event("ready"):match '"admin":"([^"]*)"'
      assert.equal(200, client.get(admin, "/health/ready").status)
      assert.matches("demilune_requests_total", client.get(admin, "/metrics").body, 1, true)
      gateway:stop()

      start(([[
workers: 2
listeners: [{ address: "[::]:%d" }, { address: "0.0.0.0:%d" }]
]]):format(gateway.port, gateway.port) .. WHO)
      assert.equal("::1", client.get(("[::1]:%d"):format(gateway.port), "/who").body)
      assert.equal("127.0.0.1", client.get(gateway.port, "/who").body)
    end)

    it_v6("tell the upstream in the forms of IPv6", function()
      start(proxy_config 'listeners: [{ address: "[::1]:0" }]')
      local seen = seen_upstream(client.bytes("GET", "/", {
        headers = { Host = "a", ["X-Forwarded-For"] = "9.9.9.9" },
      }))
      assert.equal("::1", seen.headers["x-forwarded-for"])
      assert.equal('for="[::1]";host="a";proto=http', seen.headers.forwarded)
    end)

    it_v6("believe trusted networks of IPv6", function()
      start(proxy_config 'listeners: [{ address: "[::1]:0" }]\ntrusted_proxies: ["::/64", "fd00::/8"]\n' .. [[
plugins: [{ name: headers, config: { request: { set: { x-client: "{client_ip}" } } } }]
]])
      local seen = seen_upstream(client.bytes("GET", "/", {
        headers = { Host = "a", ["X-Forwarded-For"] = "9.9.9.9, 2001:DB8::5, fd00::1" },
      }))
      assert.equal("2001:db8::5", seen.headers["x-client"])
      assert.equal("9.9.9.9, 2001:DB8::5, fd00::1, ::1", seen.headers["x-forwarded-for"])
      seen = seen_upstream(client.bytes("GET", "/", {
        headers = { Host = "a", Forwarded = 'for="[2001:db8::6]:4711", for="[fd00::1]"' },
      }))
      assert.equal("2001:db8::6", seen.headers["x-client"])
      assert.equal('for="[2001:db8::6]:4711", for="[fd00::1]", for="[::1]";host="a";proto=http', seen.headers.forwarded)
    end)

    it_v6("count a network of IPv6 as one client", function()
      start([[
workers: 2
listeners: [{ address: "[::1]:0" }]
trusted_proxies: ["::1"]
plugins: [{ name: rate-limit, config: { limit: 2, window: 1h, algorithm: fixed_window, headers: none } }]
]] .. WHO)
      local function status(ip)
        return client.get(gateway.places[1], "/who", { headers = { ["X-Forwarded-For"] = ip } }).status
      end
      assert.equal(200, status "2001:db8:1:1::1")
      assert.equal(200, status "2001:db8:1:1:ffff::2")
      assert.equal(429, status "2001:db8:1:1:aaaa::3")
      assert.equal(200, status "2001:db8:1:2::1")
    end)

    it_v6("write the address into the access log", function()
      start([[
workers: 1
listeners: [{ address: "[::1]:0" }]
plugins: [{ name: access-log, config: { fields: { ip: "{client_ip}" } } }]
]] .. WHO)
      client.get(gateway.places[1], "/who")
      wait("the line", function()
        local file = io.open(folder.path .. "/stdout")
        local text = file and file:read "*a"
        return text and text:find('"ip":"::1"', 1, true)
      end)
    end)

    it("are refused where another one has the address already", function()
      local err, status = refusal [[
listeners:
  - address: "[::]:8080"
  - address: "[::1]:8080"
]]
      assert.equal(1, status)
      assert.matches("demilune.yaml:3:14: listeners[1].address: another listener has [::]:8080", err, 1, true)
    end)
  end)

  describe("on a unix socket", function()
    local path

    before_each(function()
      path = folder.path .. "/s"
    end)

    after_each(function()
      os.remove(path)
    end)

    local function unix(more)
      return ('listeners: [{ address: "unix:%s"%s }]\n'):format(path, more or "")
    end

    it("answer with each worker, and leave no file behind", function()
      start("workers: 3\n" .. unix() .. WHO)
      local idle = {}
      for i = 1, 12 do
        idle[i] = client.connect("unix:" .. path):send(client.bytes("GET", "/who"))
        assert.equal("unix:", idle[i]:response().body)
      end
      gateway:signal "TERM"
      assert.equal(0, gateway:wait())
      for _, c in ipairs(idle) do
        assert.is_true(c:is_ended())
        c:close()
      end
      assert.is_false(exists(path))
    end)

    it("take the place of a socket that nobody serves, never that of one in use", function()
      start(unix() .. WHO)
      local second = server.folder()
      second:write("demilune.yaml", unix())
      local result = server.run({ "run" }, { folder = second })
      assert.equal(3, result.status)
      assert.matches("listeners[0].address: can't listen on unix:" .. path, result.err, 1, true)
      assert.matches("another program accepts on it", result.err, 1, true)
      second:remove()

      gateway.may_fail = true
      gateway:crash()
      assert.is_true(exists(path))
      wait("the end of its last process", function()
        local accepts, c = pcall(client.connect, "unix:" .. path)
        return not accepts or c:close()
      end)
      start(unix() .. WHO)
      assert.equal(200, client.get("unix:" .. path, "/who").status)
    end)

    it("do not touch a file that is no socket", function()
      folder:write("s", "precious")
      local err, status = refusal(unix())
      assert.equal(3, status)
      assert.matches("that file is no socket, and is left alone", err, 1, true)
      assert.equal("precious", io.open(path):read "*a")
    end)

    it("say what is wrong with a path", function()
      assert.matches("a unix socket needs an absolute path", (refusal 'listeners: [{ address: "unix:x" }]'), 1, true)
      assert.matches("has at most 107 bytes",
        (refusal(('listeners: [{ address: "unix:/%s" }]'):format(("x"):rep(107)))), 1, true)
      assert.matches("its folder must be there",
        (refusal(('listeners: [{ address: "unix:%s/none/s" }]'):format(folder.path))), 1, true)
    end)

    -- The gateway is its own upstream here.
    it("are upstreams, too: of requests, of probes, and in orders of the admin endpoint", function()
      start(([[
listeners: [{ address: "127.0.0.1:0" }, { address: "unix:%s" }]
admin: { address: "127.0.0.1:0" }
upstreams:
  - name: socket
    host: target
    endpoints: [{ address: "unix:%s" }]
    health: { active: { path: /back, interval: 50ms, healthy_after: 1 } }
routes:
  - { name: front, paths: [/front], upstream: socket, rewrite: /back }
  - { name: back, paths: [/back], respond: { body: "{host}" } }
]]):format(path, path))
      assert.equal("localhost", client.get(gateway.port, "/front").body)
      local place = "/upstreams/socket/endpoints/unix:" .. path:gsub("/", "%%2F")
      wait("the probe to be good", function()
        return client.get(gateway.admin_port, "/metrics").body:find('probes_total{[^}]*result="good"[^}]*} [1-9]')
      end)
      assert.equal(200, client.request(gateway.admin_port, "POST", place .. "/drain").status)
      assert.matches('"drained": true', client.get(gateway.admin_port, "/upstreams").body, 1, true)
    end)

    it("are no upstream with a wrong path, or when nobody knows what their certificate is to say", function()
      local function fault_of(address, more)
        return (refusal(('upstreams: [{ name: u, endpoints: [{ address: "%s" }]%s }]'):format(address, more or "")))
      end
      assert.matches("a unix socket needs an absolute path", fault_of "unix:x", 1, true)
      assert.matches("stands here twice", fault_of('unix:/x" }, { address: "unix:/x'), 1, true)
      assert.matches("tls.sni is missing", fault_of("unix:/x", ", tls: {}"), 1, true)
    end)

    it("name no address upstream, and believe nobody by themselves", function()
      start(proxy_config(unix()))
      local seen = seen_upstream(client.bytes("GET", "/", {
        headers = { Host = "a", ["X-Forwarded-For"] = "9.9.9.9" },
      }))
      assert.equal("unknown", seen.headers["x-forwarded-for"])
      assert.equal('for=unknown;host="a";proto=http', seen.headers.forwarded)
    end)

    it("believe X-Forwarded-For and PROXY headers where unix: is trusted", function()
      start(unix() .. 'trusted_proxies: ["unix:"]\n' .. WHO)
      local response = client.get("unix:" .. path, "/who", { headers = { ["X-Forwarded-For"] = "192.0.2.7" } })
      assert.equal("192.0.2.7", response.body)
      gateway:stop()
      start(unix ", proxy_protocol: true" .. 'trusted_proxies: ["unix:"]\n' .. WHO)
      local c = client.connect("unix:" .. path)
      c:send("PROXY TCP4 192.0.2.8 192.0.2.1 1 2\r\n", client.bytes("GET", "/who"))
      assert.equal("192.0.2.8", c:response().body)
      c:close()
    end)
  end)

  describe("with proxy_protocol", function()
    local LINE = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n"
    -- Version 2, PROXY; TCP over IPv6; 36 bytes of addresses.
    local BINARY = "\r\n\r\n\0\r\nQUIT\n\33\33\0\36"
      .. "\32\1\13\184\0\0\0\0\0\0\0\0\0\0\0\7" .. ("\0"):rep(16) .. "\0\1\0\2"
    local CONFIG = [[
workers: 2
listeners: [{ address: "127.0.0.1:0", proxy_protocol: true }]
admin: { address: "127.0.0.1:0" }
limits: { header_timeout: %s }
trusted_proxies: [%s]
]] .. WHO

    local function connect(...)
      return client.connect(gateway.port):send(...)
    end

    local function refused(reason)
      local name = ('demilune_bad_proxy_headers_total{reason="%s"} (%%d+)'):format(reason)
      return tonumber(client.get(gateway.admin_port, "/metrics").body:match(name)) or 0
    end

    it("take the client from the header, of either version, however it is cut", function()
      start(CONFIG:format("10s", "127.0.0.1"))
      for text, ip in pairs { [LINE] = "192.0.2.7", [BINARY] = "2001:db8::7", ["PROXY UNKNOWN\r\n"] = "127.0.0.1" } do
        local c = connect(text, client.bytes("GET", "/who"))
        assert.equal(ip, c:response().body)
        c:send(client.bytes("GET", "/who")) -- one header for all requests
        assert.equal(ip, c:response().body)
        c:close()
        c = connect()
        for byte in (text .. client.bytes("GET", "/who")):gmatch "." do
          c:send(byte)
        end
        assert.equal(ip, c:response().body)
        c:close()
      end
    end)

    it("believe X-Forwarded-For by the client in the header", function()
      start(CONFIG:format("10s", "127.0.0.1, 192.0.2.7"))
      local request = client.bytes("GET", "/who", { headers = { ["X-Forwarded-For"] = "8.8.8.8" } })
      local c = connect(LINE, request)
      assert.equal("8.8.8.8", c:response().body)
      c:close()
      c = connect("PROXY TCP4 192.0.2.9 192.0.2.1 4711 80\r\n", request)
      assert.equal("192.0.2.9", c:response().body)
      c:close()
    end)

    it("close a stranger at once, header or not", function()
      start(CONFIG:format("10s", "10.0.0.0/8"))
      for _, bytes in ipairs { LINE .. client.bytes("GET", "/who"), client.bytes("GET", "/who"), "" } do
        local c = client.connect(gateway.port)
        c:try(bytes)
        assert.equal("", (c:read_all()))
        c:close()
      end
      assert.equal(3, refused "untrusted")
      local line = gateway:event "proxy_protocol.refused"
      assert.matches('"peer":"127.0.0.1:%d+","reason":"untrusted"', line)
    end)

    it("close what begins with something else", function()
      start(CONFIG:format("10s", "127.0.0.1"))
      for _, bytes in ipairs {
        client.bytes("GET", "/who"), "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80000\r\n", "PROXY UNKNOWN" .. (" "):rep(100),
        BINARY:sub(1, 12) .. "\34", BINARY:sub(1, 14) .. "\255\255",
      } do
        local c = connect(bytes)
        assert.equal("", (c:read_all()))
        c:close()
      end
      assert.equal(5, refused "protocol")
    end)

    it("close who sends half a header, and log no balancer that only looks", function()
      start(CONFIG:format("300ms", "127.0.0.1"))
      local c = connect(LINE:sub(1, 20))
      assert.equal("", (c:read_all()))
      c:close()
      assert.equal(1, refused "timeout")
      local before = select(2, gateway:log():gsub("proxy_protocol.refused", ""))
      c = client.connect(gateway.port)
      c:shutdown()
      assert.is_true(c:is_ended())
      c:close()
      assert.equal(before, select(2, gateway:log():gsub("proxy_protocol.refused", "")))
    end)

    it("do not keep the gateway from ending", function()
      start(CONFIG:format("60s", "127.0.0.1"))
      local silent, half = connect(""), connect(LINE:sub(1, 20))
      local asked = connect(LINE, client.bytes("GET", "/who"))
      asked:response() -- the other two have been accepted, too, or wait in the backlog
      gateway:signal "TERM"
      assert.is_true(silent:is_ended())
      half:send(LINE:sub(21), client.bytes("GET", "/who"))
      local response = half:response()
      assert.equal("192.0.2.7", response.body)
      assert.equal("close", response.headers.connection)
      assert.equal(0, gateway:wait())
      silent:close()
      half:close()
      asked:close()
    end)
  end)

  describe("and user", function()
    -- On a port below 1024, of an address that no other run has now, and on a unix socket.
    local function start_as_nobody()
      local moment = math.floor(posix.now() * 1000)
      start(([[
workers: 2
user: nobody
listeners: [{ address: "127.%d.%d.1:81" }, { address: "unix:%s/s" }]
]]):format(1 + moment % 250, math.floor(moment / 250) % 250, folder.path) .. WHO)
    end

    after_each(function()
      os.remove(folder.path .. "/s")
    end)

    -- Of all threads: the user and group ids of the process.
    local function ids(pid)
      local found, n = {}, 0
      for tid = pid, pid + 5000 do
        local file = io.open(("/proc/%d/task/%d/status"):format(pid, tid))
        if file then
          local text = file:read "*a"
          file:close()
          local uids, gids = text:match "Uid:%s+([^\n]*)", text:match "Gid:%s+([^\n]*)"
          found[uids .. " " .. gids .. " " .. text:match "Groups:%s*(%d*)"] = true
          n = n + 1
        end
      end
      return found, n
    end

    it_root("gives up root in every thread once the ports are bound", function()
      start_as_nobody()
      local found, n = ids(gateway.process)
      local uid = gateway:event("privileges.dropped"):match '"uid":(%d+)'
      local gid = gateway:event("privileges.dropped"):match '"gid":(%d+)'
      local four = "%s\t%s\t%s\t%s"
      assert.is_true(n >= 4)
      assert.not_equal("0", uid)
      assert.same({ [four:format(uid, uid, uid, uid) .. " " .. four:format(gid, gid, gid, gid) .. " " .. gid] = true },
        found)
      assert.equal(200, client.get(gateway.places[1], "/who").status)
    end)

    it_root("has the ports that only root could bind after a crash, too", function()
      start_as_nobody()
      posix.kill(gateway.process, posix.SIGKILL)
      gateway:event "supervisor.restarted"
      for _, place in ipairs(gateway.places) do
        assert.equal(200, client.get(place, "/who").status)
      end
      assert.equal(2, select(2, gateway:log():gsub('"event":"privileges.dropped"', "")))
    end)

    it_root("opens logs as that user", function()
      local err, status = refusal(([[
user: nobody
listeners: [{ address: "127.0.0.1:0" }]
plugins: [{ name: access-log, config: { to: "%s/access.log" } }]
]]):format(folder.path))
      assert.not_equal(0, status)
      assert.matches("Permission denied", err, 1, true)
    end)

    it("has to be there", function()
      local err, status = refusal "user: no-such-user-here\n"
      assert.equal(1, status)
      assert.matches('demilune.yaml:1:7: user: this machine has no user "no-such-user-here"', err, 1, true)
    end)
  end)

  it("say who has a port, and what an address is not", function()
    local taken = origin.listen()
    local err = refusal(([[
listeners:
  - address: 127.0.0.1:%d
  - address: 192.0.2.1:8080
]]):format(taken.port))
    assert.matches(("`ss -ltnp sport = :%d` names it"):format(taken.port), err, 1, true)
    assert.matches("demilune.yaml:3:14: listeners[1].address: can't listen on 192.0.2.1:8080", err, 1, true)
    assert.matches("no interface of this machine has this address", err, 1, true)
    taken:close()
  end)
end)
