-- SPDX-License-Identifier: Apache-2.0

local test = require "demilune.test"

describe("ip-restriction", function()
  local function status_of(config, client_ip)
    local x = test.exchange { plugin = "ip-restriction", config = config, client_ip = client_ip }
    local status = x:run "access" and x.answer.status or 200
    x:close()
    return status
  end

  local function check(config, passing, refused)
    for _, ip in ipairs(passing) do
      assert.equal(200, status_of(config, ip), ip)
    end
    for _, ip in ipairs(refused) do
      assert.equal(403, status_of(config, ip), ip)
    end
  end

  it("lets those addresses pass that are allowed, and no others", function()
    check({ allow = { "192.0.2.7", "10.0.0.0/8", "2001:db8::/32" } },
      { "192.0.2.7", "10.0.0.0", "10.255.255.255", "2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" },
      { "192.0.2.6", "192.0.2.8", "9.255.255.255", "11.0.0.0", "2001:db7:ffff::", "2001:db9::", "::a00:1" })
  end)

  it("refuses those that are denied, even when they are allowed", function()
    check({ deny = { "192.0.2.0/24", "::1" } }, { "192.0.3.0", "::2", "192.0.1.255" },
      { "192.0.2.0", "192.0.2.255", "::1" })
    check({ allow = { "10.0.0.0/8" }, deny = { "10.9.0.0/16" } }, { "10.8.255.255", "10.10.0.0" },
      { "10.9.0.0", "10.9.255.255", "192.0.2.1" })
  end)

  it("keeps IPv4 and IPv6 apart, and knows mapped addresses", function()
    check({ allow = { "0.0.0.0/0" } }, { "0.0.0.0", "255.255.255.255", "::ffff:192.0.2.1" }, { "::", "::1" })
    check({ allow = { "::/0" } }, { "::", "ffff::1" }, { "0.0.0.0", "192.0.2.1" })
    check({ allow = { "::ffff:192.0.2.0/120" } }, { "192.0.2.9" }, { "192.0.3.9", "::c000:209" })
  end)

  it("finds an address among a thousand networks that lie in and beside each other", function()
    local list = { "10.0.0.0/8", "10.0.0.0/12", "10.3.0.0/16" }
    for i = 0, 999 do
      list[#list + 1] = ("172.%d.%d.0/24"):format(i % 250, 2 * math.floor(i / 250))
    end
    check({ allow = list }, { "10.3.1.1", "10.200.0.1", "172.0.0.1", "172.249.6.255", "172.100.4.77" },
      { "172.0.1.0", "172.249.7.0", "172.250.0.0", "11.0.0.0" })
  end)

  it("has no address for a client on a unix socket", function()
    check({ deny = { "0.0.0.0/0", "::/0" } }, { "unix:" }, {})
    check({ allow = { "0.0.0.0/0", "::/0" } }, {}, { "unix:" })
  end)

  it("believes in an address that is told only when a trusted proxy tells it", function()
    local function status(trusted)
      local g = test.gateway { config = { trusted_proxies = trusted },
        plugins = { { name = "ip-restriction", config = { allow = { "192.0.2.0/24" } } } } }
      local response = g:get("/", { headers = { ["x-forwarded-for"] = "192.0.2.1" } })
      return response.status, response.headers["content-type"]
    end
    assert.equal(200, (status { "127.0.0.0/8" }))
    assert.same({ 403, "application/problem+json" }, { status { "10.0.0.0/8" } })
  end)

  it("does not start with what is no network, with nothing to do, or where a failure would let pass", function()
    local function faults(config, on_error)
      return test.faults { plugins = { { name = "ip-restriction", config = config, on_error = on_error } } }
    end
    assert.truthy(faults({ allow = { "10.0.0.0/33" } })
      :find("config.allow[0]: expected an address or a network such as 10.0.0.0/8", 1, true))
    assert.truthy(faults({ deny = { "::1", "localhost" } }):find("config.deny[1]", 1, true))
    assert.truthy(faults({ allow = {} }):find("config.allow", 1, true))
    assert.truthy(faults({}):find("config", 1, true))
    assert.truthy(faults({ deny = { "::1" } }, "continue"):find("on_error", 1, true))
  end)
end)
