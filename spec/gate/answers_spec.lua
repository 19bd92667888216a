-- SPDX-License-Identifier: Apache-2.0

-- Which hooks see an answer, whoever makes it: upstream, a plugin that replies, or the gateway where a hook has failed.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local origin = require "spec.support.origin"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

-- Leaves its mark on each response; on bodies where the request has X-Bodies. X-<mark>-<hook> says what else that hook
-- does.
local PLUGIN = [[
local log = require "demilune.log"
local task = require "demilune.task"

local M = { name = "mark", version = "1.0.0",
  schema = { type = "object", properties = { mark = { type = "string" } } } }
M.__index = M
function M.new(config) return setmetatable({ mark = config.mark }, M) end

local acts = {}
function acts.raise() error "out of luck" end
function acts.wait_and_raise() task.sleep(0.005) error "out of luck" end
function acts.reply(exchange) exchange:reply(403, { ["x-reply"] = "yes" }, "no") end
function acts.peek(exchange)
  for chunk in exchange.response.body:chunks() do
    exchange.response.headers["x-begins"] = chunk:sub(1, 5)
    return
  end
end
function acts.wait() task.sleep(3600) end

local function act(self, exchange, hook)
  local name = exchange.request.headers["x-" .. self.mark .. "-" .. hook]
  if name then acts[name](exchange) end
end

function M:access(exchange)
  exchange.response.headers:add("x-access", self.mark)
  act(self, exchange, "access")
end

function M:response(exchange)
  act(self, exchange, "response")
  exchange.response.headers:add("x-marks", self.mark)
end

function M:body(exchange, chunk, last)
  act(self, exchange, "body")
  return last and exchange.request.headers["x-bodies"] and ("%s<%s>"):format(chunk, self.mark) or nil
end

function M:log(exchange)
  log.info("answered", { mark = self.mark, status = exchange.response.status })
end

return M
]]

local CONFIG = [[
plugin_path: [plugins]
upstreams: [{ name: up, endpoints: [{ address: "127.0.0.1:%d" }] }]
plugins:
  - { name: mark, config: { mark: global } }
  - { name: access-log, config: { to: access.log, fields: { status: "{status}", error: "{error}" } } }
routes:
  - name: up
    paths: [/up]
    upstream: up
    plugins: [{ name: key-auth }, { name: mark, config: { mark: outer } }, { name: mark, config: { mark: inner } }]
  - name: brief
    paths: [/brief]
    timeout: 50ms
    respond: { body: hello }
    plugins: [{ name: mark, config: { mark: outer } }, { name: mark, config: { mark: inner } }]
  - name: hello
    paths: [/hello]
    respond: { body: hello }
    plugins: [{ name: mark, config: { mark: outer } }]
consumers:
  - name: me
    credentials: { key-auth: [{ key: mine }] }
    plugins: [{ name: mark, config: { mark: mine } }, { name: mark, config: { mark: last } }]
]]

local ALL = "last, mine, inner, outer, global"

describe("an answer", function()
  local folder, gateway, upstream

  setup(function()
    folder = server.folder()
    folder:write("plugins/mark/init.lua", PLUGIN)
    upstream = origin.listen()
    gateway = server.start(CONFIG:format(upstream.port), { folder = folder, workers = 1 })
  end)

  teardown(function()
    gateway:stop()
    folder:remove()
    upstream:close()
  end)

  -- What the client gets where upstream answers 200.
  local function get(acts, body)
    acts["x-api-key"] = "mine"
    local c = client.connect(gateway.port):send(client.bytes("GET", "/up", { headers = acts }))
    local _, u = upstream:serve(200, { ["X-Up"] = "secret" }, body or "hello")
    local response = c:response()
    u:close()
    c:close()
    return response
  end

  local function is_500(response)
    assert.equal(500, response.status)
    assert.equal("application/problem+json", response.headers["content-type"])
    assert.is_nil(response.headers["x-up"])
    assert.is_nil(response.body:find("hello", 1, true))
  end

  it("of upstream is seen by all response hooks", function()
    local response = get {}
    assert.equal(200, response.status)
    assert.equal(ALL, response.headers["x-marks"])
    assert.equal("global, outer, inner, mine, last", response.headers["x-access"])
  end)

  it("to a hook that failed in any phase before is, too", function()
    local headers = { ["x-api-key"] = "mine", ["x-mine-access"] = "raise" }
    local response = client.get(gateway.port, "/up", { headers = headers })
    is_500(response)
    assert.equal(ALL, response.headers["x-marks"])
  end)

  for _, act in ipairs { "raise", "wait_and_raise" } do
    it(("to a response hook that failed (%s) is seen by those behind it"):format(act), function()
      for mark, rest in pairs { last = "mine, inner, outer, global", mine = "inner, outer, global",
        inner = "outer, global", outer = "global" } do
        local response = get { ["x-" .. mark .. "-response"] = act }
        is_500(response)
        assert.equal(rest, response.headers["x-marks"])
        assert.equal("global, outer, inner, mine, last", response.headers["x-access"])
      end
      local response = get { ["x-global-response"] = act }
      is_500(response)
      assert.is_nil(response.headers["x-marks"])
    end)
  end

  it("to several response hooks that failed is seen by those that did not", function()
    local response = get { ["x-last-response"] = "wait_and_raise", ["x-inner-response"] = "raise",
      ["x-outer-response"] = "wait_and_raise" }
    is_500(response)
    assert.equal("global", response.headers["x-marks"])
  end)

  it("that a response hook makes is what those behind it see", function()
    for mark, marks in pairs { last = ALL, inner = "inner, outer, global", global = "global" } do
      local response = get { ["x-" .. mark .. "-response"] = "reply" }
      assert.equal(403, response.status)
      assert.equal("no", response.body)
      assert.equal("yes", response.headers["x-reply"])
      assert.equal(marks, response.headers["x-marks"])
      assert.equal("global, outer, inner, mine, last", response.headers["x-access"])
    end
  end)

  it("to a deadline that passed in a response hook is seen by all of them", function()
    local response = client.get(gateway.port, "/brief", { headers = { ["x-inner-response"] = "wait" } })
    assert.equal(504, response.status)
    assert.equal("inner, outer, global", response.headers["x-marks"])
  end)

  it("of which a response hook has looked at the beginning is whole", function()
    local body = "first" .. ("0123456789"):rep(50000)
    local response = get({ ["x-inner-response"] = "peek", ["x-bodies"] = "1" }, body)
    assert.equal("first", response.headers["x-begins"])
    assert.equal(body .. "<last><mine><inner><outer><global>", response.body)
  end)

  it("of upstream is seen by all body hooks", function()
    assert.equal("hello<last><mine><inner><outer><global>", get({ ["x-bodies"] = "1" }).body)
  end)

  for _, act in ipairs { "raise", "wait_and_raise" } do
    it(("to a body hook that failed (%s) before anything was sent is seen by the others"):format(act), function()
      local response = get { ["x-bodies"] = "1", ["x-inner-body"] = act, ["x-mine-body"] = act }
      is_500(response)
      assert.equal(ALL, response.headers["x-marks"])
      assert.matches("}\n<last><outer><global>$", response.body)
    end)
  end

  it("that had begun when a body hook failed is broken off", function()
    local c = client.connect(gateway.port)
    c:send(client.bytes("GET", "/up", { headers = { ["x-api-key"] = "mine", ["x-inner-body"] = "raise" } }))
    local u = upstream:accept()
    u:request()
    u:send "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert.equal(200, c:response_head().status)
    u:send "hello"
    assert.equal("", (c:read_all()))
    c:close()
    u:close()
  end)

  local function logged(line)
    wait("the access log to have " .. line, function()
      return folder:read("access.log"):sub(-#line - 1) == line .. "\n"
    end)
  end

  it("is in the logs as the client has seen it", function()
    is_500(get { ["x-outer-response"] = "raise" })
    logged '{"error":"hook","status":500}'
    is_500(get { ["x-outer-body"] = "raise" })
    logged '{"error":"hook","status":500}'
    local c = client.connect(gateway.port)
    c:send(client.bytes("GET", "/brief", { headers = { ["x-outer-body"] = "wait" } }))
    assert.equal(504, c:response().status)
    c:close()
    logged '{"error":"timeout","status":504}'
    wait("the log hooks to tell", function()
      return select(2, gateway:log():gsub('"answered"[^\n]*500', "")) >= 10
    end)
  end)

  it("of which nothing was sent is none in the logs", function()
    local c = client.connect(gateway.port)
    c:send(client.bytes("GET", "/hello", { headers = { ["x-outer-body"] = "wait" } }))
    wait("the hook to wait", function()
      return client.get(gateway.admin_port, "/metrics").body:find('\ndemilune_lua_waiting{worker="1"} 1\n', 1, true)
    end)
    c:close()
    logged '{"error":"client_gone","status":0}'
  end)
end)
