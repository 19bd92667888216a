-- SPDX-License-Identifier: Apache-2.0

-- The image of docker/Dockerfile, as a platform runs it. Where images can't be built or run, each test says why.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local command = require "spec.support.command"
local container = require "spec.support.container"
local load = require "spec.support.load"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local MOST = 60e6 -- bytes above the base

local HELLO = [[
local Hello = { name = "hello", version = "1.0.0", schema = { type = "object" } }
Hello.__index = Hello

function Hello.new()
  return setmetatable({}, Hello)
end

function Hello:response(exchange)
  exchange.response.headers["x-hello"] = "from a mounted plugin"
end

return Hello
]]

-- Takes memory until it is refused some.
local HOG = [[
local Hog = { name = "hog", version = "1.0.0", schema = { type = "object" } }
Hog.__index = Hog

function Hog.new()
  return setmetatable({}, Hog)
end

function Hog:access()
  local kept = {}
  while true do
    kept[#kept + 1] = ("x"):rep(100000) .. #kept
  end
end

return Hog
]]

local built, reason = container.build()

print(built and built.told:gsub("container: ", "# "):gsub("\n$", "") or "# skipped: " .. reason)

-- A test of the image.
local function image(name, f)
  it(name, built and f or function()
    pending(reason)
  end)
end

describe("the image", function()
  local folder, one, port, admin_port

  before_each(function()
    port, admin_port = origin.free_port(), origin.free_port()
    folder = server.folder()
    folder:write("plugins/hello/init.lua", HELLO)
  end)

  after_each(function()
    if one then
      one:remove()
      one = nil
    end
    folder:remove()
  end)

  local function configure(config)
    local path = folder:write("demilune.yaml.new", ([[
listeners: [{ address: 127.0.0.1:%d }]
admin: { address: 127.0.0.1:%d }
plugin_path: [/etc/demilune/plugins]
]]):format(port, admin_port) .. config)
    folder.files[path] = nil
    folder.files[folder.path .. "/demilune.yaml"] = true
    container.open(folder)
    assert(os.rename(path, folder.path .. "/demilune.yaml"))
  end

  local function route(body)
    return ([[
routes: [{ name: all, paths: ["/*"], respond: { body: "%s" }, plugins: [{ name: hello }] }]
]]):format(body)
  end

  local function start(config, options)
    options = options or {}
    options.folder = folder.path
    configure(config)
    one = container.start(options)
    return one
  end

  local function body()
    return client.get(port, "/").body
  end

  image("is small", function()
    local above = built.image_size - built.base_size
    print(("# image %.0f MB, %.1f MB above its base"):format(built.image_size / 1e6, above / 1e6))
    assert.is_true(above < MOST)
  end)

  image("says what it is, whose it is and how it is checked", function()
    local function told(format)
      return container.podman("image", "inspect", "--format", format, container.image)
    end
    assert.equal("10001:10001", told "{{.Config.User}}")
    assert.equal("[demilune] [run]", told "{{.Config.Entrypoint}} {{.Config.Cmd}}")
    assert.matches("[demilune health]", (told "{{.HealthCheck.Test}}":gsub("CMD ", "")), 1, true)
    local labels = told "{{json .Labels}}"
    for _, label in ipairs { "title", "description", "licenses", "version", "revision" } do
      assert.matches('"org.opencontainers.image.' .. label .. '":"', labels, 1, true)
    end
    local version = container.podman("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit",
      "nproc=1024:1024", container.image, "version")
    assert.matches(labels:match '"org.opencontainers.image.revision":"([^"]*)"', version, 1, true)
  end)

  image("answers, with a mounted configuration and a mounted plugin, not root and with nothing writable", function()
    start(route "one"):event "ready"
    local response = client.get(port, "/")
    assert.equal("one", response.body)
    assert.equal("from a mounted plugin", response.headers["x-hello"])
    local pid = one:inspect "{{.State.Pid}}"
    local status = assert(io.open("/proc/" .. pid .. "/status")):read "*a"
    assert.matches("Uid:\t10001\t10001\t10001\t10001\n", status, 1, true)
    assert.matches("CapEff:\t0000000000000000\n", status, 1, true)
    assert.matches("Name:\tdemilune\n", status, 1, true) -- process 1 is the program itself
  end)

  image("is healthy when it is ready, and not before it can be", function()
    start("drain: { delay: 20s }\n" .. route "one"):event "ready"
    assert.is_true(one:is_healthy())
    one:signal "TERM"
    wait("a gateway that is not ready", function() return client.get(admin_port, "/health/ready").status == 503 end)
    assert.is_false(one:is_healthy())
    assert.equal("one", body()) -- it still accepts
  end)

  image("reloads", function()
    start(route "one"):event "ready"
    configure(route "two")
    one:signal "HUP"
    one:event "reload.done"
    assert.equal("two", body())
  end)

  -- As the kubelet does it: a link that names the folder of the day is swapped.
  image("takes a ConfigMap's new version by itself", function()
    configure("watch: true\n" .. route "one")
    local function version(name, config)
      folder:write(name .. "/demilune.yaml", (config:gsub("/etc/demilune/plugins", "/etc/demilune/..data/plugins")))
      folder:write(name .. "/plugins/hello/init.lua", HELLO)
    end
    local text = assert(io.open(folder.path .. "/demilune.yaml")):read "*a"
    version("..1", text)
    version("..2", (text:gsub('"one"', '"two"')))
    local function link(target, name)
      posix.symlink(target, folder.path .. "/" .. name)
      folder.files[folder.path .. "/" .. name] = true
    end
    os.remove(folder.path .. "/demilune.yaml")
    link("..1", "..data")
    link("..data/demilune.yaml", "demilune.yaml")
    container.open(folder)
    one = container.start { folder = folder.path }
    one:event "ready"
    assert.equal("one", body())
    posix.symlink("..2", folder.path .. "/..data.new")
    assert(os.rename(folder.path .. "/..data.new", folder.path .. "/..data"))
    wait("the new version", function() return body() == "two" end)
  end)

  image("drains on SIGTERM: a request in flight is answered, and it ends with 0", function()
    local upstream = origin.listen()
    start(('routes: [{ name: all, upstream: "http://127.0.0.1:%d" }]\n'):format(upstream.port)):event "ready"
    local c = client.connect(port)
    c:send(client.bytes("GET", "/"))
    local inside = upstream:accept()
    inside:request()
    one:signal "TERM"
    wait("a closed port", function()
      local other = client.try_connect(port)
      if other then
        other:close()
      end
      return not other
    end)
    assert.is_true(one:is_running())
    inside:respond(200, {}, "in time")
    assert.equal("in time", c:response("GET").body)
    assert.equal(0, one:wait())
    upstream:close()
  end)

  image("loses no request when it is replaced under load", function()
    start("drain: { delay: 2s }\n" .. route "one"):event "ready"
    local clients = load.new(port, "/", { slots = 8 })
    assert.is_true(clients:more(200))
    one:signal "TERM"
    assert.is_true(clients:until_true(function() -- who sends them looks at readiness
      return client.get(admin_port, "/health/ready").status == 503
    end))
    assert.is_true(clients:more(200))
    assert.is_true(clients:finish())
    assert.same({ 0, 0, 0 }, { clients.refused, clients.broken, clients.wrong })
    clients:close()
    assert.equal(0, one:wait())
  end)

  image("has as many workers as the CPUs that it may use", function()
    local line = start(route "one", { args = { "--cpus", "1" } }):event "ready"
    assert.matches('"workers":1,', line, 1, true)
  end)

  image("stays below its memory limit, whatever a plugin does", function()
    folder:write("plugins/hog/init.lua", HOG)
    start([[
script: { time_budget: 20s }
routes: [{ name: hog, paths: [/hog], respond: {}, plugins: [{ name: hog }] }]
]], { args = { "--memory", "160m", "--memory-swap", "160m" } }):event "ready"
    assert.equal(500, client.get(port, "/hog").status)
    assert.equal(500, client.get(port, "/hog").status)
    assert.equal("false", one:inspect "{{.State.OOMKilled}}")
    assert.is_nil(one:log():find("supervisor.crash", 1, true))
    assert.equal(404, client.get(port, "/").status)
  end)

  image("runs as whichever user a platform chooses", function()
    start(route "one", { args = { "--user", "54321:0" } }):event "ready"
    assert.equal("one", body())
  end)

  image("refuses what its user may not read, and says what that is", function()
    start(route "one"):event "ready"
    one:remove()
    local function told(path)
      command.run { "chmod", "go-rwx", folder.path .. "/" .. path }
      one = container.start { folder = folder.path }
      assert.is_true(one:wait() > 0)
      local log = one:log()
      assert.matches("Permission denied", log, 1, true)
      one:remove()
      return log
    end
    assert.matches('the plugin "hello" is not installed, unless it is what can\'t be read: /etc/demilune/plugins/hello',
      told "plugins/hello", 1, true)
    assert.matches("can't read /etc/demilune/demilune.yaml", told "demilune.yaml", 1, true)
    assert.matches("can't read /etc/demilune/demilune.yaml", told "", 1, true)
  end)

  image("ends with 1 where the configuration has a fault, and says where", function()
    start "routs: []\n"
    assert.equal(1, one:wait())
    assert.matches('did you mean "routes"?', one:log(), 1, true)
  end)

  image("has a gateway in it before anything is mounted", function()
    one = container.start { network = "none" }
    one:event "ready"
    assert.is_true(one:is_healthy())
  end)

  -- Installs busted and a Redis for each change of the image, so it is left to the long form.
  image("becomes one with plugins of one's own, once their specs have passed", function()
    if not os.getenv "DEMILUNE_FULL" then
      pending "only with --full"
    end
    local derived = "localhost/demilune-spec-plugins:latest"
    local function build(...)
      local result = container.tool("buildah", "bud", "--isolation", "chroot", "--format", "docker", "--layers",
        "--build-arg", "IMAGE=" .. container.image, "-f", "docker/Dockerfile.plugins", ...)
      assert.equal(0, result.status, result.out .. result.err)
    end
    build("-t", derived, "examples/own-plugin")
    configure [[
redis: [{ name: main, url: "redis://127.0.0.1:1" }]
routes:
  - name: all
    respond: { body: "one" }
    plugins: [{ name: account-tier, config: { service: "http://127.0.0.1:1", redis: main } }]
]]
    one = container.start { folder = folder.path, image = derived }
    one:event "ready"
    assert.equal("one", client.get(port, "/").body)

    -- The stage alone tests a mounted folder of plugins.
    local tester = "localhost/demilune-spec-test:latest"
    build("--target", "test", "-t", tester, "examples/own-plugin")
    local plugins = posix.readlink "/proc/self/cwd" .. "/examples/own-plugin"
    local told = container.podman("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit",
      "nproc=1024:1024", "-v", plugins .. ":/mine:ro", "-w", "/mine", tester, "test", ".")
    assert.matches("9 successes / 0 failures / 0 errors", told, 1, true)
  end)
end)
