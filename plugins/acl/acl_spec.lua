-- SPDX-License-Identifier: Apache-2.0

local test = require "demilune.test"

local function consumer(name, groups)
  return { name = name, groups = groups, credentials = { ["key-auth"] = { { key = name } } } }
end

local CONSUMERS = {
  consumer("acme", { "gold", "partners" }), consumer("bolt", { "silver", "partners" }), consumer "core",
  consumer "silver", { name = "guest" },
}

describe("acl", function()
  local function gateway(config, auth)
    return test.gateway {
      consumers = CONSUMERS, plugins = { { name = "key-auth", config = auth }, { name = "acl", config = config } },
    }
  end

  -- The consumers that pass, twice each: the second time it is known.
  local function passing(config)
    local g, list = gateway(config), {}
    for _, name in ipairs { "acme", "bolt", "core", "silver" } do
      local status = g:get("/", { headers = { ["x-api-key"] = name } }).status
      assert.equal(status, g:get("/", { headers = { ["x-api-key"] = name } }).status)
      list[#list + 1] = status == 200 and name or nil
      assert.truthy(status == 200 or status == 403)
    end
    return table.concat(list, " ")
  end

  it("lets those pass who are allowed, by name or group", function()
    assert.equal("acme", passing { allow = { "gold" } })
    assert.equal("acme bolt", passing { allow = { "partners" } })
    assert.equal("bolt core", passing { allow = { "core", "group:silver" } })
    assert.equal("silver", passing { allow = { "consumer:silver" } })
  end)

  it("refuses those who are denied, and lets all others pass", function()
    assert.equal("bolt core silver", passing { deny = { "gold" } })
    assert.equal("acme bolt silver", passing { deny = { "consumer:core" } })
  end)

  it("refuses who is denied although it is allowed", function()
    assert.equal("acme", passing { allow = { "partners" }, deny = { "bolt" } })
    assert.equal("", passing { allow = { "acme" }, deny = { "gold" } })
  end)

  it("answers with 403, and asks for no credentials", function()
    local response = gateway({ allow = { "gold" } }):get("/", { headers = { ["x-api-key"] = "core" } })
    assert.equal(403, response.status)
    assert.is_nil(response.headers["www-authenticate"])
    assert.equal("application/problem+json", response.headers["content-type"])
  end)

  it("refuses whom nobody has recognised, even where it only denies", function()
    for _, config in ipairs { { allow = { "gold" } }, { deny = { "gold" } } } do
      assert.equal(403, test.gateway({ consumers = CONSUMERS, plugins = { { name = "acl", config = config } } })
        :get("/").status)
    end
  end)

  it("takes the anonymous consumer for what it is", function()
    assert.equal(200, gateway({ allow = { "guest" } }, { anonymous = "guest" }):get("/").status)
    assert.equal(403, gateway({ deny = { "guest" } }, { anonymous = "guest" }):get("/").status)
    assert.equal(403, gateway({ allow = { "gold" } }, { anonymous = "guest" }):get("/").status)
  end)

  it("does not start with names that nobody has, or that are two", function()
    local function faults(config)
      return test.faults { consumers = CONSUMERS, plugins = { "key-auth", { name = "acl", config = config } } }
    end
    for _, case in ipairs {
      { { allow = { "gold", "glod" } }, 'config.allow[1]: the configuration has no consumer or group "glod"' },
      { { deny = { "consumer:gold" } }, 'config.deny[0]: the configuration has no consumer "gold"' },
      { { deny = { "group:acme" } }, 'config.deny[0]: the configuration has no group "acme"' },
      { { allow = { "silver" } }, '"silver" is a consumer and a group: write "consumer:silver" or "group:silver"' },
      { { allow = {} }, "config.allow" },
      { {}, "config" },
    } do
      local text = faults(case[1])
      assert.truthy(text:find(case[2], 1, true), text)
    end
  end)

  it("does not start before the plugin that recognises consumers, or where a failure would let pass", function()
    local acl = { name = "acl", config = { allow = { "gold" } } }
    assert.matches('"key%-auth"', test.faults { consumers = CONSUMERS, plugins = { acl, "key-auth" } })
    acl.on_error = "continue"
    assert.matches("on_error", test.faults { consumers = CONSUMERS, plugins = { "key-auth", acl } })
  end)
end)
