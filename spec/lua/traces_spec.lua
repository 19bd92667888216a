-- SPDX-License-Identifier: Apache-2.0

-- The hooks of the shipped plugins are compiled, each chain as one trace from its beginning to its
-- end: interpreted, a request would cost several times as much. What does that is easily lost (a
-- closure, a pattern, a loop in a hook), and no other spec would notice.

local server = require "spec.support.server"
local store = require "demilune.store"
local tablex = require "pl.tablex"
local test = require "demilune.test"

local REQUESTS = 400

-- Notes in the store what LuaJIT makes of the functions of chains: how their traces end, or where and
-- why (a number of jit.vmdef's traceerr) the first try to make one ended.
local WATCH = [[
local info = require("jit.util").funcinfo
local store = require("demilune.store").use()
local Watch = { name = "watch", version = "1.0.0" }
Watch.__index = Watch

local started

local function note(event, trace, func, pc, code)
  if event == "start" then
    started = info(func, pc).loc:match "^%(%a+ hooks%)"
  elseif event == "stop" and started then
    store:set("trace " .. started, require("jit.util").traceinfo(trace).linktype)
  elseif event == "abort" and started then
    store:add("trace " .. started, ("trouble %d at %s"):format(code, info(func, pc).loc))
  end
end

function Watch:start()
  jit.attach(note, "trace")
end

return Watch
]]

-- A hook of an author, of some length.
local LONG = [[
local Long = { name = "long", version = "1.0.0" }
Long.__index = Long

function Long:access(exchange)
  local request, response = exchange.request, exchange.response
  local path, host, id, ip = request.path, request.host, exchange.id, exchange.client_ip
  if request.method == "POST" or request.headers["x-not-there"] or request.scheme ~= "http" or not exchange.route then
    return exchange:reply(400)
  end
  request.headers["x-1"], request.headers["x-2"], request.headers["x-3"] = path, host, id
  response.headers["x-4"], response.headers["x-5"] = ip, request.headers["x-1"]
  exchange.ctx.is_seen = true
  if exchange.consumer or exchange.upstream == "none" or exchange.error then
    return exchange:problem(403, "no")
  end
end

return Long
]]

-- Beside a plugin of one's own the core runs no hook of the phase without Lua.
local OWN = [[
local Own = { name = "own", version = "1.0.0" }
Own.__index = Own
function Own.new() return setmetatable({}, Own) end
function Own:balance(exchange) self.method = exchange.request.method end
Own.attempt = Own.balance
return Own
]]

describe("the traces of", function()
  local folder, upstream

  setup(function()
    folder = server.folder()
    folder:write("plugins/watch/init.lua", WATCH)
    folder:write("plugins/long/init.lua", LONG)
    folder:write("plugins/own/init.lua", OWN)
    upstream = test.upstream { body = "ok" }
  end)

  teardown(function()
    folder:remove()
  end)

  local function found()
    local ends = {}
    for _, phase in ipairs { "access", "balance", "attempt", "response", "log" } do
      ends[phase] = store.use():get("trace (" .. phase .. " hooks)")
    end
    return ends
  end

  -- Are the chains of these phases, and no others, compiled from end to end? LuaJIT counts calls in a small table by
  -- address, where others may be in the way: then it takes some more requests.
  local function are_whole(phases, plugins, headers)
    local gateway = test.gateway {
      upstream = upstream, plugins = plugins, global = { "watch" }, plugin_path = { folder.path .. "/plugins" },
      consumers = { { name = "acme", credentials = { ["key-auth"] = { { key = "k-1" } } } } },
    }
    local want = {}
    for _, phase in ipairs(phases) do
      want[phase] = "return"
    end
    for n = 1, 10 * REQUESTS do
      assert.equal(200, gateway:get("/", { headers = headers }).status)
      if n % REQUESTS == 0 and tablex.size(found()) >= #phases then
        break
      end
    end
    assert.same(want, found())
  end

  -- What only changes headers does so without Lua.
  it("key-auth, rate-limit and headers", function()
    are_whole({ "access" }, {
      { name = "key-auth" },
      { name = "rate-limit", config = { limit = 1000000, window = "1m", by = "consumer" } },
      { name = "headers", config = {
        request = { set = { ["x-a"] = "1" }, remove = { "x-b" } },
        response = { default = { ["x-c"] = "{consumer}" } } } },
    }, { ["X-Api-Key"] = "k-1" })
  end)

  it("request-id and access-log", function()
    are_whole({ "access", "log" }, {
      { name = "request-id" }, { name = "access-log", config = { to = "/dev/null" } },
    })
  end)

  it("cors and headers", function()
    are_whole({ "access", "response" }, {
      { name = "cors", config = { origins = { "https://a.example" } } },
      { name = "headers", config = { response = { set = { ["x-a"] = "1" } } } },
    }, { Origin = "https://a.example" })
  end)

  it("circuit-breaker and retry", function()
    are_whole({ "balance", "attempt" }, { "circuit-breaker",
      { name = "retry", config = { per_try_timeout = "5s" } }, "own" })
  end)

  it("a longer hook", function()
    are_whole({ "access" }, { "long" })
  end)
end)
