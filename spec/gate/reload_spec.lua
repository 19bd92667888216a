-- SPDX-License-Identifier: Apache-2.0

-- Another configuration while traffic flows: what changes, what survives, what a faulty one leaves as it was.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local json = require "demilune.json"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local websocket = require "spec.support.websocket"

-- Says its word in each hook's place, and waits where it is told to.
local PLUGIN = [[
local log = require "demilune.log"
local task = require "demilune.task"

local M = { name = "word", version = "1.0.0", schema = { type = "object", properties = {
  word = { type = "string" }, pause = { type = "number" }, body = { type = "boolean" },
  background = { type = "boolean" } } } }
M.__index = M

function M.new(config)
  local self = setmetatable({ word = config.word, pause = config.pause, background = config.background }, M)
  if not config.body then self.body = false end
  return self
end

function M:access(exchange)
  exchange.ctx.word = self.word
  if self.pause then
    log.info("waits " .. self.word)
    local _, err = task.sleep(self.pause)
    if err then log.info("cut " .. self.word .. " " .. err) end
  end
end

function M:response(exchange)
  exchange.response.headers["x-word"] = self.word
end

function M:body(exchange, chunk)
  return (chunk:gsub("%w", "*"))
end

function M:log(exchange)
  log.info(("logged %s ctx=%s route=%s id=%s"):format(self.word, tostring(exchange.ctx.word),
    tostring(exchange.route and exchange.route.name), tostring(exchange.request.params.id)))
end

function M:start()
  log.info("start " .. self.word)
  if self.background then task.detach(function()
    local _, err = task.sleep(3600)
    log.info("task " .. self.word .. " " .. tostring(err))
  end) end
end

function M:stop() log.info("stop " .. self.word) end

return M
]]

describe("a reload", function()
  local folder, gateway, upstream

  local function start(config, options)
    options = options or {}
    options.folder = folder
    gateway = server.start(config, options)
  end

  local function get(path)
    return client.get(gateway.port, path)
  end

  -- POST /reload with another configuration: status, decoded answer.
  local function reload(config)
    if config then
      gateway:configure(config)
    end
    local answer = client.request(gateway.admin_port, "POST", "/reload")
    return answer.status, json.decode(answer.body), answer
  end

  local function reloaded(config)
    local status, answer = reload(config)
    assert.equal(200, status, answer.detail)
    return answer
  end

  local function metric(name)
    local page = client.get(gateway.admin_port, "/metrics").body
    return tonumber(page:match("\n" .. name:gsub("[%-{}]", "%%%0") .. " (%S+)"))
  end

  local function logged(text)
    return wait(function() return ("%q in: %s"):format(text, gateway:log()) end, function()
      return gateway:log():find(text, 1, true)
    end)
  end

  local function route(body, more)
    return ('routes: [{ name: all, respond: { body: "%s" } }]\n%s'):format(body, more or "")
  end

  local function words(word, keys, more)
    return ([[
plugin_path: [plugins]
plugins: [{ name: word, config: { word: %s%s } }]
upstreams: [{ name: up, endpoints: [{ address: "127.0.0.1:%d" }], timeout: 60s }]
routes: [{ name: one, paths: ["/one/{id}"], upstream: up }, { name: own, paths: [/own], respond: { body: own } }]
%s]]):format(word, keys and ", " .. keys or "", upstream.port, more or "")
  end

  before_each(function()
    folder = server.folder()
    folder:write("plugins/word/init.lua", PLUGIN)
    upstream = origin.listen()
  end)

  after_each(function()
    gateway:stop()
    upstream:close()
    folder:remove()
  end)

  describe("that is asked for", function()
    it("by SIGHUP is used for the next requests of open connections", function()
      start(route "one")
      local c = client.connect(gateway.port)
      c:send(client.bytes("GET", "/"))
      assert.equal("one", c:response().body)
      gateway:configure(route "two")
      gateway:signal "HUP"
      gateway:event "reload.done"
      c:send(client.bytes("GET", "/"))
      assert.equal("two", c:response().body)
      c:close()
    end)

    it("by POST is answered after the swap, with the version's id", function()
      start(route "one")
      local before = json.decode(client.get(gateway.admin_port, "/config").body)
      assert.equal(json.null, before.last_reload)
      local answer = reloaded(route "two")
      assert.equal("two", get("/").body)
      local config = json.decode(client.get(gateway.admin_port, "/config").body)
      assert.equal(config.id, answer.id)
      assert.equal(config.version, answer.version)
      assert.are_not.equal(before.id, config.id)
      assert.equal(before.version + 1, config.version)
      assert.equal("success", config.last_reload.result)
    end)

    it("several times while one is under way, is one more after it", function()
      start(route "0")
      gateway:configure(route "last")
      local cs = {}
      for i = 1, 20 do
        cs[i] = client.connect(gateway.admin_port):send(client.bytes("POST", "/reload"))
      end
      for i = 1, 20 do
        assert.equal(200, cs[i]:response().status)
        cs[i]:close()
      end
      assert.equal("last", get("/").body)
      assert.is_true(metric 'demilune_config_reloads_total{result="success"}' <= 20)
    end)

    it("by a client that leaves, happens all the same", function()
      start(route "one")
      gateway:configure(route "two")
      client.connect(gateway.admin_port):send(client.bytes("POST", "/reload")):close()
      gateway:event "reload.done"
      assert.equal("two", get("/").body)
    end)

    it("while the gateway drains is refused", function()
      start(route("one", "drain: { delay: 60s }"))
      gateway:signal "TERM"
      gateway:event "drain.begin"
      local status, answer = reload()
      assert.equal(503, status)
      assert.matches("about to stop", answer.detail)
    end)
  end)

  describe("with a faulty file", function()
    it("changes nothing, and says why", function()
      start(route "one")
      assert.equal(1, metric "demilune_config_last_reload_success")
      local status, answer, response = reload(route("two", "lmits: {}\n"))
      assert.equal(422, status)
      assert.equal("application/problem+json", response.headers["content-type"])
      assert.matches("^%x+%-%x+%-%x+%-%x+%-%x+$", answer.request_id)
      assert.equal(5, answer.faults[1].line)
      assert.equal(1, answer.faults[1].column)
      assert.matches("demilune.yaml$", answer.faults[1].file)
      assert.matches('unknown key, did you mean "limits"?', answer.faults[1].message, 1, true)
      assert.matches("demilune.yaml:5:1: .*unknown key", answer.detail)
      assert.equal("one", get("/").body)

      local line = gateway:event "reload.fault"
      assert.matches('"line":5', line, 1, true)
      gateway:event "reload.failed"
      assert.equal(1, metric 'demilune_config_reloads_total{result="failure"}')
      assert.equal(0, metric "demilune_config_last_reload_success")
      local config = json.decode(client.get(gateway.admin_port, "/config").body)
      assert.equal("failure", config.last_reload.result)
      assert.equal(answer.faults[1].message, config.last_reload.faults[1].message)
      assert.equal(200, client.get(gateway.admin_port, "/health/ready").status)

      reloaded(route "three")
      assert.equal("three", get("/").body)
      assert.equal(1, metric "demilune_config_last_reload_success")
    end)

    it("or a port that is taken changes nothing", function()
      start(route "one")
      local other = origin.listen()
      assert.equal(422, (reload(route("two", "include: [more.yaml]\n"))))
      folder:write("more.yaml", ('listeners: [{ address: "127.0.0.1:%d" }]\n'):format(other.port))
      local status, answer = reload()
      assert.equal(422, status)
      assert.matches("can't listen on 127.0.0.1:" .. other.port, answer.faults[1].message, 1, true)
      assert.equal("listeners[1].address", answer.faults[1].path)
      assert.equal("one", get("/").body)
      other:close()
      reloaded()
      assert.equal("two", client.get(other.port, "/").body)
    end)

    it("or a plugin that can't be made changes nothing", function()
      start(words "one")
      folder:write("plugins/word/init.lua", PLUGIN:gsub("local self", "error 'no luck' local self"))
      local status, answer = reload()
      assert.equal(422, status)
      assert.matches("no luck", answer.faults[1].message)
      assert.equal("one", get("/own").headers["x-word"])
    end)

    it("that is empty changes nothing", function()
      start(route "one")
      local whole = gateway.preamble
      gateway.preamble = ""
      local status, answer = reload ""
      assert.equal(422, status)
      assert.equal("listeners", answer.faults[1].path)
      gateway.preamble = whole
      assert.equal("one", get("/").body)
    end)

    it("tells no secret", function()
      start(route "one")
      folder:write("secret", "hush-hush")
      local status, _, response = reload(route("two", 'workers: "${file:secret}"\n'))
      assert.equal(422, status)
      assert.is_nil(response.body:find("hush", 1, true))
      assert.is_nil(gateway:log():find("hush", 1, true))
    end)
  end)

  describe("gives plugins", function()
    it("their new code and configuration, and the old ones a stop before the start", function()
      start(words "one", { workers = 1 })
      assert.equal("one", get("/own").headers["x-word"])
      folder:write("plugins/word/init.lua", (PLUGIN:gsub('= self.word\n', '= "new " .. self.word\n')))
      reloaded(words "two")
      assert.equal("new two", get("/own").headers["x-word"])
      logged "start two"
      local log = gateway:log()
      assert.is_true(log:find("stop one", 1, true) < log:find("start two", 1, true))
    end)

    it("one instance per place and worker, with a config of its own, and metrics from the first moment", function()
      folder:write("plugins/once/init.lua", [[
local metrics = require "demilune.metrics"
local made = metrics.counter("made_total", "Instances.", { "place", "worker" })
local M = { name = "once", version = "1.0.0", schema = { type = "object", properties = { words = { type = "array",
  items = { type = "string" } } } } }
M.__index = M
function M.new(config, context)
  made:inc(context.scope, context.worker)
  table.insert(config.words, context.route)
  return setmetatable(config, M)
end
function M:access(exchange) exchange:reply(200, nil, table.concat(self.words, " ")) end
return M
]])
      local one = "{ name: one, paths: [/one], respond: {}, plugins: [{ name: once, config: { words: [a] } }] }"
      start(("plugin_path: [plugins]\nroutes: [%s, %s]\n"):format(one, (one:gsub("one", "two"))), { workers = 2 })
      local function check(n)
        assert.equal("a one", get("/one").body)
        assert.equal("a two", get("/two").body)
        for _, place in ipairs { "one", "two" } do
          for worker = 1, 2 do
            assert.equal(n, metric(('made_total{place="route:%s",worker="%d"}'):format(place, worker)))
          end
        end
      end
      check(1)
      reloaded()
      check(2)
    end)

    it("their old code for requests that are under way", function()
      start(words("one", "pause: 0.5"))
      local c = client.connect(gateway.port):send(client.bytes("GET", "/own"))
      logged "waits one"
      reloaded(words "two")
      assert.equal("two", get("/own").headers["x-word"])
      assert.equal("one", c:response().headers["x-word"])
      logged "logged one ctx=one route=own"
      c:close()
    end)
  end)

  describe("at drain.timeout", function()
    local SOON = "drain: { timeout: 200ms }\n"

    it("ends a request that still waits in a hook", function()
      start(words("one", "pause: 60", SOON))
      local c = client.connect(gateway.port):send(client.bytes("GET", "/own"))
      logged "waits one"
      reloaded(words("two", nil, SOON))
      local response = c:response()
      assert.equal(503, response.status)
      assert.equal("two", response.headers["x-word"])
      logged "cut one cancelled"
      logged "logged two ctx=nil route=own"
      c:close()
    end)

    it("lets a response that is being sent go on without the old plugins", function()
      start(words("one", nil, SOON))
      local c = client.connect(gateway.port):send(client.bytes("GET", "/one/7"))
      local u = upstream:accept()
      u:request()
      u:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
      assert.equal("one", c:response_head().headers["x-word"])
      reloaded(words("two", nil, SOON))
      wait("the end of the old plugins", function()
        return metric "demilune_lua_states" == 2
      end)
      u:send "world"
      assert.equal("helloworld", c:read(10))
      logged "logged two ctx=nil route=one id=7"
      c:close()
      u:close()
    end)

    it("ends a response that body hooks of the old plugins would have to see", function()
      start(words("one", "body: true", SOON))
      local c = client.connect(gateway.port):send(client.bytes("GET", "/one/7"))
      local u = upstream:accept()
      u:request()
      u:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
      c:read_until "*****"
      reloaded(words("two", nil, SOON))
      local rest = c:read_all()
      assert.is_nil(rest:find "%w%w%w")
      assert.is_nil(rest:find("0\r\n\r\n", 1, true))
      logged "logged two"
      c:close()
      u:close()
    end)

    it("lets a request that waits for its upstream go on, with the new plugins", function()
      start(words("one", nil, SOON))
      local c = client.connect(gateway.port):send(client.bytes("GET", "/one/7"))
      local u = upstream:accept()
      u:request()
      reloaded(words("two", nil, SOON))
      gateway:event "plan.left"
      u:respond(200, {}, "late")
      local response = c:response()
      assert.equal("late", response.body)
      assert.equal("two", response.headers["x-word"])
      logged "logged two ctx=nil route=one id=7"
      c:close()
      u:close()
    end)

    it("cancels what the old plugins do in the background", function()
      start(words("one", "background: true", SOON), { workers = 1 })
      logged "start one"
      reloaded(words("two", nil, SOON))
      logged "task one cancelled"
    end)
  end)

  describe("leaves as they are", function()
    local function chat(name)
      return words(name, nil, ('routes: [{ name: chat-%s, paths: [/chat], upstream: up }]\n'):format(name))
        :gsub("\nroutes: %[{ name: one[^\n]*", "", 1)
    end

    it("WebSockets, whose end the current plugins log", function()
      start(chat "zero", { workers = 1 })
      local c = client.connect(gateway.port):send(websocket.REQUEST)
      local u = upstream:accept()
      u:request()
      u:send(websocket.SWITCH)
      assert.equal(101, c:response().status)
      for i = 1, 20 do
        reloaded(chat("n" .. i))
        c:send("ping" .. i)
        assert.equal("ping" .. i, u:read(4 + #tostring(i)))
        u:send("pong" .. i)
        assert.equal("pong" .. i, c:read(4 + #tostring(i)))
      end
      wait("the end of the old plugins", function()
        return metric "demilune_lua_states" == 1
      end)
      c:close()
      u:close()
      logged "logged n20 ctx=nil route=chat-zero"
    end)

    it("connections to upstreams and their health", function()
      local config = [[
upstreams:
  - name: up
    endpoints: [{ address: "127.0.0.1:%d" }, { address: "127.0.0.1:1" }]
    health: { passive: { consecutive_errors: 1, eject_for: 1h } }
routes: [{ name: all, upstream: up%s }]
]]
      start(config:format(upstream.port, ""), { workers = 1 })
      local u
      for _ = 1, 2 do -- one to each
        local c = client.connect(gateway.port):send(client.bytes("GET", "/"))
        wait("a word of either", function()
          return not c:is_silent(0.01) or not upstream:is_left_alone(0.01)
        end)
        if c:is_silent(0) then
          u = upstream:accept()
          u:request()
          u:respond(200, {}, "ok")
          assert.equal(200, c:response().status)
        else
          assert.equal(502, c:response().status)
        end
        c:close()
      end
      reloaded(config:format(upstream.port, ", timeout: 5s"))
      for _ = 1, 4 do -- on the connection that is there, and not to the endpoint that was ejected
        local c = client.connect(gateway.port):send(client.bytes("GET", "/"))
        u:request()
        u:respond(200, {}, "ok")
        assert.equal(200, c:response().status)
        c:close()
      end
      reloaded(config:gsub("127.0.0.1:%%d", "127.0.0.1:2"):format(""))
      assert.is_true(u:is_ended(5)) -- nobody needs it any more
      u:close()
    end)

    it("counts of limits, and stores whose size changes", function()
      local config = [[
stores: [{ name: default, size: %s }]
routes:
  - name: all
    paths: [/]
    respond: { body: x }
    plugins: [{ name: rate-limit, config: { limit: %d, window: 1h, algorithm: fixed_window } }]
]]
      start(config:format("1MiB", 3))
      assert.equal(200, get("/").status)
      reloaded(config:format("2MiB", 3))
      assert.equal(200, get("/").status)
      reloaded(config:format("64KiB", 3))
      assert.equal(200, get("/").status)
      assert.equal(429, get("/").status)
      reloaded(config:format("1MiB", 4))
      assert.equal(200, get("/").status)
      assert.equal(429, get("/").status)
      assert.equal(4, metric 'demilune_requests_total{route="all",status="200"}')
      assert.equal(2, metric 'demilune_requests_total{route="all",status="429"}')
    end)
  end)

  it("takes away a store that it does not name, once the requests before it have ended", function()
    folder:write("plugins/counter/init.lua", [[
local store = require "demilune.store"
local M = { name = "counter", version = "1.0.0" }
M.__index = M
function M.new() return setmetatable({ store = store.use "extra" }, M) end
function M:access(exchange)
  exchange:reply(200, {}, tostring(self.store:incr("n", 1)))
end
return M
]])
    local counted = "plugin_path: [plugins]\n"
      .. "routes: [{ name: all, respond: { body: plain }, plugins: [{ name: counter }] }]\n"
    local extra = "stores: [{ name: extra, size: 1MiB }]\n"
    start(extra .. counted)
    assert.equal("1", get("/").body)
    reloaded(extra .. counted)
    assert.equal("2", get("/").body)
    local status, answer = reload(counted)
    assert.equal(422, status)
    assert.matches("the configuration has no store", json.encode(answer), 1, true)
    assert.equal("3", get("/").body)
    reloaded(route "plain")
    wait("the end of the old plugins", function() return metric "demilune_lua_states" == 0 end)
    wait("the end of the old configuration", function()
      reloaded(extra .. counted)
      local n = get("/").body
      reloaded(route "plain")
      return n == "1"
    end)
  end)

  describe("lets listeners", function()
    local function on(...)
      local list = {}
      for i, address in ipairs { ... } do
        list[i] = ('{ address: "127.0.0.1:%s" }'):format(address)
      end
      return ([[
workers: 2
admin: { address: "127.0.0.1:0" }
listeners: [%s]
routes: [{ name: all, respond: { body: "hello" } }]
]]):format(table.concat(list, ", "))
    end

    local function free_port()
      local probe = origin.listen()
      local port = probe.port
      probe:close()
      return port
    end

    it("come and go, and requests that are on their way be answered", function()
      local port = free_port()
      start(on "0", { bare = true })
      local kept = client.connect(gateway.port)
      reloaded(on("0", port))
      local c = client.connect(port):send(client.bytes("GET", "/"))
      assert.equal("hello", c:response().body)
      local late = client.connect(port):send "GET / HTTP/1.1\r\nHost: x\r\n"
      reloaded(on "0")
      assert.is_nil(client.try_connect(port))
      assert.is_true(c:is_ended(5))
      late:send "\r\n"
      local response = late:response()
      assert.equal("hello", response.body)
      assert.equal("close", response.headers.connection)
      assert.is_true(late:is_ended(5))
      kept:send(client.bytes("GET", "/"))
      local answer = kept:response()
      assert.equal("hello", answer.body)
      assert.is_nil(answer.headers.connection)
      for _, open in ipairs { c, late, kept } do
        open:close()
      end
    end)

    it("change places", function()
      local a, b = free_port(), free_port()
      start(on(a, b), { bare = true })
      local c = client.connect(b)
      reloaded(on(b, a))
      reloaded(on(b))
      c:send(client.bytes("GET", "/"))
      assert.equal("hello", c:response().body)
      assert.is_nil(client.try_connect(a))
      assert.equal("hello", client.get(b, "/").body)
      c:close()
    end)

    it("of the admin endpoint move, and its token change", function()
      local port = free_port()
      start(route "one")
      local was = gateway.admin_port
      local admin = ('admin: { address: "127.0.0.1:%d", token: hush }\n'):format(port)
      gateway.preamble = gateway.preamble:gsub("admin: .*", admin)
      reloaded(route "two")
      assert.is_nil(client.try_connect(was))
      assert.equal(401, client.get(port, "/config").status)
      assert.equal(200, client.get(port, "/config", { headers = { Authorization = "Bearer hush" } }).status)
      gateway.admin_port = port
    end)
  end)

  describe("with watch", function()
    local WATCH = "watch: true\n"

    local function becomes(body)
      wait(body .. " in: " .. gateway:log(), function()
        return get("/").body == body
      end)
    end

    it("follows the file, and what it includes", function()
      folder:write("conf.d/a.yaml", route "one")
      local include = WATCH .. "include: [conf.d/*.yaml]\n"
      start(include)
      assert.equal("one", get("/").body)
      folder:write("conf.d/a.yaml", route "two")
      becomes "two"
      folder:write("conf.d/a.yaml", "{}")
      folder:write("conf.d/b.yaml", route "three")
      becomes "three"
      gateway:configure(WATCH .. route "four")
      becomes "four"
      gateway:configure(route "five")
      becomes "five"
    end)

    it("sees a secret and a plugin change, and a faulty one mended", function()
      folder:write("secret", "one")
      start(words('"${file:secret}"', nil, WATCH))
      local function word(expected)
        wait(expected, function()
          return get("/own").headers["x-word"] == expected
        end)
      end
      word "one"
      folder:write("secret", "two")
      word "two"
      folder:write("plugins/word/init.lua", "return nonsense(")
      gateway:event "reload.failed"
      folder:write("plugins/word/init.lua", (PLUGIN:gsub('= self.word\n', '= "new " .. self.word\n')))
      word "new two"
    end)

    it("follows a link that is turned", function()
      folder:write("v1/c.yaml", route "one")
      folder:write("v2/c.yaml", route "two")
      assert(posix.symlink("v1", folder.path .. "/now"))
      start(WATCH .. "include: [now/c.yaml]\n")
      assert.equal("one", get("/").body)
      assert(posix.symlink("v2", folder.path .. "/then"))
      assert(os.rename(folder.path .. "/then", folder.path .. "/now"))
      becomes "two"
      os.remove(folder.path .. "/now")
    end)
  end)

  it("tells what only a restart changes, and does the rest", function()
    start(route "one", { workers = 1 })
    gateway.preamble = gateway.preamble:gsub("workers: 1", "workers: 3")
    local answer = reloaded(route "two")
    assert.matches("until the next restart", answer.warnings[1].message)
    assert.equal("workers", answer.warnings[1].path)
    gateway:event "reload.warning"
    assert.equal("two", get("/").body)
    assert.equal(1, metric "demilune_workers")
  end)

  it("loses no request, however many come and however fast", function()
    start(words("first", "pause: 0.001"))
    local n, answered = 0, 0
    local cs = {}
    for i = 1, 8 do
      cs[i] = client.connect(gateway.port)
    end
    local limit = 60
    repeat
      for _, c in ipairs(cs) do
        c:send(client.bytes("GET", "/own"))
      end
      gateway:configure(words("n" .. n, "pause: 0.001"))
      gateway:signal "HUP"
      for _, c in ipairs(cs) do
        local response = c:response()
        answered = answered + (response.status == 200 and response.body == "own" and 1 or 0)
      end
      n = n + 1
    until n == limit
    assert.equal(limit * 8, answered)
    wait("the last configuration", function()
      return get("/own").headers["x-word"] == "n" .. limit - 1
    end)
    wait("the end of the old plugins", function()
      return metric "demilune_lua_states" == 2
    end)
    for _, c in ipairs(cs) do
      c:close()
    end
  end)
end)
