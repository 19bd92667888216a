-- SPDX-License-Identifier: Apache-2.0

-- Opaque tokens: what the issuer says of them counts, is asked for once, and outlives an outage.

local json = require "demilune.json"
local task = require "demilune.task"
local test = require "demilune.test"

describe("oauth2 with opaque tokens", function()
  local issuer, upstream

  before_each(function()
    upstream = test.upstream(function(request) return 200, {}, request.headers["x-user"] or "nobody" end)
    issuer = test.issuer { clients = { gate = "s:ecret %" } }
  end)

  local function gateway(config, more)
    local whole = {
      issuer = issuer.url, audience = "api", introspection = { client_id = "gate", client_secret = "s:ecret %" },
      claims_to_headers = { sub = "X-User" },
    }
    for name, value in pairs(config or {}) do
      whole[name] = value ~= json.null and value or nil
    end
    local options = { upstream = upstream, plugins = { { name = "oauth2", config = whole } } }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    return test.gateway(options)
  end

  local function ask(g, token)
    return g:get("/", { headers = { Authorization = "Bearer " .. token }, timeout = 20 })
  end

  local function opaque(claims, options)
    options = options or {}
    options.opaque = true
    return issuer:token(claims, options)
  end

  it("asks the issuer once about a token, good or bad", function()
    local g = gateway()
    local token = opaque { sub = "ann" }
    for _ = 1, 3 do
      assert.same({ 200, "ann" }, { ask(g, token).status, ask(g, token).body })
    end
    assert.equal(1, issuer:count "introspect")
    for _ = 1, 3 do
      local response = ask(g, "unknown")
      assert.equal(401, response.status)
      assert.truthy(response.headers["www-authenticate"]:find('error="invalid_token"', 1, true))
    end
    assert.equal(2, issuer:count "introspect")
  end)

  it("asks again after cache_ttl, so that what was revoked ends", function()
    local g = gateway { cache_ttl = "20s" }
    local token = opaque()
    assert.equal(200, ask(g, token).status)
    issuer:revoke(token)
    test.clock.advance(15)
    assert.equal(200, ask(g, token).status)
    test.clock.advance(6)
    assert.equal(401, ask(g, token).status)
    assert.equal(2, issuer:count "introspect")
  end)

  it("asks once for many requests at a time", function()
    local g = gateway()
    local token, work = opaque(), {}
    issuer:script("introspect", { delay = 0.2, status = 200, body = json.encode { active = true, sub = "ann" } })
    for i = 1, 20 do
      work[i] = function() return ask(g, token).status end
    end
    for _, status in ipairs(task.all(work)) do
      assert.equal(200, status)
    end
    assert.equal(1, issuer:count "introspect")
  end)

  it("verifies JWTs by itself beside them, and asks about all where there is no issuer", function()
    assert.equal(200, ask(gateway(), issuer:token()).status)
    assert.equal(0, issuer:count "introspect")
    local g = gateway { issuer = json.null, introspection = {
      client_id = "gate", client_secret = "s:ecret %", endpoint = issuer.url .. "/introspect",
    } }
    assert.equal(200, ask(g, issuer:token()).status)
    assert.same({ 1, 0 }, { issuer:count "introspect", issuer:count "metadata" - 1 })
  end)

  it("holds answers to what tokens have to be", function()
    local g = gateway { scopes = { "read" } }
    local function status(answer)
      issuer:script("introspect", { status = 200, body = json.encode(answer) })
      return ask(g, opaque()).status
    end
    assert.equal(200, status { active = true, scope = "read" })
    assert.equal(403, status { active = true, scope = "write" })
    assert.equal(401, status { active = true, scope = "read", aud = "others" })
    assert.equal(401, status { active = true, scope = "read", iss = "https://other.example" })
    assert.equal(401, status { active = true, scope = "read", exp = 1000 })
    assert.equal(401, status { active = true, scope = "read", nbf = 1e11 })
    assert.equal(401, status { active = true, scope = "read", exp = "soon" })
    assert.equal(401, status { active = true, scope = "read", cnf = { jkt = "x" } })
    assert.equal(401, status { active = true, scope = "read", token_use = "refresh_token" })
    assert.equal(401, status { active = true, scope = "read", typ = "Refresh" })
    assert.equal(401, status { active = false })
    assert.equal(200, status { active = true, scope = "read", exp = json.null, nbf = json.null, iss = json.null })
  end)

  it("takes no broken answer for a word on the token", function()
    for _, script in ipairs { { status = 500 }, { status = 401 }, { status = 200, body = "{" },
      { status = 200, body = "[]" }, { status = 200, body = '{"active":"true"}' }, { reset = "head" } } do
      local g = gateway()
      issuer:script("introspect", script)
      local response = ask(g, opaque())
      assert.equal(503, response.status)
      assert.truthy(tonumber(response.headers["retry-after"]))
    end
  end)

  it("lets nobody wait for a slow issuer without bound", function()
    local g = gateway()
    issuer:script("introspect", { stall = "head" })
    local waits = task.spawn(function() return ask(g, opaque()).status end)
    test.eventually(function() return issuer:count "introspect" == 1 end)
    test.clock.advance(6)
    assert.equal(503, waits:join())
  end)

  it("keeps known tokens through an outage, and asks no more than now and then", function()
    local g = gateway { cache_ttl = "10s" }
    local known = opaque({}, { lifetime = 200 })
    assert.equal(200, ask(g, known).status)
    issuer:script("introspect", { status = 503 })
    local before = issuer:count "introspect"
    test.clock.advance(30)
    for _ = 1, 10 do
      assert.equal(200, ask(g, known).status)
      assert.equal(503, ask(g, opaque()).status)
    end
    assert.equal(before + 1, issuer:count "introspect")
    issuer:script("introspect", nil)
    test.clock.advance(3)
    assert.equal(200, ask(g, opaque()).status)
    test.clock.advance(240)
    assert.equal(401, ask(g, known).status)
  end)
end)
