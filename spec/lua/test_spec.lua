-- SPDX-License-Identifier: Apache-2.0

-- The test kit itself: what a plugin's author relies on.

local http = require "demilune.http"
local redis = require "demilune.redis"
local task = require "demilune.task"
local test = require "demilune.test"
local time = require "demilune.time"

-- A folder with plugins { name = source of the module }; P is the plugin's table.
local function folder_of(plugins)
  local folder = os.tmpname()
  os.remove(folder)
  for name, source in pairs(plugins) do
    require("pl.dir").makepath(folder .. "/" .. name)
    local file = assert(io.open(("%s/%s/init.lua"):format(folder, name), "w"))
    file:write(("local P = { name = %q, version = '1.0.0' }\nP.__index = P\n%s\nreturn P\n"):format(name, source))
    file:close()
  end
  finally(function() require("pl.dir").rmtree(folder) end) -- luacheck: globals finally
  return folder
end

describe("test.gateway", function()
  it("stands between a client and an upstream", function()
    local upstream = test.upstream(function(request)
      local echo = table.concat({ request.method, request.target, request.body }, " ")
      return 201, { ["X-A"] = "1", ["X-B"] = { "2", "3" } }, echo
    end)
    local gateway = test.gateway { upstream = upstream }
    local response = gateway:post("/a?b=1", { headers = { ["X-C"] = "4" }, body = "body" })
    assert.equal(201, response.status)
    assert.equal("POST /a?b=1 body", response.body)
    assert.equal("1", response.headers["x-a"])
    assert.equal("2, 3", response.headers["x-b"])
    assert.equal("4", upstream:last().headers["x-c"])
  end)

  it("answers by itself without an upstream", function()
    assert.equal(200, test.gateway():get("/").status)
  end)

  it("runs plugins in a VM of their own, from the folder that is named", function()
    local folder = folder_of { own = "function P:access(x) x:reply(202, {}, tostring(SPEC_SAW)) end" }
    _G.SPEC_SAW = true -- luacheck: ignore 111 112
    local gateway = test.gateway { plugins = { "own" }, plugin_path = { folder } }
    assert.equal("nil", gateway:get("/").body)
    _G.SPEC_SAW = nil -- luacheck: ignore 112
  end)

  it("counts what hooks take into a request's time", function()
    local folder = folder_of {
      busy = [[
        local store = require("demilune.store").use()
        function P:access()
          local start = os.clock()
          repeat until os.clock() - start > 0.02
        end
        function P:log(x) store:set("total", x.timings.total) end]],
    }
    local gateway = test.gateway { plugins = { "busy" }, plugin_path = { folder } }
    gateway:get "/"
    local store = require("demilune.store").use()
    assert.is_true(test.eventually(function() return store:get "total" end) >= 0.02)
  end)

  -- ThreadSanitizer holds back the signal that stops it.
  local unless_tsan = os.getenv "DEMILUNE_PRESET" == "tsan" and pending or it

  unless_tsan("stops a hook that uses up its configuration's time budget", function()
    local folder = folder_of { spins = "function P:access() while true do end end" }
    local gateway = test.gateway {
      plugins = { "spins" }, plugin_path = { folder }, config = { script = { time_budget = "20ms" } },
    }
    assert.equal(500, gateway:get("/").status)
  end)

  unless_tsan("stops a plugin that does not end while it is made", function()
    local folder = folder_of { makes = "function P:access() end function P.new() while true do end end" }
    local faults = test.faults { plugins = { "makes" }, plugin_path = { folder } }
    assert.matches('the plugin "makes" was stopped: ', faults, 1, true)
    assert.equal(200, test.gateway():get("/").status)
  end)

  it("starts and stops plugins", function()
    local folder = folder_of {
      counts = [[
        local store = require("demilune.store").use()
        function P:start() store:incr("starts", 1) end
        function P:stop() store:incr("stops", 1) end
        function P:access() end]],
    }
    local store = require("demilune.store").use()
    local gateway = test.gateway { plugins = { "counts" }, plugin_path = { folder } }
    gateway:get "/"
    assert.equal(1, store:get "starts")
    assert.is_nil(store:get "stops")
    gateway:close()
    assert.equal(1, store:get "stops")
  end)

  it("gives each gateway empty stores", function()
    local store = require("demilune.store").use()
    store:set("left", "over")
    test.gateway()
    assert.is_nil(store:get "left")
  end)

  it("raises with the faults of a wrong configuration", function()
    local message = select(2, pcall(test.gateway, { plugins = { { name = "respond", config = { statsu = 200 } } } }))
    assert.truthy(message:find('unknown key, did you mean "status"?', 1, true))
    assert.truthy(test.faults({ plugins = { "no-such-plugin" } }):find("not installed", 1, true))
    assert.is_nil(test.faults {})
  end)

  it("can be several at once", function()
    local far = test.gateway { routes = { { name = "far", paths = { "/*" }, respond = { status = 418 } } } }
    local near = test.gateway { upstream = "http://" .. far.address }
    assert.equal(418, near:get("/").status)
  end)

  it("can be closed while a request waits", function()
    local upstream = test.upstream { stall = "head" }
    local gateway = test.gateway { upstream = upstream }
    local word
    local client = task.spawn(function() word = select(2, gateway:get("/", { timeout = 5 })) end)
    test.eventually(function() return #upstream.requests > 0 end)
    gateway:close()
    client:join()
    assert.truthy(word == "closed" or word == "reset")
  end)

  it("can be closed while a task of a plugin has a call under way", function()
    local folder = folder_of {
      late = [[
        local http = require "demilune.http"
        local task = require "demilune.task"
        P.schema = { type = "object", properties = { url = { type = "string" } } }
        function P.new(config) return setmetatable({ url = config.url }, P) end
        function P:access() local url = self.url; task.detach(function() http.get(url, { timeout = 5 }) end) end]],
    }
    local upstream = test.upstream { stall = "head" }
    local gateway = test.gateway {
      plugins = { { name = "late", config = { url = upstream.url } } }, plugin_path = { folder },
    }
    assert.equal(200, gateway:get("/").status)
    test.eventually(function() return #upstream.requests > 0 end)
    gateway:close()
    test.clock.advance(6) -- the call's own deadline has nobody left to wake
    assert.equal(200, test.gateway():get("/").status)
  end)
end)

describe("what a spec has started", function()
  local address, shared

  setup(function()
    shared = test.gateway()
  end)

  it("is there while it runs", function()
    address = test.gateway().address
    assert.equal(200, http.get("http://" .. address).status)
  end)

  it("has gone in the next one", function()
    assert.same({ nil, "refused" }, { http.get("http://" .. address) })
  end)

  it("but what setup has made stays until the describe's end", function()
    assert.equal(200, shared:get("/").status)
  end)
end)

describe("a test.upstream with TLS", function()
  local upstream

  before_each(function()
    upstream = test.upstream { tls = true, handler = function(request) return 200, {}, request.path end }
  end)

  it("is verified by a test.gateway", function()
    local gateway = test.gateway { upstream = upstream }
    assert.equal("/a", gateway:get("/a").body)
    assert.equal("/b", gateway:get("/b").body)
    assert.equal(1, upstream.connections)
  end)

  it("is verified by who has its certificate, and by nobody else", function()
    local options = { connect_timeout = 10 }
    assert.same({ nil, "tls" }, { http.get(upstream.url, options) })
    options.tls = { ca = upstream.ca }
    assert.equal("/c", assert(http.get(upstream.url .. "/c", options)).body)
  end)

  it("fails as it is told to, too", function()
    upstream:script { reset = "head" }
    assert.equal(502, test.gateway({ upstream = upstream }):get("/").status)
  end)
end)

describe("a connection to a test.gateway", function()
  it("sends bytes as they are, and is kept alive", function()
    local connection = test.gateway():connect()
    connection:send "GET / HTTP/1.1\r\nHost: a\r\n"
    connection:send "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert.equal(200, connection:response().status)
    assert.equal(200, connection:response().status)
    connection:send "NONSENSE\r\n\r\n"
    assert.equal(400, connection:response().status)
    assert.same({ nil, "closed" }, { connection:response() })
    connection:close()
  end)
end)

describe("test.upstream", function()
  local function ask(script, options)
    return http.get(test.upstream(script).url, options)
  end

  it("answers as told", function()
    local response = ask { status = 503, headers = { ["X-A"] = "1" }, body = "busy" }
    assert.same({ 503, "1", "busy" }, { response.status, response.headers["x-a"], response.body })
  end)

  it("shows what a function of it has raised", function()
    local response = ask(function() error "my mistake" end)
    assert.equal(500, response.status)
    assert.truthy(response.body:find("my mistake", 1, true))
  end)

  it("can be slow", function()
    local began = time.monotonic()
    assert.equal(200, ask({ delay = 0.05 }).status)
    assert.is_true(time.monotonic() - began >= 0.049)
  end)

  it("can stall, reset, truncate and speak nonsense", function()
    assert.same({ nil, "timeout" }, { ask({ stall = "head" }, { timeout = 0.05 }) })
    assert.same({ nil, "timeout" }, { ask({ stall = "body", body = "half" }, { timeout = 0.05 }) })
    assert.same({ nil, "reset" }, { ask { reset = "head" } })
    assert.is_nil((ask { reset = "body", body = "half" }))
    assert.is_nil((ask { truncate = 2, body = "four" }))
    assert.same({ nil, "protocol" }, { ask { garbage = "HELLO\r\n\r\n" } })
  end)

  it("can trickle, and change from request to request", function()
    local upstream = test.upstream { { reset = "head" }, { trickle = 0.0001, body = "slowly" }, { status = 204 } }
    assert.is_nil((http.get(upstream.url)))
    assert.equal("slowly", http.get(upstream.url).body)
    assert.equal(204, http.get(upstream.url).status)
    assert.equal(204, http.get(upstream.url).status)
  end)

  it("refuses options that are misspelt", function()
    assert.has_error(function() test.upstream { dealy = 1 } end, 'test.upstream: there is no option "dealy"')
  end)

  it("can be told otherwise, and refuses when it is closed", function()
    local upstream = test.upstream { status = 200 }
    upstream:script { status = 404 }
    assert.equal(404, http.get(upstream.url).status)
    upstream:close()
    assert.is_nil((http.get(upstream.url)))
  end)
end)

describe("test.clock", function()
  it("lets what is due happen at once", function()
    local woke = false
    local sleeper = task.spawn(function()
      task.sleep(3600)
      woke = true
    end)
    task.sleep(0.001)
    local before = time.monotonic()
    test.clock.advance(3600)
    assert.is_true(time.monotonic() - before >= 3600)
    assert.is_true(woke)
    sleeper:join()
  end)
end)

describe("test.exchange", function()
  local Plugin = {
    name = "in-spec",
    version = "1.0.0",
    schema = { properties = { word = { type = "string", default = "w" } } },
  }
  Plugin.__index = Plugin

  function Plugin.new(config)
    return setmetatable({ word = config.word }, Plugin)
  end

  local function exchange(options)
    options.plugin = Plugin
    return test.exchange(options)
  end

  after_each(function()
    for _, hook in ipairs { "access", "response", "body", "balance", "attempt", "log" } do
      Plugin[hook] = nil
    end
  end)

  it("gives a hook its request", function()
    local seen
    function Plugin:access(x)
      local r = x.request
      seen = { self.word, r.method, r.host, r.path, r.query, r.params.id, r.headers["x-a"], r.body:read(), x.client_ip,
        r.scheme, x.route.name }
    end
    local x = exchange {
      method = "PUT", path = "/orders/7?a=1", host = "api.example.com", route = "/orders/{id}",
      headers = { ["X-A"] = "1" }, body = "content", client_ip = "192.0.2.9", scheme = "https",
      config = { word = "given" },
    }
    assert.is_false(x:run "access")
    assert.same({
      "given", "PUT", "api.example.com", "/orders/7", "a=1", "7", "1", "content", "192.0.2.9", "https", "test",
    }, seen)
  end)

  it("shows what a hook has changed", function()
    function Plugin:access(x)
      x.request.headers["x-a"] = nil
      x.request.path = "/other"
      x.response.headers["x-b"] = "laid over"
      x.ctx.kept = true
    end
    local x = exchange { headers = { ["X-A"] = "1" }, response = { status = 200 } }
    x:run "access"
    assert.is_nil(x.exchange.request.headers["x-a"])
    assert.equal("/other", x.exchange.request.path)
    assert.is_true(x.exchange.ctx.kept)
    function Plugin:response(answered)
      answered.response.headers["x-c"] = answered.response.headers["x-b"]
    end
    x:run "response"
    assert.equal("laid over", x.exchange.response.headers["x-c"])
  end)

  it("shows what a hook has replied", function()
    function Plugin:access(x)
      x.response.headers["x-over"] = "1"
      x:reply(403, { ["X-Why"] = "because" }, { error = "no" })
    end
    local x = exchange {}
    assert.is_true(x:run "access")
    assert.equal(403, x.answer.status)
    assert.equal('{"error":"no"}', x.answer.body)
    assert.equal("because", x.answer.headers["x-why"])
    assert.equal("1", x.answer.headers["x-over"])
    assert.equal("application/json", x.answer.headers["content-type"])
  end)

  it("drives response and body hooks", function()
    function Plugin:response(x)
      x.response.status = 299
      x.response.body:set(x.response.body:read() .. "!")
    end
    function Plugin:body(_, chunk, last)
      return last and chunk .. "." or chunk == "drop" and "" or nil
    end
    local x = exchange { response = { status = 200, headers = { { "X-A", "1" }, { "X-A", "2" } }, body = "hi" } }
    x:run "response"
    assert.equal(299, x.exchange.response.status)
    assert.equal("1, 2", x.exchange.response.headers["x-a"])
    assert.equal("hi!", x.exchange.response.body:read())
    assert.equal("as it is", x:run("body", "as it is"))
    assert.equal("", x:run("body", "drop"))
    assert.equal("end.", x:run("body", "end", true))
  end)

  it("drives certificate hooks", function()
    local cert, key = require("demilune.core").tls_self_signed()
    local Chooser = { name = "chooser", version = "1.0.0" }
    Chooser.__index = Chooser
    function Chooser.new() return setmetatable({}, Chooser) end
    function Chooser:certificate(handshake) -- luacheck: ignore 212
      if handshake.server_name == "a.example" then
        assert(handshake:use(cert, key))
      elseif handshake.server_name == "b.example" then
        self.why = select(2, handshake:use(cert, "no key"))
      elseif not handshake.server_name and handshake.alpn[1] == "h2" then
        handshake:refuse()
      end
    end
    local x = test.exchange { plugin = Chooser }
    assert.is_true(x:run("certificate", { server_name = "a.example" }))
    assert.equal(cert, x.certificate.cert)
    assert.is_false(x:run("certificate", { server_name = "b.example" }))
    assert.matches("the key", x.instance.why, 1, true)
    assert.is_nil(x.certificate)
    assert.is_true(x:run("certificate", { alpn = { "h2" } }))
    assert.is_true(x.refused)
  end)

  it("drives balance and attempt hooks", function()
    function Plugin:balance(_, attempt)
      attempt.timeout = 2
      self.endpoint = attempt.endpoint
    end
    function Plugin:attempt(_, attempt)
      if attempt.error == "timeout" or attempt.status == 503 and attempt.response.headers["retry-after"] == "1" then
        return "retry", attempt.number
      end
    end
    local x = exchange { upstream = "http://127.0.0.1:9" }
    x:run "balance"
    assert.is_nil(x.instance.endpoint)
    assert.same({ "retry", 2 }, { x:run("attempt", { error = "timeout" }) })
    assert.same({ "retry", 3 }, { x:run("attempt", { status = 503, headers = { ["Retry-After"] = "1" } }) })
    assert.is_nil((x:run("attempt", { status = 503 })))
    assert.error_matches(function() exchange({}):run "balance" end, "upstream")
  end)

  it("knows consumers", function()
    local groups
    function Plugin:access(x)
      groups = x.consumer.groups
    end
    exchange({ consumers = { { name = "acme", groups = { "gold" } } }, consumer = "acme" }):run "access"
    assert.same({ "gold" }, groups)
  end)

  it("keeps to what a phase allows", function()
    function Plugin:log(x)
      x:reply(200)
    end
    assert.error_matches(function() exchange({}):run "log" end, "too late")
    function Plugin:access(x)
      x.response.body:set "x"
    end
    assert.error_matches(function() exchange({}):run "access" end, "response hooks only")
  end)

  it("raises what a hook raises, and what is wrong with a config", function()
    function Plugin:access()
      error "boom"
    end
    assert.error_matches(function() exchange({}):run "access" end, "boom")
    assert.error_matches(function() exchange({}):run "log" end, 'no hook "log"')
    assert.error_matches(function() exchange { config = { wrod = 1 } } end, "did you mean")
    assert.error_matches(function() test.exchange { method = "NONE" } end, "unknown")
    assert.error_matches(function() test.exchange { paht = "/" } end, "paht")
  end)

  it("lets hooks wait, and forgets the exchange at its end", function()
    function Plugin:access()
      self.slept = task.sleep(0.001)
    end
    local x = exchange {}
    x:run "access"
    assert.is_true(x.instance.slept)
    local kept = x.exchange
    x:close()
    assert.error_matches(function() return kept.id end, "gone")
  end)

  it("takes shipped plugins by name", function()
    local x = test.exchange { plugin = "respond", config = { status = 418, body = "tea" } }
    assert.is_true(x:run "access")
    assert.same({ 418, "tea" }, { x.answer.status, x.answer.body })
  end)

  describe("ends with its spec", function()
    local here

    setup(function()
      here = test.upstream { body = "here" }
    end)

    it("which has changed the settings, and the place of a plugin,", function()
      test.exchange { settings = { outbound = { deny = { "127.0.0.0/8" } } } }
      local response, word = http.get(here.url)
      assert.same({ nil, "denied" }, { response, word })
      local other = { name = "respond", version = "1", new = function() return {} end, access = function() end }
      assert.is_false(test.exchange({ plugin = other }):run "access")
    end)

    it("and leaves nothing of that to the next", function()
      assert.equal("here", http.get(here.url).body)
      assert.error_matches(function() redis.use "main" end, "there is no configuration here")
      local x = test.exchange { plugin = "respond", config = { status = 418 } }
      assert.is_true(x:run "access")
    end)
  end)
end)
