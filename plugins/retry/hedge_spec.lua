-- SPDX-License-Identifier: Apache-2.0

-- Two attempts of one request under way at a time.

package.path = "./?.lua;" .. package.path

local server = require "spec.support.server"
local task = require "demilune.task"
local test = require "demilune.test"
local time = require "demilune.time"

-- Waits in the hooks of both attempts as the request's fields say, and refuses the second one.
local SLOW = [[
local task = require "demilune.task"
local Slow = { name = "slow", version = "1.0.0" }
Slow.__index = Slow

function Slow:balance(exchange, attempt)
  local headers = exchange.request.headers
  if attempt.number == 2 and headers["x-refuse"] then
    return exchange:reply(418)
  elseif attempt.number == 2 and headers["x-balance"] then
    task.sleep(tonumber(headers["x-balance"]))
  end
end

function Slow:attempt(exchange)
  if exchange.request.headers["x-attempt"] then
    task.sleep(tonumber(exchange.request.headers["x-attempt"]))
  end
end

return Slow
]]

describe("retry with a hedge", function()
  local folder, a, b, g, log, made
  made = 0

  setup(function()
    folder = server.folder()
    folder:write("plugins/slow/init.lua", SLOW)
  end)

  teardown(function()
    folder:remove()
  end)

  before_each(function()
    a, b = test.upstream { body = "a" }, test.upstream { body = "b" }
    log = os.tmpname()
  end)

  after_each(function()
    os.remove(log)
  end)

  -- Both endpoints have answered quickly for a while.
  local function start(config, route)
    made = made + 1
    config.hedge = config.hedge or { percentile = 95 }
    config.backoff = { base = "1ms", max = "2ms" }
    route = route or {}
    route.name, route.paths, route.upstream = "h" .. made, { "/*" }, "u"
    route.plugins = { { name = "slow" }, { name = "retry", config = config } }
    g = test.gateway {
      routes = { route }, plugin_path = { folder.path .. "/plugins" },
      global = { { name = "access-log", config = { to = log, fields = { t = "{tries}", s = "{status}" } } } },
      config = { upstreams = { { name = "u", endpoints = { { address = a.address }, { address = b.address } },
        health = { passive = { consecutive_errors = 100000 } } } } },
    }
    for _ = 1, 60 do
      assert.equal(200, g:get("/").status)
    end
  end

  local function last_line()
    return test.eventually(function()
      local f = assert(io.open(log))
      local text = f:read "*a"
      f:close()
      return text:match '([^\n]*"t":[^\n]*)\n$'
    end)
  end

  it("asks another endpoint when an answer is late, and gives up the other", function()
    start {}
    a:script { stall = "head" }
    for _ = 1, 6 do
      local begun = time.monotonic()
      local response = assert(g:get "/")
      assert.same({ 200, "b" }, { response.status, response.body })
      assert.is_true(time.monotonic() - begun < 5) -- its timeout is 15 s
    end
    assert.truthy(last_line():find(a.address .. " cancelled", 1, true))
    assert.truthy(last_line():find(b.address .. " 200", 1, true))
  end)

  it("does not ask twice while answers come in time", function()
    start { budget_min = 0, budget = 0 }
    assert.equal(60, #a.requests + #b.requests)
    a:script { delay = 0.1, body = "a" }
    b:script { delay = 0.1, body = "b" }
    assert.equal(200, g:get("/").status) -- the budget has none
    assert.equal(61, #a.requests + #b.requests)
  end)

  it("waits for the other when one has failed, whichever it is", function()
    start { budget_min = 1000 }
    a:script { delay = 0.1, body = "a" }
    b:script { status = 503, body = "b first" }
    for _ = 1, 4 do
      assert.equal("a", g:get("/").body)
    end
    a:script { delay = 0.05, handler = function() return 503, {}, "a" end }
    b:script { delay = 0.15, body = "b" }
    for _ = 1, 4 do
      assert.equal("b", g:get("/").body)
    end
  end)

  it("gives an answer when both have failed, and tries again while it may", function()
    start { attempts = 2, budget_min = 1000 }
    a:script { delay = 0.05, status = 503, body = "a" }
    b:script { delay = 0.05, status = 503, body = "b" }
    assert.equal(503, g:get("/").status)
    a:script { delay = 0.05, reset = "head" }
    b:script { delay = 0.05, reset = "head" }
    assert.equal(502, g:get("/").status)

    a:script { body = "a" }
    b:script { body = "b" }
    start { attempts = 4, budget_min = 1000 }
    a:script { delay = 0.05, status = 503 }
    local n = 0
    b:script { delay = 0.05, handler = function()
      n = n + 1
      return n == 1 and 503 or 200
    end }
    assert.equal(200, g:get("/").status)
  end)

  it("makes no second effect of a POST, and sends the body of a PUT twice", function()
    start { budget_min = 1000 }
    a:script { delay = 0.5, body = "a" }
    b:script { delay = 0.5, body = "b" }
    local before = #a.requests + #b.requests
    for _ = 1, 3 do
      assert.equal(200, g:post("/", { body = "x" }).status)
    end
    assert.equal(3, #a.requests + #b.requests - before)
    before = #a.requests + #b.requests
    assert.equal(200, g:put("/", { body = ("x"):rep(50000) }).status)
    test.eventually(function() return #a.requests + #b.requests - before == 2 end)
    assert.same({ 50000, 50000 }, { #a:last().body, #b:last().body })
  end)

  it("ends with the route's time, or with its client, as one attempt does", function()
    start({ budget_min = 1000 }, { timeout = "1s" })
    a:script { stall = "head" }
    b:script { stall = "head" }
    assert.equal(504, g:get("/").status)
    local before = #a.requests + #b.requests
    local connection = g:connect()
    connection:send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    test.eventually(function() return #a.requests + #b.requests - before == 2 end)
    connection:close(true)
    test.eventually(function() return last_line():find('"s":0', 1, true) end)
    a:script { body = "a" }
    b:script { body = "b" }
    assert.equal(200, g:get("/").status)
  end)

  it("has no effect on what a route without a timeout waits for", function()
    start { budget_min = 0, budget = 0 }
    a:script { delay = 0.2, body = "a" }
    b:script { delay = 0.2, body = "b" }
    assert.equal(200, g:get("/", { headers = { ["X-Attempt"] = "0.2" } }).status)
  end)

  it("goes on with the first when a hook refuses the second", function()
    start { budget_min = 1000 }
    a:script { delay = 0.1, body = "a" }
    b:script { delay = 0.1, body = "b" }
    for _ = 1, 3 do
      local response = g:get("/", { headers = { ["X-Refuse"] = "1" } })
      assert.equal(200, response.status)
    end
  end)

  it("puts off an answer that comes while hooks of the other attempt wait", function()
    start { budget_min = 1000 }
    for _, headers in ipairs { { ["X-Balance"] = "0.2" }, { ["X-Attempt"] = "0.1" } } do
      a:script { delay = 0.05, body = "a" }
      b:script { delay = 0.07, body = "b" }
      for _ = 1, 4 do
        assert.equal(200, g:get("/", { headers = headers }).status)
      end
      a:script { delay = 0.05, status = 503, body = "a" }
      for _ = 1, 4 do
        assert.equal("b", g:get("/", { headers = headers }).body)
      end
      b:script { delay = 0.07, reset = "head" }
      g:get("/", { headers = headers })
      a:script { body = "a" }
      b:script { body = "b" }
      assert.equal(200, g:get("/").status)
    end
  end)

  it("stands many requests at once", function()
    start { budget = 1, attempts = 3 }
    local n = 0
    local function script(request)
      n = n + 1
      if n % 3 == 0 then
        task.sleep(0.03)
      end
      return n % 7 == 0 and 503 or 200, {}, request.path
    end
    a:script(script)
    b:script(script)
    local calls, bad = {}, 0
    for i = 1, 40 do
      calls[i] = function()
        for k = 1, 5 do
          local path = ("/%d/%d"):format(i, k)
          local response = g:get(path, { headers = k == 3 and { ["X-Attempt"] = "0.01" } or nil })
          bad = bad + ((response.status == 503 or response.body == path) and 0 or 1)
        end
      end
    end
    task.all(calls)
    assert.equal(0, bad)
  end)
end)
