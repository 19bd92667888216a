-- SPDX-License-Identifier: Apache-2.0

local test = require "demilune.test"

local CONSUMERS = {
  { name = "acme", groups = { "gold" }, credentials = { ["key-auth"] = { { key = "sesame" }, { key = "second" } } } },
  { name = "bolt", credentials = { ["key-auth"] = { { key = "other" } } } },
  { name = "guest" },
}

describe("key-auth", function()
  local upstream

  setup(function()
    upstream = test.upstream(function(request) return 200, {}, request.headers["x-consumer"] or "nobody" end)
  end)

  local function gateway(config, consumers)
    return test.gateway {
      upstream = upstream, consumers = consumers or CONSUMERS, plugins = { { name = "key-auth", config = config } },
    }
  end

  it("lets the key of a consumer pass, and tells the upstream whose it is", function()
    local g = gateway()
    assert.equal("acme", g:get("/", { headers = { ["X-API-Key"] = "sesame" } }).body)
    assert.equal("acme", g:get("/", { headers = { ["X-API-Key"] = "second" } }).body)
    assert.equal("bolt", g:get("/", { headers = { ["X-API-Key"] = "other" } }).body)
  end)

  it("refuses a request without a key, or with a wrong one", function()
    local g = gateway()
    local before = #upstream.requests
    for _, headers in ipairs { {}, { ["X-API-Key"] = "wrong" }, { ["X-API-Key"] = "" }, { ["X-API-Key"] = "sesame2" },
      { ["X-API-Key"] = "sesam" } } do
      local response = g:get("/", { headers = headers })
      assert.equal(401, response.status)
      assert.equal("Key", response.headers["www-authenticate"])
      assert.equal("application/problem+json", response.headers["content-type"])
    end
    assert.equal(before, #upstream.requests)
  end)

  it("tells keys of any length apart, and knows each among many", function()
    local long = ("k"):rep(48)
    local keys = { long, long .. "a", long .. "b", ("k"):rep(300) }
    local consumers = {}
    for i = 1, 100 do
      keys[#keys + 1] = "key-" .. i
    end
    for i, key in ipairs(keys) do
      consumers[i] = { name = "c" .. i, credentials = { ["key-auth"] = { { key = key } } } }
    end
    local g = gateway(nil, consumers)
    for i, key in ipairs(keys) do
      assert.equal("c" .. i, g:get("/", { headers = { ["X-API-Key"] = key } }).body)
    end
    for _, key in ipairs { long .. "c", ("k"):rep(47), ("k"):rep(299), "key-101" } do
      assert.equal(401, g:get("/", { headers = { ["X-API-Key"] = key } }).status)
    end
  end)

  it("never hands on a consumer that the client names itself", function()
    local g = gateway { anonymous = "guest" }
    for _, name in ipairs { "X-Consumer", "x_consumer", "X_Consumer" } do
      assert.equal("guest", g:get("/", { headers = { [name] = "acme" } }).body)
      assert.is_nil(upstream:last().headers["x_consumer"])
    end
  end)

  it("hides the key from the upstream, wherever it stood", function()
    local g = gateway { names = { "header:x-api-key", "query:key", "cookie:key" } }
    assert.equal("acme", g:get("/", { headers = { ["X-API-Key"] = "sesame" } }).body)
    assert.is_nil(upstream:last().headers["x-api-key"])
    assert.equal("acme", g:get("/?a=1&key=sesame&b=2").body)
    assert.equal("a=1&b=2", upstream:last().query)
    assert.equal("acme", g:get("/?k%65y=sesame").body)
    assert.equal("", upstream:last().query)
    assert.equal("acme", g:get("/", { headers = { Cookie = "a=1; key=sesame; b=2" } }).body)
    assert.equal("a=1; b=2", upstream:last().headers.cookie)
    assert.equal("acme", g:get("/?key=sesame", { headers = { ["X-API-Key"] = "sesame", Cookie = "key=sesame" } }).body)
    assert.equal("", upstream:last().query)
    assert.is_nil(upstream:last().headers.cookie)
  end)

  it("takes no longer for the spaces in cookies", function()
    local g, before = gateway { names = { "cookie:key" } }, os.clock()
    local spaces = (" "):rep(30000)
    assert.equal("acme", g:get("/", { headers = { Cookie = "key=sesame; a" .. spaces .. "b=1" } }).body)
    assert.equal("a" .. spaces .. "b=1", upstream:last().headers.cookie)
    assert.is_true(os.clock() - before < 1)
  end)

  it("leaves the key where it is, when told so", function()
    gateway { hide_credentials = false }:get("/", { headers = { ["X-API-Key"] = "sesame" } })
    assert.equal("sesame", upstream:last().headers["x-api-key"])
  end)

  it("lets the first place that has a key decide", function()
    local g = gateway { names = { "header:x-api-key", "query:key" } }
    assert.equal(401, g:get("/?key=sesame", { headers = { ["X-API-Key"] = "wrong" } }).status)
  end)

  it("counts a request without a valid key as the anonymous consumer", function()
    local g = gateway { anonymous = "guest", consumer_header = "X-Who" }
    g:get "/"
    assert.equal("guest", upstream:last().headers["x-who"])
    g:get("/", { headers = { ["X-API-Key"] = "sesame" } })
    assert.equal("acme", upstream:last().headers["x-who"])
  end)

  it("names the consumer to the plugins behind it", function()
    local g = test.gateway { upstream = upstream, consumers = CONSUMERS,
      plugins = { "key-auth", { name = "headers", config = { request = { set = { ["X-Seen"] = "{consumer}" } } } } } }
    g:get("/", { headers = { ["X-API-Key"] = "other" } })
    assert.equal("bolt", upstream:last().headers["x-seen"])
  end)

  it("finds faults in credentials and places", function()
    local function faults(config, consumers)
      return test.faults { consumers = consumers or CONSUMERS, plugins = { { name = "key-auth", config = config } } }
    end
    assert.truthy(faults({ names = { "path" } })
      :find('expected header:NAME, query:NAME or cookie:NAME, got "path"', 1, true))
    assert.truthy(faults({ names = { "headers:x" } }):find("did you mean", 1, true))
  end)

  it("finds each fault of a credential, at its place, once", function()
    local plugins = { { name = "key-auth" }, { name = "key-auth" } }
    local text = test.faults { plugins = plugins, consumers = {
      { name = "a", credentials = { ["key-auth"] = { { key = "same" }, { kee = "x", key = "y" } } } },
      { name = "b", credentials = { ["key-auth"] = { { key = "same" }, { key = 12345 }, { keys = "z" }, "w" } } },
    } }
    for _, fault in ipairs {
      'consumers[0].credentials.key-auth[1].kee: unknown key, did you mean "key"?',
      "consumers[1].credentials.key-auth[0].key: this is the key of another credential already: "
        .. 'consumers[0].credentials.key-auth[0], of the consumer "a"',
      "consumers[1].credentials.key-auth[1].key: expected a text, got a hidden value",
      'consumers[1].credentials.key-auth[2]: "key" is missing',
      "consumers[1].credentials.key-auth[3]: expected a map, got a hidden value",
    } do
      local at = text:find(fault, 1, true)
      assert.truthy(at, fault .. "\nis not in\n" .. text)
      assert.is_nil(text:find(fault, at + 1, true))
    end
    assert.is_nil(text:find("12345", 1, true))
  end)

  it("finds a wrong credential where the plugin is enabled nowhere", function()
    local text = test.faults { consumers = { { name = "a", credentials = { ["key-auth"] = { {} } } } } }
    assert.truthy(text:find('consumers[0].credentials.key-auth[0]: "key" is missing', 1, true))
  end)
end)
