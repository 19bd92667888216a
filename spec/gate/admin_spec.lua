-- SPDX-License-Identifier: Apache-2.0

-- The admin endpoint: what it shows, and to whom.

package.path = "./?.lua;" .. package.path

local ffi = require "ffi"
local client = require "spec.support.client"
local json = require "cjson"
local lfs = require "lfs"
local origin = require "spec.support.origin"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

ffi.cdef "int chmod(const char *, unsigned);"

local CONFIG = [[
upstreams:
  - name: up
    endpoints: [{ address: "127.0.0.1:%d" }]
    max_connections: 7
routes:
  - name: proxied
    paths: [/proxied]
    methods: [GET]
    headers: { x-kind: a }
    upstream: up
  - name: hello
    paths: [/hello]
    respond: { body: hello }
]]

-- And what each answers to who may ask for it here.
local CHANGES = {
  ["/reload"] = 200, ["/breakers/none/open"] = 404, ["/breakers/none/close"] = 404, ["/breakers/none/auto"] = 404,
  ["/cache/purge"] = 400, ["/upstreams/up/endpoints/127.0.0.1:1/drain"] = 404,
  ["/upstreams/none/endpoints/127.0.0.1:1/enable"] = 404,
}

describe("the admin endpoint", function()
  local gateway, upstream

  local function get(path, headers)
    return client.get(gateway.admin_port, path, { headers = headers })
  end

  local function status(method, path, headers)
    return client.request(gateway.admin_port, method, path, { headers = headers }).status
  end

  after_each(function()
    gateway:stop()
  end)

  describe("on a unix socket", function()
    local folder, path

    before_each(function()
      folder = server.folder()
      path = folder.path .. "/admin.sock"
    end)

    after_each(function()
      os.remove(path)
      folder:remove()
    end)

    local function start(listener)
      local config = ('admin: { address: "unix:%s" }\n'):format(path)
      gateway = server.start(config .. ("listeners: [{ address: %q }]\n"):format(listener or "127.0.0.1:0"),
        { bare = true, folder = folder })
    end

    local function mode()
      return lfs.attributes(path, "permissions")
    end

    it("shows all without a token, to its owner alone", function()
      start()
      assert.equal("rw-------", mode())
      assert.equal(200, client.get("unix:" .. path, "/config").status)
      assert.equal(200, client.request("unix:" .. path, "POST", "/reload").status)
      assert.equal(403, client.get("unix:" .. path, "/config", { headers = { Host = "evil.example" } }).status)
      assert.equal(0, server.run({ "health" }, { folder = folder }).status)
    end)

    it("leaves no file behind", function()
      for _, signal in ipairs { "TERM", "INT" } do
        start()
        assert.equal("rw-------", mode())
        gateway:signal(signal)
        assert.equal(0, gateway:wait())
        assert.is_nil(mode(), signal)
      end
    end)

    it("leaves a mode that somebody has set", function()
      start()
      local chmod = ffi.C.chmod(path, 432) -- 0660
      assert.equal(0, chmod)
      assert.equal(200, client.request("unix:" .. path, "POST", "/reload").status)
      assert.equal("rw-rw----", mode())
    end)

    it("takes its file along when a reload moves it", function()
      start()
      local config = 'listeners: [{ address: "unix:%s" }]\nadmin: { address: "unix:%s" }\n'
      local other = folder.path .. "/other.sock"
      gateway:configure(config:format(path, other))
      gateway:signal "HUP"
      wait("the reload", function() return mode() == "rw-rw-rw-" end)
      assert.equal("rw-------", lfs.attributes(other, "permissions"))
      gateway:configure(config:format(other, path))
      gateway:signal "HUP"
      wait("the other reload", function() return mode() == "rw-------" end)
      wait("the other file", function() return lfs.attributes(other, "permissions") == "rw-rw-rw-" end)
      wait("the answer", function() return client.get("unix:" .. path, "/config").status == 200 end)
    end)
  end)

  describe("without a token on loopback", function()
    before_each(function()
      upstream = origin.listen()
      gateway = server.start(CONFIG:format(upstream.port))
    end)

    after_each(function()
      upstream:close()
    end)

    it("tells that the gateway lives and is ready", function()
      assert.same({ status = "live" }, json.decode(get("/health/live").body))
      local ready = get "/health/ready"
      assert.equal(200, ready.status)
      assert.same({ status = "ready" }, json.decode(ready.body))
      assert.equal("no-store", ready.headers["cache-control"])
    end)

    it("shows the metrics in both forms", function()
      client.get(gateway.port, "/hello")
      local plain = wait("the request is counted", function()
        local page = get "/metrics"
        return page.body:find('\ndemilune_requests_total{route="hello",status="200"} 1\n', 1, true) and page
      end)
      assert.matches("^text/plain; version=0.0.4", plain.headers["content-type"])
      for _, line in ipairs { "demilune_workers 2", "demilune_ready 1", "demilune_build_info{version=",
        "process_cpu_seconds_total ", "process_open_fds ", "process_resident_memory_bytes ",
        "demilune_connections " } do
        assert.matches("\n" .. line, plain.body, 1, true)
      end
      local open = get("/metrics", { Accept = "application/openmetrics-text; version=1.0.0, text/plain;q=0.5" })
      assert.matches("^application/openmetrics%-text; version=1.0.0", open.headers["content-type"])
      assert.matches("# EOF\n$", open.body)
      assert.matches("^text/plain", get("/metrics", { Accept = "application/openmetrics-text;q=0" })
        .headers["content-type"])
    end)

    it("counts open connections", function()
      local c = client.connect(gateway.port)
      c:send(client.bytes("GET", "/hello")):response()
      assert.matches("\ndemilune_connections 1\n", get("/metrics").body, 1, true)
      c:close()
    end)

    it("shows the routes in match order", function()
      local routes = json.decode(get("/routes").body).routes
      assert.equal(2, #routes)
      local by_name = { [routes[1].name] = routes[1], [routes[2].name] = routes[2] }
      assert.same({ "GET", "HEAD" }, by_name.proxied.methods)
      assert.same({ "/proxied" }, by_name.proxied.paths)
      assert.same({ ["x-kind"] = "a" }, by_name.proxied.headers)
      assert.equal("up", by_name.proxied.upstream)
      assert.equal("respond", by_name.hello.action)
    end)

    it("shows upstreams with what their endpoints have been through", function()
      local c = client.connect(gateway.port)
      c:send(client.bytes("GET", "/proxied", { headers = { ["X-Kind"] = "a" } }))
      local _, u = upstream:serve(200, {}, "ok")
      c:response()
      local up = wait("the attempt is counted", function()
        local shown = json.decode(get("/upstreams").body).upstreams[1]
        return shown.endpoints[1].requests > 0 and shown
      end)
      assert.equal("up", up.name)
      assert.equal(7, up.max_connections)
      assert.equal(1, up.connections)
      assert.equal("127.0.0.1:" .. upstream.port, up.endpoints[1].address)
      assert.equal(1, up.endpoints[1].requests)
      assert.equal(0, up.endpoints[1].failures)
      assert.is_true(up.endpoints[1].usable)
      assert.is_false(up.endpoints[1].ejected)
      local metrics = get("/metrics").body
      for name, value in pairs { connections = 1, connections_opened_total = 1, pending = 0, endpoints = 1,
        usable_endpoints = 1, shelved_connections = 0 } do
        assert.matches(('\ndemilune_upstream_%s{upstream="up"} %d\n'):format(name, value), metrics, 1, true)
      end
      local labels = ('{upstream="up",endpoint="127.0.0.1:%d"}'):format(upstream.port)
      for name, value in pairs { up = 1, active = 0, ejections_total = 0 } do
        assert.matches(("\ndemilune_upstream_endpoint_%s%s %d\n"):format(name, labels, value), metrics, 1, true)
      end
      u:close()
      c:close()
    end)

    it("shows the configuration with its version", function()
      local config = json.decode(get("/config").body)
      assert.equal(1, config.version)
      assert.matches("^%x+$", config.id)
      assert.equal("proxied", config.config.routes[1].name)
    end)

    it("answers HEAD without a body, and keeps the connection", function()
      local c = client.connect(gateway.admin_port)
      for _ = 1, 2 do
        c:send(client.bytes("HEAD", "/config"))
        local response = c:response "HEAD"
        assert.equal(200, response.status)
        assert.is_true(tonumber(response.headers["content-length"]) > 100)
      end
      c:close()
    end)

    it("answers however many connections somebody else holds open", function()
      local held = {}
      for i = 1, 600 do
        held[i] = client.connect(gateway.admin_port)
        if i % 2 == 0 then
          held[i]:try "GET /health/live HT"
        end
      end
      assert.equal(200, get("/health/live").status)
      for _, c in ipairs(held) do
        c:close()
      end
    end)

    it("has no other pages and methods", function()
      local missing = get "/nowhere"
      assert.equal(404, missing.status)
      assert.equal("application/problem+json", missing.headers["content-type"])
      local problem = json.decode(missing.body)
      assert.equal(404, problem.status)
      assert.matches("^%x+%-%x+%-4%x+%-%x+%-%x+$", problem.request_id)
      assert.matches(problem.request_id, gateway:event "admin.refused", 1, true)
      local response = client.request(gateway.admin_port, "DELETE", "/config")
      assert.equal(405, response.status)
      assert.equal("GET, HEAD", response.headers.allow)
      assert.equal("POST", get("/reload").headers.allow)
    end)

    it("says what is not yet supported, and what does not exist", function()
      for path, answer in pairs(CHANGES) do
        assert.equal(answer, status("POST", path))
      end
      assert.equal(501, status("GET", "/"))
    end)

    it("refuses changes that a page of another origin asks for", function()
      local here = "127.0.0.1:" .. gateway.admin_port
      for path, answer in pairs(CHANGES) do
        for _, foreign in ipairs { "http://evil.example", "null", "http://127.0.0.1:1" } do
          assert.equal(403, status("POST", path, { Host = here, Origin = foreign }))
        end
        assert.equal(answer, status("POST", path, { Host = here, Origin = "http://" .. here }))
      end
    end)

    it("wants a Host that is an address or localhost, but for health and metrics", function()
      for _, path in ipairs { "/config", "/routes", "/upstreams", "/plugins", "/", "/nowhere" } do
        assert.equal(403, status("GET", path, { Host = "evil.example" }))
      end
      for _, path in ipairs { "/health/live", "/health/ready", "/metrics" } do
        assert.equal(200, status("GET", path, { Host = "evil.example" }))
      end
      for _, host in ipairs { "127.0.0.1:9901", "localhost", "localhost:9901", "[::1]:9901", "192.0.2.1" } do
        assert.equal(200, status("GET", "/config", { Host = host }))
      end
    end)
  end)

  describe("of plugins", function()
    local folder

    before_each(function()
      folder = server.folder()
      folder:write("plugins/waits/init.lua", [[
local task = require "demilune.task"
return {
  name = "waits", version = "1.0.0", access = function() task.sleep(0.02) end, log = function() end,
}
]])
      gateway = server.start([[
plugin_path: [plugins]
routes:
  - name: waiting
    paths: [/waiting]
    respond: { body: hello }
    plugins: [{ name: headers, config: {} }, { name: waits }]
]], { folder = folder })
    end)

    after_each(function()
      folder:remove()
    end)

    local function shown()
      local plugins = json.decode(get("/plugins").body).plugins
      assert.equal(2, #plugins)
      return plugins[2], plugins[1]
    end

    it("shows where they are enabled, their hooks and the time that these take", function()
      local waits, headers = shown()
      assert.same({ "waits", "route:waiting", "routes[0].plugins[1]", { "access", "log" } },
        { waits.name, waits.scope, waits.place, waits.hooks })
      assert.same({ samples = 0, runs = 0, busy_seconds = 0, waiting_seconds = 0 }, waits.time.access)
      assert.is_nil(next(headers.time))
      for _ = 1, 3 do
        client.get(gateway.port, "/waiting")
      end
      local time = wait("the log hooks are counted", function()
        local time = shown().time
        return time.log.runs == 3 and time
      end)
      assert.equal(3, time.access.samples)
      assert.is_true(time.access.waiting_seconds >= 0.05 and time.access.waiting_seconds < 30)
      assert.is_true(time.access.busy_seconds > 0 and time.access.busy_seconds < time.access.waiting_seconds)
      assert.equal(0, time.log.waiting_seconds)
      assert.is_true(time.log.busy_seconds > 0)
    end)
  end)

  describe("with a token", function()
    local folder

    before_each(function()
      folder = server.folder()
      folder:write("secret", "s3cret-of-the-file\n")
      folder:write("plugins/quiet/init.lua", [[
return {
  name = "quiet", version = "1.0.0", log = function() end,
  schema = { type = "object", properties = { word = { type = "string", writeOnly = true }, n = { type = "integer" } } },
}
]])
      gateway = server.start([[
workers: 1
listeners: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0", token: "${file:secret}" }
plugin_path: [plugins]
plugins: [{ name: quiet, config: { word: s3cret, n: 1 } }]
routes:
  - name: env
    paths: [/env]
    headers: { x-word: "${file:secret}" }
    respond: { body: "${SPEC_WORD}" }
consumers:
  - name: acme
    credentials: { key-auth: [{ key: hush }] }
]], { bare = true, folder = folder, env = { SPEC_WORD = "from-the-environment" } })
    end)

    after_each(function()
      folder:remove()
    end)

    local AUTHORIZED = { Authorization = "Bearer s3cret-of-the-file", Host = "any.example" }

    it("wants it for all but health", function()
      assert.equal(200, get("/health/live").status)
      assert.equal(200, get("/health/ready").status)
      for _, path in ipairs { "/metrics", "/config", "/routes", "/upstreams", "/plugins", "/", "/nowhere" } do
        local response = get(path)
        assert.equal(401, response.status)
        assert.equal("Bearer", response.headers["www-authenticate"])
      end
      assert.equal(401, status("POST", "/reload"))
    end)

    it("takes no other", function()
      for _, value in ipairs { "Bearer wrong", "Bearer s3cret-of-the-fil", "Bearer s3cret-of-the-filee", "Bearer ",
        "Basic s3cret-of-the-file", "s3cret-of-the-file" } do
        assert.equal(401, status("GET", "/config", { Authorization = value }))
      end
    end)

    it("shows all to who has it, whatever the Host", function()
      for _, path in ipairs { "/metrics", "/config", "/routes", "/upstreams", "/plugins" } do
        assert.equal(200, status("GET", path, AUTHORIZED))
      end
      assert.equal(200, status("GET", "/config", { Authorization = "bearer s3cret-of-the-file" }))
    end)

    it("refuses a foreign origin all the same", function()
      assert.equal(403, status("POST", "/reload", {
        Authorization = "Bearer s3cret-of-the-file", Origin = "http://evil.example",
      }))
    end)

    it("hides secrets in the configuration", function()
      local config = get("/config", AUTHORIZED).body
      for _, secret in ipairs { "s3cret", "from-the-environment", "hush" } do
        assert.is_nil(config:find(secret, 1, true))
      end
      assert.equal("(hidden)", json.decode(config).config.admin.token)
      assert.same({ word = "(hidden)", n = 1 }, json.decode(config).config.plugins[1].config)
      assert.matches("acme", config, 1, true)
      local routes = get("/routes", AUTHORIZED).body
      assert.is_nil(routes:find("s3cret", 1, true))
      assert.equal("(hidden)", json.decode(routes).routes[1].headers["x-word"])
    end)
  end)

  it("without a token serves health and metrics only where others can reach it", function()
    gateway = server.start([[
workers: 1
listeners: [{ address: "127.0.0.1:0" }]
admin: { address: "0.0.0.0:0" }
]], { bare = true })
    for _, path in ipairs { "/health/live", "/health/ready", "/metrics" } do
      assert.equal(200, get(path).status)
    end
    for _, path in ipairs { "/config", "/routes", "/upstreams", "/plugins", "/", "/nowhere" } do
      assert.equal(403, get(path).status)
    end
    assert.equal(403, status("POST", "/reload"))
    gateway:event "admin.open"
  end)
end)
