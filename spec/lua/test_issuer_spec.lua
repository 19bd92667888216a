-- SPDX-License-Identifier: Apache-2.0

-- test.issuer: what it signs can be verified by what it publishes, while its keys rotate; and the flows of OAuth 2.0 that
-- plugins go through.

local crypto = require "demilune.crypto"
local http = require "demilune.http"
local json = require "demilune.json"
local jwt = require "demilune.jwt"
local test = require "demilune.test"
local url = require "demilune.url"

local BASIC = { authorization = "Basic " .. crypto.base64 "client:secret" }

local function get(where)
  return http.get(where):json()
end

-- A form to an endpoint: the value of its answer, and the status.
local function post(where, form, headers)
  local all = { ["content-type"] = "application/x-www-form-urlencoded" }
  for name, value in pairs(headers or {}) do
    all[name] = value
  end
  local response = http.post(where, { body = url.query(form), headers = all })
  return response:json(), response.status
end

describe("test.issuer", function()
  local issuer

  before_each(function()
    issuer = test.issuer()
  end)

  -- Claims of a token by the keys that are published now.
  local function verified(token, options)
    options = options or {}
    options.keys = jwt.keys(get(issuer.url .. "/jwks"))
    options.algorithms, options.issuer = { "ES256" }, issuer.url
    options.audience = options.audience or "api"
    return jwt.verify(token, options)
  end

  it("publishes where everything is, and the keys of its tokens", function()
    local metadata = get(issuer.url .. "/.well-known/openid-configuration")
    assert.equal(issuer.url, metadata.issuer)
    assert.equal(issuer.url .. "/jwks", metadata.jwks_uri)
    assert.same(metadata, get(issuer.url .. "/.well-known/oauth-authorization-server"))
    local claims = assert(verified(issuer:token { sub = "ann", scope = "read" }, { type = "at+jwt" }))
    assert.same({ "ann", "read", 300 }, { claims.sub, claims.scope, claims.exp - claims.iat })
    assert.equal(1, issuer:count "jwks")
  end)

  it("rotates its keys, and forgets the old ones when told to", function()
    local old = issuer:token()
    issuer:rotate()
    local new = issuer:token()
    assert.truthy(verified(old))
    assert.truthy(verified(new))
    issuer:forget()
    assert.same({ nil, "unknown_key" }, { verified(old) })
    assert.truthy(verified(new))
  end)

  it("makes tokens that are wrong in any way", function()
    local function word(...)
      return (select(2, verified(issuer:token(...))))
    end
    assert.equal("expired", word({}, { lifetime = -1 }))
    assert.equal("audience", word { aud = "others" })
    assert.equal("issuer", word { iss = "https://other.example" })
    assert.equal("missing_claim", word { exp = json.null })
    assert.equal("unknown_key", word({}, { key = crypto.generate "ES256" }))
    assert.equal("signature", word({}, { key = crypto.generate "ES256", kid = issuer.key:thumbprint() }))
  end)

  it("gives tokens to clients, and says what it knows of them", function()
    local where = issuer.url .. "/token"
    local tokens, status = post(where, { grant_type = "client_credentials", scope = "read" }, BASIC)
    assert.equal(200, status)
    assert.equal("client", verified(tokens.access_token).sub)
    tokens = post(where, { grant_type = "client_credentials", client_id = "client", client_secret = "secret" })
    local known = post(issuer.url .. "/introspect", { token = tokens.access_token }, BASIC)
    assert.same({ true, "client", "api" }, { known.active, known.client_id, known.aud })
    test.clock.advance(301)
    assert.same({ active = false }, post(issuer.url .. "/introspect", { token = tokens.access_token }, BASIC))
    assert.equal(401, select(2, post(issuer.url .. "/introspect", { token = "x" })))
    assert.equal(401, select(2, post(where, { grant_type = "client_credentials", client_id = "client" })))
    assert.equal(400, select(2, post(where, { grant_type = "password" }, BASIC)))
  end)

  it("tells of opaque tokens, and no more of revoked ones", function()
    local token = issuer:token({ sub = "ann" }, { opaque = true })
    assert.is_nil(token:find(".", 1, true))
    assert.equal("ann", post(issuer.url .. "/introspect", { token = token }, BASIC).sub)
    issuer:revoke(token)
    assert.is_false(post(issuer.url .. "/introspect", { token = token }, BASIC).active)
  end)

  local VERIFIER = ("v"):rep(43)

  -- The code that the authorization endpoint redirects with.
  local function code_of(more)
    local query = {
      client_id = "client", redirect_uri = "https://app.example/back?a=1", response_type = "code", state = "s t",
      scope = "openid read", nonce = "n", code_challenge_method = "S256",
      code_challenge = crypto.base64url(crypto.digest("sha256", VERIFIER)),
    }
    for name, value in pairs(more or {}) do
      query[name] = value
    end
    local response = http.get(issuer.url .. "/authorize?" .. url.query(query))
    assert.equal(302, response.status)
    local to = response.headers.location
    assert.matches("https://app.example/back?a=1&", to, 1, true)
    local values = url.parse_query(to:match "%?(.*)$")
    assert.equal("s t", values.state)
    return values.code, values.error
  end

  local function redeem(code, verifier, client)
    return post(issuer.url .. "/token", { grant_type = "authorization_code", code = code, code_verifier = verifier,
      redirect_uri = "https://app.example/back?a=1" }, client or BASIC)
  end

  it("logs somebody in, by a code with PKCE that is good for once", function()
    local code = code_of()
    local tokens, status = redeem(code, VERIFIER)
    assert.equal(200, status)
    assert.equal("user", verified(tokens.access_token).sub)
    local claims = verified(tokens.id_token, { audience = "client" })
    assert.same({ "user", "n" }, { claims.sub, claims.nonce })
    assert.equal("user", http.get(issuer.url .. "/userinfo",
      { headers = { authorization = "Bearer " .. tokens.access_token } }):json().sub)
    assert.same({ { error = "invalid_grant" }, 400 }, { redeem(code, VERIFIER) })
    assert.same({ { error = "invalid_grant" }, 400 }, { redeem(code_of(), "another") })
    assert.same({ { error = "invalid_grant" }, 400 }, { redeem(code_of(), nil) })
    assert.equal("invalid_request", select(2, code_of { code_challenge_method = "plain" }))
  end)

  it("gives another refresh token for each", function()
    local first = redeem(code_of(), VERIFIER).refresh_token
    local function refresh(token)
      return post(issuer.url .. "/token", { grant_type = "refresh_token", refresh_token = token }, BASIC)
    end
    local second = refresh(first).refresh_token
    assert.is_string(second)
    assert.same({ { error = "invalid_grant" }, 400 }, { refresh(first) })
    assert.is_string(refresh(second).access_token)
  end)

  it("fails as it is told to", function()
    issuer:script("jwks", { status = 503 })
    assert.equal(503, http.get(issuer.url .. "/jwks").status)
    issuer:script("jwks", { stall = "head" })
    assert.same({ nil, "timeout" }, { http.get(issuer.url .. "/jwks", { timeout = 0.05 }) })
    issuer:script("jwks", nil)
    assert.equal(200, http.get(issuer.url .. "/jwks").status)
    assert.equal(3, issuer:count "jwks")
    assert.has_error(function() test.issuer { algoritm = "RS256" } end, 'test.issuer: there is no option "algoritm"')
  end)
end)
