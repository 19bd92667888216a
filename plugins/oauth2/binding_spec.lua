-- SPDX-License-Identifier: Apache-2.0

-- Tokens that are bound to a key: by DPoP proofs (RFC 9449), and by client certificates (RFC 8705; the connection's part
-- of that is in spec/gate/oauth2_spec.lua).

package.path = "./?.lua;" .. package.path

local flood = require "spec.support.flood"
local crypto = require "demilune.crypto"
local jwt = require "demilune.jwt"
local socket = require "demilune.socket"
local test = require "demilune.test"
local time = require "demilune.time"

describe("oauth2 with tokens that are bound", function()
  local issuer, key, token, g

  before_each(function()
    issuer, key = test.issuer(), crypto.generate "ES256"
    token = issuer:token { cnf = { jkt = key:thumbprint() } }
    g = test.gateway { plugins = { { name = "oauth2", config = { issuer = issuer.url, audience = "api" } } } }
  end)

  local function proof(claims, options)
    options = options or {}
    local all = {
      jti = crypto.hex(crypto.random(16)), htm = "GET", htu = "http://" .. g.address .. "/orders",
      iat = math.floor(time.now()), ath = crypto.base64url(crypto.digest("sha256", token)),
    }
    for name, value in pairs(claims or {}) do
      all[name] = value or nil
    end
    return jwt.sign(all, options.key or key, {
      algorithm = "ES256", type = options.type or "dpop+jwt", header = { jwk = options.jwk or key:jwk() },
    })
  end

  local function ask(value, scheme, path)
    return g:get(path or "/orders?page=1", { headers = { Authorization = (scheme or "DPoP ") .. token, DPoP = value } })
  end

  local function expect_refused(response, error)
    assert.equal(401, response.status)
    local challenge = response.headers["www-authenticate"]
    assert.truthy(challenge:find('^DPoP error="' .. error .. '"'), challenge)
    assert.truthy(challenge:find('algs="ES256', 1, true))
  end

  it("lets a token pass with a proof of its key, for each request anew", function()
    for _ = 1, 3 do
      assert.equal(200, ask(proof()).status)
    end
    assert.equal(200, ask(proof { htu = "HTTP://" .. g.address .. "/orders?x=1" }).status)
    assert.equal(200, ask(proof(), "dpop ").status)
  end)

  it("refuses it without one, and as a bearer token", function()
    expect_refused(ask(nil), "invalid_dpop_proof")
    expect_refused(ask(proof(), "Bearer "), "invalid_token")
    expect_refused(ask({ proof(), proof() }), "invalid_dpop_proof")
    expect_refused(ask "x.y.z", "invalid_dpop_proof")
  end)

  it("takes a proof once", function()
    local one = proof()
    assert.equal(200, ask(one).status)
    expect_refused(ask(one), "invalid_dpop_proof")
  end)

  it("knows proofs that it took, whatever floods the stores, and takes none that it could not know again", function()
    g = test.gateway {
      plugins = { { name = "oauth2", config = { issuer = issuer.url, audience = "api" } } },
      config = { stores = { { name = "default", size = "1MiB" }, { name = "marks", size = "64KiB" } } },
    }
    local one = proof()
    assert.equal(200, ask(one).status)
    flood.store("default", 1)
    expect_refused(ask(one), "invalid_dpop_proof")
    flood.marks(30)
    local response = ask(proof())
    assert.same({ 503, "10" }, { response.status, response.headers["retry-after"] })
    expect_refused(ask(one), "invalid_dpop_proof")
    test.clock.advance(31)
    assert.equal(200, ask(proof()).status)
  end)

  it("takes a proof whose clock is a little ahead, once", function()
    local one = proof { iat = math.floor(time.now()) + 4 }
    assert.equal(200, ask(one).status)
    test.clock.advance(63)
    expect_refused(ask(one), "invalid_dpop_proof")
  end)

  it("refuses a proof that shows anything private of a key", function()
    for _, name in ipairs { "d", "p", "oth", "k" } do
      local jwk = key:jwk()
      jwk[name] = "AAAA"
      expect_refused(ask(proof(nil, { jwk = jwk })), "invalid_dpop_proof")
    end
  end)

  it("knows a place by all of its spellings", function()
    for path, named in pairs { ["/a%2fb"] = "/a%2fb", ["/a%2Fc"] = "/a%2fc", ["/%6frders"] = "/orders",
      ["/orders"] = "/%6Frders" } do
      assert.equal(200, ask(proof { htu = "http://" .. g.address .. named }, nil, path).status, path)
    end
    expect_refused(ask(proof { htu = "http://" .. g.address .. "/a/b" }, nil, "/a%2fb"), "invalid_dpop_proof")
  end)

  it("refuses a proof where the request does not say which host it asks", function()
    for _, htu in ipairs { "http://" .. g.address .. "/orders", "/orders" } do
      local s = assert(socket.connect(g.address))
      s:write(("GET /orders HTTP/1.0\r\nAuthorization: DPoP %s\r\nDPoP: %s\r\n\r\n"):format(token, proof { htu = htu }))
      assert.matches("^HTTP/1.1 401", s:read_all(10000))
      s:close()
    end
  end)

  it("refuses proofs of other requests, tokens, times and keys", function()
    assert.equal(200, ask(proof()).status)
    local other, now = crypto.generate "ES256", math.floor(time.now())
    for _, case in ipairs { { { htm = "POST" } }, { { htu = "http://" .. g.address .. "/other" } },
      { { htu = "https://" .. g.address .. "/orders" } }, { { htu = 7 } }, { { iat = now - 100 } },
      { { iat = now + 100 } }, { { ath = crypto.base64url(crypto.digest("sha256", "x")) } }, { { ath = false } },
      { { jti = false } },
      { { jti = ("x"):rep(1000) } }, { {}, { key = other, jwk = other:jwk() } }, { {}, { key = other } },
      { {}, { type = "JWT" } }, { {}, { jwk = { kty = "oct", k = "c2VjcmV0" } } } } do
      expect_refused(ask(proof(case[1], case[2])), "invalid_dpop_proof")
    end
  end)

  it("refuses a token that is bound to nothing as one for DPoP", function()
    token = issuer:token()
    assert.equal(401, ask(proof()).status)
    assert.equal(200, ask(nil, "Bearer ").status)
  end)

  it("knows the binding of opaque tokens, too", function()
    g = test.gateway { plugins = { { name = "oauth2", config = {
      introspection = { client_id = "client", client_secret = "secret", endpoint = issuer.url .. "/introspect" },
    } } } }
    token = issuer:token({ cnf = { jkt = key:thumbprint() } }, { opaque = true })
    assert.equal(200, ask(proof()).status)
    expect_refused(ask(nil), "invalid_dpop_proof")
  end)

  it("refuses a token of a client certificate on a connection that has shown none", function()
    token = issuer:token { cnf = { ["x5t#S256"] = ("A"):rep(43) } }
    local response = ask(nil, "Bearer ")
    assert.equal(401, response.status)
    assert.truthy(response.headers["www-authenticate"]:find("another client certificate", 1, true))
  end)

  it("lets the anonymous consumer pass without a good token, but never with claims", function()
    g = test.gateway {
      upstream = test.upstream(function(request)
        return 200, {}, (request.headers["x-consumer"] or "-") .. (request.headers["x-user"] or "-")
      end),
      consumers = { { name = "guest" } },
      plugins = { { name = "oauth2", config = {
        issuer = issuer.url, audience = "api", anonymous = "guest", claims_to_headers = { sub = "X-User" },
      } } },
    }
    local function body(value)
      return g:get("/", { headers = { Authorization = value, ["X-User"] = "root" } }).body
    end
    assert.equal("guest-", body(nil))
    assert.equal("guest-", body "Bearer a.b.c")
    assert.equal("-ann", body("Bearer " .. issuer:token { sub = "ann" }))
  end)
end)
