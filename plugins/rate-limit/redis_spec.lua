-- SPDX-License-Identifier: Apache-2.0

-- rate-limit with its counts in a real Redis.

local socket = require "demilune.socket"
local task = require "demilune.task"
local test = require "demilune.test"

describe("rate-limit with Redis", function()
  local upstream, server

  setup(function()
    upstream = test.upstream { body = "ok" }
    server = test.redis()
  end)

  before_each(function()
    server:command("FLUSHALL")
  end)

  local function gateway(config, redis)
    config.store, config.redis = "redis", "main"
    config.store_timeout = config.store_timeout or "5s"
    return test.gateway {
      upstream = upstream, plugins = { { name = "rate-limit", config = config } },
      config = { redis = { { name = "main", url = (redis or server).url, timeout = "5s" } },
        trusted_proxies = { "127.0.0.1" } },
    }
  end

  local function statuses(g, n, options)
    local list = {}
    for i = 1, n do
      list[i] = g:get("/", options).status
    end
    return list
  end

  for _, algorithm in ipairs { "gcra", "sliding_window", "fixed_window" } do
    it(algorithm .. ": lets the limit through, then refuses", function()
      local g = gateway { limit = 3, window = "1h", algorithm = algorithm }
      assert.same({ 200, 200, 200, 429 }, statuses(g, 4))
      local refused = g:get "/"
      local wait = tonumber(refused.headers["retry-after"])
      assert.is_true(wait >= 1 and wait <= 7200)
      assert.equal('"default";q=3;w=3600', refused.headers["ratelimit-policy"])
      assert.truthy(refused.headers.ratelimit:find('^"default";r=0;t=%d+$'))
    end)

    it(algorithm .. ": lets through again when the time has passed", function()
      local g = gateway { limit = 2, window = "100ms", algorithm = algorithm }
      local good = 0
      test.eventually(function()
        good = good + (g:get("/").status == 200 and 1 or 0)
        return good >= 5
      end)
    end)

    it(algorithm .. ": exactly the limit passes, over several gateways", function()
      local config = { limit = 100, window = "1h", algorithm = algorithm }
      local gateways = {}
      for i = 1, 4 do
        gateways[i] = gateway(config)
      end
      local calls, good, refused = {}, 0, 0
      for i = 1, 64 do
        calls[i] = function()
          for _ = 1, 3 do
            local status = gateways[i % 4 + 1]:get("/").status
            good = good + (status == 200 and 1 or 0)
            refused = refused + (status == 429 and 1 or 0)
          end
        end
      end
      task.all(calls)
      assert.same({ 100, 92 }, { good, refused })
    end)
  end

  it("asks once for several limits, and a refused request takes from none", function()
    local g = gateway { limits = { { limit = 5, window = "1h" }, { limit = 2, window = "1h" } } }
    server:command("CONFIG", "RESETSTAT")
    assert.same({ 200, 200, 429, 429, 429 }, statuses(g, 5))
    local stats = server:command("INFO", "commandstats")
    assert.equal("5", stats:match "cmdstat_evalsha:calls=(%d+)")
    local last = g:get "/"
    assert.truthy(last.headers.ratelimit:find('^"2";r=0;'))
    -- 2 of the 5 are taken: the first limit stands as it stood before the refusals.
    local keys = server:command("KEYS", "*")
    assert.equal(2, #keys)
    local amounts = { server:command("GET", keys[1]):match "^[%d.]+", server:command("GET", keys[2]):match "^[%d.]+" }
    assert.is_true(math.abs(amounts[1] - 2) < 0.1 and math.abs(amounts[2] - 2) < 0.1)
  end)

  it("counts by what it is told, with costs, and networks of IPv6", function()
    local g = gateway { limit = 10, window = "1h", by = { "header:x-tenant", "client_ip" }, cost = "header:x-cost" }
    local function ask(tenant, cost, address)
      return g:get("/", { headers = { ["X-Tenant"] = tenant, ["X-Cost"] = cost, ["X-Forwarded-For"] = address } })
    end
    assert.truthy(ask("a", "6", "2001:db8::1").headers.ratelimit:find('^"default";r=4;'))
    assert.equal(429, ask("a", "5", "2001:db8::2").status)
    assert.equal(200, ask("a", "4", "2001:db8::3").status)
    assert.equal(200, ask("a", "5", "2001:db8:1::1").status)
    assert.equal(200, ask("b", "10", "2001:db8::1").status)
    assert.equal(429, ask("c", "11").status)
    assert.is_nil(ask("c", "11").headers["retry-after"])
    local long = ("x"):rep(300)
    assert.equal(200, ask(long .. "1", "10").status)
    assert.equal(200, ask(long .. "2", "10").status)
    assert.equal(429, ask(long .. "2", "1").status)
  end)

  it("lets a burst through, and counts what is under way", function()
    assert.same({ 200, 200, 429 }, statuses(gateway { limit = 60, window = "1h", burst = 2 }, 3))
    server:command("FLUSHALL")
    upstream:script { delay = 0.1, body = "ok" }
    local g = gateway { limit = 2, algorithm = "concurrent" }
    local results = task.all {
      function() return g:get("/").status end, function() return g:get("/").status end,
      function() return g:get("/").status end,
    }
    upstream:script { body = "ok" }
    table.sort(results)
    assert.same({ 200, 200, 429 }, results)
    test.eventually(function() return g:get("/").status == 200 end)
    test.eventually(function() return server:command("DBSIZE") == 0 end) -- its place is given back
  end)

  it("gives its keys an end", function()
    local limits = { { limit = 1, window = "5s" } }
    for _, algorithm in ipairs { "fixed_window", "sliding_window", "concurrent" } do
      limits[#limits + 1] = { limit = 9, window = "7s", algorithm = algorithm }
    end
    statuses(gateway { limits = limits }, 1)
    for _, key in ipairs(server:command("KEYS", "*")) do
      local left = server:command("PTTL", key)
      assert.is_true(left > 0 and left <= 14002)
    end
  end)

  it("goes on as it is told when the server is gone, and counts again when it is back", function()
    local own = test.redis()
    local allow = gateway({ limit = 1, window = "1h" }, own)
    local deny = gateway({ limit = 1, window = "1h", on_store_failure = "deny", by = "{path}" }, own)
    local here = gateway({ limit = 1, window = "1h", on_store_failure = "local", by = "{path}{path}" }, own)
    assert.same({ 200, 429 }, statuses(allow, 2))
    own:kill()
    assert.same({ 200, 200, 200 }, statuses(allow, 3))
    assert.same({ 503, 503 }, statuses(deny, 2))
    assert.same({ 200, 429, 429 }, statuses(here, 3))
    own:restart()
    test.eventually(function() return deny:get("/").status == 200 end, nil, 20)
    assert.equal(429, deny:get("/").status)
  end)

  it("takes an answer that is not its script's for a failure", function()
    local listener = socket.listen "127.0.0.1:0"
    task.detach(function()
      local s = listener:accept(5)
      while s and s:read(65536, 5) do
        s:write "+OK\r\n"
      end
    end)
    local allow = gateway({ limit = 1, window = "1h" }, { url = "redis://" .. listener:address() })
    assert.same({ 200, 200 }, statuses(allow, 2))
    listener:close()
  end)

  it("makes nobody wait for longer than its timeout, and soon nobody at all", function()
    local own = test.redis()
    local g = gateway({ limit = 1000, window = "1h", store_timeout = "50ms" }, own)
    assert.equal(200, g:get("/").status)
    own:pause()
    local clock = require("demilune.time").monotonic
    local calls, waited = {}, 0
    for i = 1, 20 do
      calls[i] = function()
        local begun = clock()
        assert.equal(200, g:get("/").status)
        waited = math.max(waited, clock() - begun)
      end
    end
    task.all(calls)
    assert.is_true(waited < 1) -- 50 ms, on a machine that has other things to do; not the server's 5 s
    local begun = clock()
    for _ = 1, 20 do
      g:get "/"
    end
    assert.is_true(clock() - begun < 20 * 0.05)
    own:resume()
    test.eventually(function() return g:get("/").headers.ratelimit end, nil, 20)
  end)
end)
