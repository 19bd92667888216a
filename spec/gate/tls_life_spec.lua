-- SPDX-License-Identifier: Apache-2.0

-- TLS while a gateway runs: certificates that are replaced, sessions that live on, peers that renegotiate, and
-- upstreams that are probed over TLS.

package.path = "./?.lua;" .. package.path

local certs = require "spec.support.certs"
local client = require "spec.support.client"
local command = require "spec.support.command"
local json = require "cjson"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local LISTENER = 'listeners: [{ address: "127.0.0.1:0", tls: { certificates: [{ cert: live.pem, key: live.key }] } }]\n'
local ADMIN = 'workers: 2\nadmin: { address: "127.0.0.1:0" }\n'
local HELLO = "routes: [{ name: hello, respond: { body: hello } }]\n"

describe("TLS of a gateway that runs", function()
  local folder, gateway

  lazy_setup(function()
    folder = server.folder()
    certs.authority(folder, "ca")
    certs.authority(folder, "other")
    for _, name in ipairs { "first", "second" } do
      certs.issue(folder, name, { by = "ca", names = { "DNS:a.example", "IP:127.0.0.1" } })
    end
    certs.issue(folder, "old", { by = "ca", names = { "DNS:a.example" }, days = -1 })
  end)

  lazy_teardown(function()
    folder:remove()
  end)

  -- What stands at live.pem and live.key from now on.
  local function put(name, key)
    for to, from in pairs { ["live.pem"] = name .. ".pem", ["live.key"] = (key or name) .. ".key" } do
      local file = assert(io.open(folder.path .. "/" .. from))
      folder:write(to, file:read "*a")
      file:close()
    end
  end

  local function start(config)
    return server.start(config, { folder = folder, bare = true })
  end

  before_each(function()
    put "first"
    gateway = start(ADMIN .. LISTENER .. HELLO)
  end)

  after_each(function()
    gateway:stop()
  end)

  local function s_client(...)
    return command.run({ "openssl", "s_client", "-connect", "127.0.0.1:" .. gateway.port, ... },
      { dir = folder.path }).out
  end

  local function subject()
    return s_client():match "subject=[^\n]*CN = ([^\n]*)"
  end

  local function reload()
    return client.request(gateway.admin_port, "POST", "/reload")
  end

  -- openssl s_client whose input this spec writes; what it has said is in folder.path/said.
  local function begin_session(options)
    local fifo = folder.path .. "/typed"
    for _, name in ipairs { "typed", "said", "complained" } do
      os.remove(folder.path .. "/" .. name)
    end
    assert(command.run({ "mkfifo", fifo }).status == 0)
    folder.files[fifo] = true
    local pid = posix.spawn({ "/bin/sh", "-c",
      ("exec openssl s_client %s -connect 127.0.0.1:%d <typed"):format(options, gateway.port) },
      { stdout = folder.path .. "/said", stderr = folder.path .. "/complained", dir = folder.path })
    folder.files[folder.path .. "/said"], folder.files[folder.path .. "/complained"] = true, true
    local typed = assert(io.open(fifo, "w"))
    typed:setvbuf "no"
    return pid, typed
  end

  it("shows a new certificate to new connections, and open ones live on", function()
    local pid, typed = begin_session "-quiet"
    typed:write "GET /one HTTP/1.1\r\nHost: a.example\r\n\r\n"
    wait("the first answer", function() return select(2, folder:read("said"):gsub("hello", "")) == 1 end)
    assert.equal("first", subject())
    put "second"
    gateway:signal "HUP"
    gateway:event "reload.done"
    assert.equal("second", subject())
    typed:write "GET /two HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
    wait("the second answer", function() return select(2, folder:read("said"):gsub("hello", "")) == 2 end)
    typed:close()
    wait("the end of openssl", function() return posix.exit_status(pid) end)
  end)

  it("keeps the certificate where the new one is no good, and says why", function()
    for _, case in ipairs {
      { "old", "old", "live.pem has expired on" },
      { "second", "first", "is not the key of the first certificate" },
      { "ca", "second", "" },
    } do
      put(case[1], case[2])
      local answer = reload()
      assert.equal(422, answer.status)
      assert.matches(case[3], answer.body, 1, true)
      assert.equal("first", subject())
    end
    folder:write("live.key", "torn")
    assert.equal(422, reload().status)
    assert.equal("first", subject())
    put "second"
    local before = json.decode(client.get(gateway.admin_port, "/config").body).id
    local answer = reload()
    assert.equal(200, answer.status)
    assert.equal("second", subject())
    assert.are_not.equal(before, json.decode(answer.body).id)
    assert.equal(json.decode(answer.body).id, json.decode(reload().body).id)
  end)

  it("resumes sessions over a reload", function()
    local session = folder:write("session", "")
    assert.matches("New, TLSv1.2", s_client("-tls1_2", "-sess_out", session), 1, true)
    gateway:configure(ADMIN .. LISTENER .. HELLO:gsub("hello", "hullo"))
    assert.equal(200, reload().status)
    assert.matches("Reused, TLSv1.2", s_client("-tls1_2", "-sess_in", session), 1, true)
  end)

  it("ends who renegotiates, however many try, and serves on", function()
    for _ = 1, 10 do
      local pid, typed = begin_session "-tls1_2"
      wait("the handshake", function() return folder:read("said"):find("Verif[^\n]*return code") end)
      typed:write "R\n"
      wait("the end of openssl", function() return posix.exit_status(pid) end)
      typed:close()
    end
    assert.equal("first", subject())
    local page = client.get(gateway.admin_port, "/metrics").body
    assert.equal("10", page:match '\ndemilune_tls_handshakes_total{side="client",version="1.2",resumed="no"} (%d+)')
  end)

  describe("toward an upstream", function()
    local front

    after_each(function()
      front:stop()
    end)

    local function probed(ca)
      front = server.start(([[
upstreams:
  - name: up
    endpoints: [{ address: "127.0.0.1:%d" }]
    tls: { ca: %s/%s.pem }
    health: { active: { path: /, interval: 30ms, timeout: 10s } }
routes: [{ name: all, upstream: up }]
]]):format(gateway.port, folder.path, ca))
      return wait("a verdict", function()
        local endpoint = json.decode(client.get(front.admin_port, "/upstreams").body).upstreams[1].endpoints[1]
        return endpoint.probe and endpoint.probe.at and endpoint
      end)
    end

    it("probes over TLS", function()
      local endpoint = probed "ca"
      assert.equal("good", endpoint.probe.result)
      assert.equal(200, endpoint.probe.status)
      assert.equal("healthy", endpoint.state)
    end)

    it("finds one down whose certificate it does not believe", function()
      local endpoint = probed "other"
      assert.not_equal("good", endpoint.probe.result)
      assert.equal("down", endpoint.state)
      assert.matches("tls", front:event "upstream.down", 1, true)
    end)
  end)
end)
