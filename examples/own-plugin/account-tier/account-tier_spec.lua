local test = require "demilune.test"

describe("account-tier", function()
  local upstream = test.upstream(function(request)
    return 200, {}, request.headers["x-account-tier"]
  end)

  local server -- a real redis-server

  before_each(function()
    server = test.redis()
  end)

  local function gateway(service, config)
    config = config or {}
    config.service, config.redis = service.url, "main"
    return test.gateway {
      config = { redis = { { name = "main", url = server.url } } },
      upstream = upstream, plugins = { { name = "account-tier", config = config } },
    }
  end

  local function get(gate, account)
    return gate:get("/", { headers = { ["X-Account"] = account, ["X-Account-Tier"] = "forged" } })
  end

  it("tells the upstream what the service says", function()
    local service = test.upstream { body = '{"tier":"gold"}' }
    assert.equal("gold", get(gateway(service), "a/42").body)
    assert.equal("/a%2F42", service:last().path)
  end)

  it("leaves requests without an account alone", function()
    local service = test.upstream()
    assert.equal("", get(gateway(service), nil).body)
    assert.equal(0, #service.requests)
  end)

  it("asks once, and keeps the answer in Redis for a while", function()
    local service = test.upstream { body = '{"tier":"gold"}' }
    for _ = 1, 3 do -- gateways that share nothing else
      assert.equal("gold", get(gateway(service, { ttl = "10s" }), "42").body)
    end
    assert.equal(1, #service.requests)
    assert.equal("gold", server:command("GET", "account-tier:42"))
    assert.is_true(server:command("PTTL", "account-tier:42") > 5000)
  end)

  it("asks each time while there is no Redis", function()
    local service = test.upstream { body = '{"tier":"gold"}' }
    local gate = gateway(service)
    server:kill()
    for i = 1, 2 do
      assert.equal("gold", get(gate, "42").body)
      assert.equal(i, #service.requests)
      test.clock.advance(2)
    end
  end)

  it("knows accounts that the service does not", function()
    assert.equal("none", get(gateway(test.upstream { status = 404 }), "42").body)
  end)

  it("refuses requests while the service has no answer, and asks again", function()
    local service = test.upstream { { reset = "head" }, { status = 500 }, { body = "?" }, { body = '{"tier":"gold"}' } }
    local gate = gateway(service)
    for _ = 1, 3 do
      assert.equal(503, get(gate, "42").status)
    end
    assert.equal("gold", get(gate, "42").body)
  end)

  it("does not wait for ever", function()
    assert.equal(503, get(gateway(test.upstream { stall = "head" }, { timeout = "50ms" }), "42").status)
  end)
end)
