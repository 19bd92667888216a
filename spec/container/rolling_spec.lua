-- SPDX-License-Identifier: Apache-2.0

-- A rolling update as docker/kubernetes/deployment.yaml orders one, without Kubernetes: two containers, and before them HAProxy
-- as kube-proxy's stand-in. It balances connections, asks each container for readiness on its admin port, and leaves the
-- connections that it has alone.

package.path = "./?.lua;" .. package.path

local container = require "spec.support.container"
local load = require "spec.support.load"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local HAPROXY = "/usr/sbin/haproxy"

local BALANCER = [[
global
  log stdout format raw local0
defaults
  mode tcp
  log global
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend service
  bind 127.0.0.1:%d
  default_backend pods
backend pods
  option httpchk GET /health/ready
  http-check expect status 200
  default-server inter 200ms fall 1 rise 1
  server old 127.0.0.1:%d check port %d
  server new 127.0.0.1:%d check port %d
]]

local built, reason = container.build()
local haproxy = io.open(HAPROXY)
if built and not haproxy then
  built, reason = nil, "haproxy is not installed"
end

describe("a rolling update", function()
  local folders, pods, balancer = {}, {}, nil

  after_each(function()
    if balancer then
      posix.kill(balancer, posix.SIGKILL)
      wait("the end of the balancer", function() return posix.exit_status(balancer) end)
      balancer = nil
    end
    for _, list in ipairs { pods, folders } do
      for i, one in ipairs(list) do
        one:remove()
        list[i] = nil
      end
    end
  end)

  local function pod(name, port, admin_port)
    local folder = server.folder()
    folders[#folders + 1] = folder
    folder:write("demilune.yaml", ([[
drain: { delay: 2s }
listeners: [{ address: 127.0.0.1:%d }]
admin: { address: 127.0.0.1:%d }
routes: [{ name: all, respond: { body: "%s" } }]
]]):format(port, admin_port, name))
    container.open(folder)
    pods[#pods + 1] = container.start { folder = folder.path }
    pods[#pods]:event "ready"
    return pods[#pods]
  end

  it("loses no request: preStop, drain, and the next pod", built and function()
    local ports = {}
    for i = 1, 5 do
      ports[i] = origin.free_port()
    end
    local old = pod("old", ports[2], ports[3])
    local folder = server.folder()
    folders[#folders + 1] = folder
    local config = folder:write("haproxy.cfg", BALANCER:format(unpack(ports)))
    balancer = posix.spawn({ HAPROXY, "-db", "-f", config }, { stdout = folder.path .. "/log" })
    local function told(what)
      return function() return folder:read("log"):find(what, 1, true) end
    end
    wait("a balancer that knows there is one pod", told "Server pods/new is DOWN")

    local clients = load.new(ports[1], "/", { slots = 8 })
    assert.is_true(clients:more(100))
    assert.equal("old", clients.last_body)
    pod("new", ports[4], ports[5]) -- maxUnavailable: 0
    assert.is_truthy(clients:until_true(told "Server pods/new is UP"))

    -- What the kubelet does: preStop in the container, then SIGTERM.
    local leaving = old:spawn({ "exec", "ID", "sleep", "2" }, { "stop", "-t", "45", "ID" })
    local status = clients:until_true(function() return posix.exit_status(leaving) end, 90)
    assert.equal(0, status)
    assert.is_truthy(told "Server pods/old is DOWN" ())
    assert.is_true(clients:more(200))
    assert.equal("new", clients.last_body)
    assert.is_true(clients:finish())
    print(("# %d requests during a rolling update"):format(clients.answered))
    assert.same({ 0, 0, 0 }, { clients.refused, clients.broken, clients.wrong })
    clients:close()
    assert.equal(0, old:wait())
  end or function()
    pending(reason)
  end)
end)
