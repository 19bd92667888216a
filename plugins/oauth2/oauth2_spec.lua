-- SPDX-License-Identifier: Apache-2.0

-- JWTs as access tokens: who passes, what the upstream and the other plugins are told, and what is refused.

local crypto = require "demilune.crypto"
local json = require "demilune.json"
local test = require "demilune.test"
local time = require "demilune.time"

local CONSUMERS = {
  { name = "acme", credentials = { oauth2 = { { client_id = "acme-web" }, { client_id = "acme-jobs" } } } },
}

describe("oauth2", function()
  local issuer, upstream

  setup(function()
    upstream = test.upstream(function(request) return 200, {}, request.headers["x-consumer"] or "nobody" end)
  end)

  before_each(function()
    issuer = test.issuer()
  end)

  local function gateway(config, more)
    config = config or {}
    config.issuer, config.audience = config.issuer or issuer.url, config.audience or "api"
    local options = { upstream = upstream, consumers = CONSUMERS, plugins = { { name = "oauth2", config = config } } }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    return test.gateway(options)
  end

  local function ask(g, token)
    return g:get("/", { headers = { Authorization = token and "Bearer " .. token } })
  end

  local function expect_refused(g, token, why)
    local response = ask(g, token)
    local challenge = response.headers["www-authenticate"] or "none"
    assert.equal(401, response.status, why)
    assert.truthy(challenge:find('^Bearer error="invalid_token"'))
    assert.truthy(challenge:find(why, 1, true), challenge .. " does not say: " .. why)
    assert.equal("application/problem+json", response.headers["content-type"])
  end

  local function file_of(text)
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    finally(function() os.remove(path) end)
    return path
  end

  -- --- who passes ----------------------------------------------------------------------------------

  it("lets a token of the issuer pass, by keys that it discovers, and asks for them once", function()
    local g = gateway()
    for _ = 1, 3 do
      assert.equal(200, ask(g, issuer:token { sub = "ann" }).status)
    end
    local token = issuer:token()
    assert.equal(200, ask(g, token).status)
    assert.equal(200, ask(g, token).status)
    assert.equal("Bearer " .. token, upstream:last().headers.authorization)
    assert.same({ 1, 1 }, { issuer:count "metadata", issuer:count "jwks" })
  end)

  it("finds the metadata at RFC 8414's place, too", function()
    local other = test.upstream(function(request)
      if request.path == "/.well-known/oauth-authorization-server/tenant" then
        return 200, {}, json.encode {
          issuer = "http://" .. request.headers.host .. "/tenant", jwks_uri = issuer.url .. "/jwks",
        }
      end
      return 404, {}, ""
    end)
    local g = gateway { issuer = other.url .. "/tenant" }
    assert.equal(200, ask(g, issuer:token { iss = other.url .. "/tenant" }).status)
  end)

  it("takes no keys from metadata of another issuer", function()
    local other = test.upstream(function()
      return 200, {}, json.encode { issuer = issuer.url, jwks_uri = issuer.url .. "/jwks" }
    end)
    local g = gateway { issuer = other.url }
    assert.equal(503, ask(g, issuer:token { iss = other.url }).status)
    assert.equal(0, issuer:count "jwks")
  end)

  it("has keys from files: PEM, JWK sets and secrets", function()
    local secret, key = crypto.hex(crypto.random(32)), crypto.generate "ES256"
    local g = gateway { issuer = "me", keys = {
      { file = file_of(json.encode { keys = { key:jwk() } }) }, { file = file_of(secret), algorithm = "HS256" },
    } }
    local hs = crypto.secret(secret)
    assert.equal(200, ask(g, issuer:token({ iss = "me" }, { key = key })).status)
    assert.equal(200, ask(g, issuer:token({ iss = "me" }, { key = hs, algorithm = "HS256", kid = "x" })).status)
    expect_refused(g, issuer:token { iss = "me" }, "key is not known")
    assert.equal(0, #issuer.requests)
  end)

  it("tells several issuers apart, each with its own audience and keys", function()
    local second = test.issuer { audience = "second", algorithm = "EdDSA" }
    local g = gateway { issuer = {
      { issuer = issuer.url }, { issuer = second.url, audience = "second", algorithms = { "EdDSA" } },
    } }
    assert.equal(200, ask(g, issuer:token()).status)
    assert.equal(200, ask(g, second:token()).status)
    expect_refused(g, second:token { aud = "api" }, "for somebody else")
    expect_refused(g, second:token { iss = issuer.url, aud = "api" }, "key is not known")
    expect_refused(g, issuer:token { iss = "http://127.0.0.1:1" }, "another issuer")
    expect_refused(g, "a.b.c", "malformed")
  end)

  it("knows a token as long as it is valid, with the skew, and no longer", function()
    local g = gateway { clock_skew = "10s" }
    local token = issuer:token({}, { lifetime = 100 })
    assert.equal(200, ask(g, token).status)
    test.clock.advance(105)
    assert.equal(200, ask(g, token).status)
    test.clock.advance(6)
    expect_refused(g, token, "expired")
  end)

  it("forgets tokens that were not used for long, and verifies them again", function()
    local g = gateway { claims_to_headers = { sub = "X-User" } }
    local first = issuer:token { sub = "first" }
    assert.equal(200, ask(g, first).status)
    for i = 1, 500 do
      assert.equal(200, ask(g, issuer:token { sub = "user" .. i, fill = ("x"):rep(9000) }).status)
    end
    assert.equal(200, ask(g, first).status)
    assert.equal("first", upstream:last().headers["x-user"])
    assert.equal(1, issuer:count "jwks")
  end)

  -- --- what others are told ------------------------------------------------------------------------

  it("puts claims into headers, and never hands on the client's own", function()
    local g = gateway { claims_to_headers = { sub = "X-User", ["org.id"] = "X-Org", roles = "X-Roles" } }
    local token = issuer:token { sub = "ann", org = { id = 7 } }
    for _ = 1, 2 do
      g:get("/", { headers = {
        Authorization = "Bearer " .. token, ["X-User"] = "root", x_user = "root", ["X-Roles"] = "admin",
        ["X-Consumer"] = "acme", ["X_Org"] = "1",
      } })
      local headers = upstream:last().headers
      assert.same({ "ann", "7" }, { headers["x-user"], headers["x-org"] })
      assert.same({}, { headers["x-roles"], headers.x_user, headers.x_org, headers["x-consumer"] })
    end
  end)

  it("lets no claim break out of its header", function()
    local g = gateway { claims_to_headers = { sub = "X-User" } }
    local before = #upstream.requests
    local response = ask(g, issuer:token { sub = "ann\r\nX-Admin: yes" })
    if response.status == 200 then
      assert.is_nil(upstream:last().headers["x-admin"])
      assert.is_nil(upstream:last().headers["x-user"])
    else
      assert.equal(before, #upstream.requests)
    end
  end)

  it("says claims to selectors and templates, where dots go inward", function()
    local g = gateway({}, { plugins = {
      { name = "oauth2", config = { issuer = issuer.url, audience = "api" } },
      { name = "headers", config = { request = { set = { ["X-T"] = "t-{claim:org.id}-{claim:sub}" } } } },
      { name = "rate-limit", config = { limit = 1, window = "1h", by = "claim:sub" } },
    } })
    assert.equal(200, ask(g, issuer:token { sub = "ann", org = { id = "x" } }).status)
    assert.equal("t-x-ann", upstream:last().headers["x-t"])
    assert.equal(429, ask(g, issuer:token { sub = "ann" }).status)
    assert.equal(200, ask(g, issuer:token { sub = "bob" }).status)
  end)

  it("names the consumer by client_id, azp, or the claim that it is told", function()
    local g = gateway()
    assert.equal("acme", ask(g, issuer:token { client_id = "acme-web" }).body)
    assert.equal("acme", ask(g, issuer:token { azp = "acme-jobs" }).body)
    assert.equal("nobody", ask(g, issuer:token { client_id = "other" }).body)
    g = gateway { consumer_claim = "ext.client" }
    assert.equal("acme", ask(g, issuer:token { ext = { client = "acme-web" } }).body)
    assert.equal("nobody", ask(g, issuer:token { client_id = "acme-web" }).body)
  end)

  it("hides the token from the upstream, when told so", function()
    assert.equal(200, ask(gateway { hide_credentials = true }, issuer:token()).status)
    assert.is_nil(upstream:last().headers.authorization)
  end)

  -- --- scopes and rules ----------------------------------------------------------------------------

  it("wants scopes, however the issuer writes them", function()
    local g = gateway { scopes = { "read", "write" } }
    for _, claims in ipairs { { scope = "write x read" }, { scp = { "read", "write" } }, { scp = "read write" } } do
      assert.equal(200, ask(g, issuer:token(claims)).status)
    end
    local token = issuer:token { scope = "read writer" }
    for _ = 1, 2 do
      local response = ask(g, token)
      assert.equal(403, response.status)
      assert.truthy(response.headers["www-authenticate"]:find('error="insufficient_scope"', 1, true))
      assert.truthy(response.headers["www-authenticate"]:find('scope="read write"', 1, true))
    end
    assert.equal(403, ask(g, issuer:token()).status)
  end)

  it("keeps rules for claims", function()
    local g = gateway { claims = { tenant = { "a", "b" }, ["realm.roles"] = "ops", paid = true } }
    local function status(claims)
      return ask(g, issuer:token(claims)).status
    end
    assert.equal(200, status { tenant = "b", realm = { roles = { "x", "ops" } }, paid = true })
    assert.equal(403, status { tenant = "c", realm = { roles = { "ops" } }, paid = true })
    assert.equal(403, status { tenant = "a", realm = { roles = { "op" } }, paid = true })
    assert.equal(403, status { tenant = "a", realm = { roles = "ops" }, paid = "true" })
    assert.equal(403, status { tenant = "a", paid = true })
  end)

  -- --- refusals --------------------------------------------------------------------------------------

  it("tells those without a token what is needed, and no more", function()
    local g = gateway { scopes = { "read" } }
    for _, value in ipairs { false, "Basic YTpi", "Bear abc" } do
      local response = g:get("/", { headers = { Authorization = value or nil } })
      assert.same({ 401, 'Bearer scope="read"' }, { response.status, response.headers["www-authenticate"] })
    end
  end)

  it("answers 400 to a request that is malformed", function()
    local g, token = gateway(), issuer:token()
    assert.equal(200, ask(g, token).status)
    for _, values in ipairs { { "Bearer " .. token, "Bearer " .. token }, { "Bearer " .. token, "" },
      { "", "Bearer " .. token }, { "Bearer" }, { "Bearer a b" }, { "Bearer " .. token .. "," } } do
      local response = g:get("/", { headers = { Authorization = values } })
      assert.equal(400, response.status)
      assert.truthy(response.headers["www-authenticate"]:find('^Bearer error="invalid_request"'))
    end
  end)

  it("refuses what is expired, not yet valid, for others, or of another type", function()
    local g, now = gateway(), math.floor(time.now())
    expect_refused(g, issuer:token({}, { lifetime = -31 }), "expired")
    expect_refused(g, issuer:token { nbf = now + 100 }, "not yet valid")
    expect_refused(g, issuer:token { iat = now + 100 }, "not yet valid")
    expect_refused(g, issuer:token { aud = "others" }, "for somebody else")
    expect_refused(g, issuer:token { aud = { "others", "more" } }, "for somebody else")
    expect_refused(g, issuer:token { iss = issuer.url .. "/" }, "another issuer")
    for _, name in ipairs { "exp", "aud", "iss" } do
      expect_refused(g, issuer:token { [name] = json.null }, "")
    end
    for _, kind in ipairs { "logout+jwt", "dpop+jwt", "id", "secevent+jwt" } do
      expect_refused(g, issuer:token({}, { type = kind }), "type")
    end
    assert.equal(200, ask(g, issuer:token({}, { type = "application/at+jwt" })).status)
    expect_refused(g, issuer:token { cnf = { kid = "x" } }, "bound")
  end)

  it("takes no tokens of the issuer's that are for something else than access", function()
    local g = gateway()
    local others = {
      { nonce = "n" }, { at_hash = "h", nonce = "n", scope = "read" }, { c_hash = "h" }, { typ = "ID" },
      { typ = "Refresh" }, { typ = "Offline" }, { typ = "Logout" }, { token_use = "id" },
      { token_use = "refresh_token" },
      { events = { ["http://schemas.openid.net/event/backchannel-logout"] = {} }, sid = "s" },
    }
    for _, claims in ipairs(others) do
      expect_refused(g, issuer:token(claims, { type = "JWT" }), "type")
    end
    for _, claims in ipairs { { typ = "Bearer", nonce = "n" }, { nonce = "n", scope = "read" },
      { token_use = "access" }, { typ = 7 } } do
      assert.equal(200, ask(g, issuer:token(claims, { type = "JWT" })).status)
    end
    g = gateway { id_tokens = true }
    for i, claims in ipairs(others) do
      local is_id_token = i <= 4 or claims.token_use == "id"
      assert.equal(is_id_token and 200 or 401, ask(g, issuer:token(claims, { type = "JWT" })).status)
    end
  end)

  it("wants tokens of RFC 9068, when told so", function()
    local g = gateway { rfc9068 = true }
    assert.equal(200, ask(g, issuer:token { client_id = "c" }).status)
    expect_refused(g, issuer:token(), "lacks a claim")
    expect_refused(g, issuer:token({ client_id = "c" }, { type = "JWT" }), "type")
  end)

  it("is not fooled by what a token says of keys", function()
    local mine, asked = crypto.generate "ES256", test.upstream { status = 200 }
    local g = gateway()
    local jwk = mine:jwk()
    local url = asked.url .. "/jwks"
    for _, header in ipairs { { jwk = jwk }, { jku = url }, { x5u = url }, { x5c = { "MIIB" } }, {} } do
      expect_refused(g, issuer:token({}, { key = mine, header = header }), "key")
      expect_refused(g, issuer:token({}, { key = mine, kid = issuer.key:thumbprint(), header = header }), "signature")
    end
    for _, kid in ipairs { "../../etc/passwd", "' or 1=1 --", "\0", ("k"):rep(4000) } do
      expect_refused(g, issuer:token({}, { kid = kid }), "key")
    end
    expect_refused(g, issuer:token { iss = asked.url }, "another issuer")
    assert.equal(0, #asked.requests)
  end)

  it("is not fooled by algorithms", function()
    local rsa = test.issuer { algorithm = "RS256" }
    local g = gateway { issuer = rsa.url, algorithms = { "RS256", "HS256" } }
    assert.equal(200, ask(g, rsa:token()).status)
    local jwk = json.encode(rsa.key:jwk())
    for _, secret in ipairs { jwk, rsa.key:jwk().n } do
      local key = crypto.secret(secret)
      expect_refused(g, rsa:token({}, { key = key, algorithm = "HS256", kid = rsa.key:thumbprint() }), "")
    end
    local payload = rsa:token():match "%.(.-)%."
    for _, alg in ipairs { "none", "None", "NONE", "nOnE" } do
      local header = crypto.base64url(json.encode { alg = alg, typ = "JWT" })
      expect_refused(g, header .. "." .. payload .. ".", "")
    end
    local head, _, signature = rsa:token():match "^(.-)%.(.-)%.(.*)$"
    expect_refused(g, head .. "." .. crypto.base64url '{"sub":"root"}' .. "." .. signature, "signature")
  end)

  it("refuses doubled claims, deep and huge tokens", function()
    local g = gateway()
    local jwt = require "demilune.jwt"
    local function signed(text)
      return jwt.sign(text, issuer.key, { algorithm = "ES256", kid = issuer.key:thumbprint() })
    end
    local plain = ('{"iss":"%s","aud":"api","exp":%d,"sub":"ann"'):format(issuer.url, math.floor(time.now()) + 100)
    assert.equal(200, ask(g, signed(plain .. "}")).status)
    expect_refused(g, signed(plain .. ',"aud":"other"}'), "")
    expect_refused(g, signed(plain .. ',"sub":"root"}'), "")
    expect_refused(g, signed(plain .. ',"x":' .. ("["):rep(100) .. ("]"):rep(100) .. "}"), "")
    expect_refused(g, signed(plain .. ',"x":"' .. ("x"):rep(14000) .. '"}'), "too large")
    expect_refused(g, "..", "malformed")
    expect_refused(g, ("."):rep(1000), "malformed")
  end)

  it("finds faults of the configuration", function()
    local function fault(config, want)
      local text = test.faults { plugins = { { name = "oauth2", config = config } } }
      assert.truthy(text and text:find(want, 1, true), want .. " is not in " .. tostring(text))
    end
    fault({}, "issuer: missing")
    fault({ issuer = "https://id.example" }, "audience: missing")
    fault({ issuer = "id", audience = "x" }, "issuer: no URL")
    fault({ issuer = { { issuer = "https://a.example", audience = "x" }, { issuer = "https://b.example" } } },
      "issuer[1].audience: missing")
    fault({ issuer = "https://a.example", audience = "x", keys = { { file = "/nowhere/key" } } },
      "keys[0]: /nowhere/key")
    fault({ issuer = "https://a.example", audience = "x", algorithms = { "none" } }, "algorithms[0]")
    fault({ issuer = "https://a.example", audience = "x", login = {} }, "client_id")
    fault({ issuer = "https://a.example", audience = "x", ca = "/nowhere/ca" }, "ca: /nowhere/ca")
    fault({ issuer = "https://a.example", audience = "x", anonymous = "nobody" }, "anonymous")
    fault({ issuer = "https://a.example", audience = "x", introspection = { client_id = "c" } }, "client_secret")
  end)
end)
