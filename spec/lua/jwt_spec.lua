-- SPDX-License-Identifier: Apache-2.0

-- Tokens that are made here and everything that must not pass. Signatures against vectors of others are in
-- wycheproof_spec.lua.

local crypto = require "demilune.crypto"
local json = require "demilune.json"
local jwt = require "demilune.jwt"
local test = require "demilune.test"
local time = require "demilune.time"

local EC = crypto.generate "ES256"
local SECRET = assert(crypto.secret(("k"):rep(32)))

local b64 = crypto.base64url

-- A token of any parts, signed with HS256 whatever its header says.
local function forge(header, payload, key)
  local text = b64(header) .. "." .. b64(payload)
  return text .. "." .. b64((key or SECRET):sign("HS256", text))
end

local function verifier(options)
  local all = { algorithms = { "HS256", "ES256" }, keys = assert(jwt.keys { SECRET, EC }) }
  for name, value in pairs(options or {}) do
    all[name] = value
  end
  return jwt.verifier(all)
end

local function word_of(token, options)
  local claims, err = verifier(options):verify(token)
  assert.is_nil(claims)
  return err
end

local function good(claims, options)
  options = options or {}
  options.algorithm = options.algorithm or "HS256"
  options.lifetime = options.lifetime or 60
  return jwt.sign(claims or {}, options.key or SECRET, options)
end

local SIMPLE = '{"exp":99999999999}'

describe("jwt: signing and verifying", function()
  for _, algorithm in ipairs {
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
    "EdDSA", "Ed25519",
  } do
    it(algorithm, function()
      local key = crypto.generate(algorithm)
      local token = jwt.sign({ sub = "me", n = 2 ^ 53 }, key, { algorithm = algorithm, lifetime = 60, kid = "k1" })
      local claims, facts = jwt.verify(token, { keys = jwt.keys(key), algorithms = { algorithm } })
      assert.equal("me", claims.sub)
      assert.equal(2 ^ 53, claims.n)
      assert.same({ algorithm = algorithm, kid = "k1", expires = claims.exp, payload = facts.payload }, facts)
      assert.same(claims, json.decode(facts.payload))
      assert.equal(60, claims.exp - claims.iat)
      -- The last but one: the last character has bits that don't count.
      local at = #token - 2
      local changed = token:sub(1, at - 1) .. (token:sub(at, at) == "A" and "B" or "A") .. token:sub(at + 1)
      assert.equal("signature", select(2, jwt.verify(changed, { keys = jwt.keys(key), algorithms = { algorithm } })))
      local public = key:jwk()
      if public then -- what it publishes verifies, and signs nothing
        local keys = assert(jwt.keys { keys = { public } })
        assert.is_table((jwt.verify(token, { keys = keys, algorithms = { algorithm } })))
        local reader = assert(crypto.key(public))
        assert.is_false(reader.is_private)
        assert.has_error(function() reader:sign(algorithm, "x") end)
        assert.equal(reader:thumbprint(), key:thumbprint())
      end
    end)
  end

  it("verifies bytes where there are no claims", function()
    local token = jwt.sign("any \0 bytes", EC, { algorithm = "ES256" })
    assert.equal("any \0 bytes", (verifier { raw = true }:verify(token)))
    assert.equal("malformed", word_of(token))
  end)

  it("reads without verifying", function()
    local parts = jwt.decode(good { sub = "me" })
    assert.equal("HS256", parts.header.alg)
    assert.equal("JWT", parts.header.typ)
    assert.equal("me", parts.claims.sub)
    assert.equal(32, #parts.signature)
    assert.is_nil(jwt.decode(b64 '{"alg":"x"}' .. "." .. b64 "[1]" .. ".").claims)
    assert.equal("malformed", select(2, jwt.decode "a.b"))
    assert.equal("too_large", select(2, jwt.decode(("a"):rep(70000))))
  end)

  it("computes the thumbprint of RFC 7638, 3.1", function()
    local key = assert(crypto.key {
      kty = "RSA", e = "AQAB", alg = "RS256", kid = "2011-04-29",
      n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi"
        .. "FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgn"
        .. "Yb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqb"
        .. "w0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    })
    assert.equal("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", key:thumbprint())
  end)

  it("leaves the caller's claims as they are", function()
    local claims = { sub = "me" }
    good(claims)
    assert.same({ sub = "me" }, claims)
  end)

  it("says what a caller has done wrong", function()
    assert.has_error(function() jwt.verifier { keys = jwt.keys(EC) } end,
      'a verifier wants a list of algorithms: algorithms = { "RS256" }')
    assert.has_error(function() jwt.verifier { algorithms = { "none" } } end, 'no such signature algorithm: "none"')
    assert.has_error(function() jwt.verifier { algorithms = { "ES256" }, isuer = "x" } end,
      'the options of a verifier has no field "isuer", did you mean "issuer"?')
    assert.has_error(function() jwt.verifier { algorithms = { "ES256" }, skew = -1 } end)
    assert.has_error(function() jwt.sign({}, EC, { algorithm = "ES384" }) end)
    assert.has_error(function() verifier():verify(nil) end)
  end)
end)

describe("jwt: what does not pass", function()
  it("is another algorithm than those of the list", function()
    local none = b64 '{"alg":"none"}' .. "." .. b64 '{"exp":99999999999}' .. "."
    assert.equal("algorithm", word_of(none))
    assert.equal("algorithm", word_of(forge('{"alg":"none"}', SIMPLE)))
    assert.equal("algorithm", word_of(forge('{"alg":"NONE"}', SIMPLE)))
    assert.equal("algorithm", word_of(forge('{"alg":""}', SIMPLE)))
    assert.equal("algorithm", word_of(forge('{}', SIMPLE)))
    assert.equal("algorithm", word_of(forge('{"alg":"hs256"}', SIMPLE)))
    assert.equal("algorithm", word_of(forge('{"alg":"HS256"}', SIMPLE), { algorithms = { "ES256" } }))
    assert.equal("malformed", word_of(forge('{"alg":null}', SIMPLE)))
    assert.equal("malformed", word_of(forge('{"alg":["HS256"]}', SIMPLE)))
  end)

  it("is a public key taken for a secret", function()
    local rsa = crypto.generate "RS256"
    local pem = crypto.unbase64url(rsa:jwk().n) -- whatever bytes of it an attacker can know
    local token = forge('{"alg":"HS256"}', SIMPLE, crypto.secret(pem))
    local all = { "HS256", "RS256" }
    assert.equal("unknown_key", word_of(token, { keys = jwt.keys(rsa), algorithms = all }))
    -- Also where the algorithm has nothing but keys of another kind or curve.
    assert.equal("unknown_key", word_of(good({}, { algorithm = "ES256", key = EC }),
      { keys = jwt.keys(crypto.generate "ES384"), algorithms = { "ES256", "ES384" } }))
    assert.has_error(function() EC:verify("ES384", "", "") end)
  end)

  it("brings its own key", function()
    local other = crypto.generate "ES256"
    for _, name in ipairs { "jwk", "jku", "x5u", "x5c", "x5t" } do
      local value = name == "jwk" and other:jwk() or name == "x5c" and { "MII" } or "https://evil.example/"
      local header = { [name] = value }
      local token = good({}, { algorithm = "ES256", key = other, header = header })
      assert.equal("signature", word_of(token))
      -- And such a member does not matter where the key is ours.
      assert.is_table((verifier():verify(good({}, { algorithm = "ES256", key = EC, header = header }))))
    end
  end)

  it("names a key that is not there", function()
    local keys = assert(jwt.keys { { key = EC, kid = "a" }, { key = SECRET, kid = "../../etc/passwd" } })
    assert.is_true(keys:has "a")
    assert.is_false(keys:has "b")
    assert.equal("unknown_key", word_of(good({}, { kid = "a" }), { keys = keys })) -- HS256 with the EC key's id
    assert.equal("unknown_key", word_of(good({}, { kid = "' or 1=1 --" }), { keys = keys }))
    assert.is_table((verifier { keys = keys }:verify(good({}, { kid = "../../etc/passwd" }))))
    assert.is_table((verifier { keys = keys }:verify(good())))
    local escaped = forge('{"alg":"HS256","kid":"..\\/..\\u002fetc/passwd"}', SIMPLE)
    assert.is_table((verifier { keys = keys }:verify(escaped)))
  end)

  it("is for another use than the key", function()
    local jwk = EC:jwk()
    local token = good({}, { algorithm = "ES256", key = EC })
    local function keys(changes)
      local copy = {}
      for name, value in pairs(jwk) do copy[name] = value end
      for name, value in pairs(changes) do copy[name] = value end
      return assert(jwt.keys { keys = { copy } })
    end
    assert.is_table((verifier { keys = keys { use = "sig", key_ops = { "verify" }, alg = "ES256" } }:verify(token)))
    for _, changes in ipairs { { use = "enc" }, { key_ops = { "encrypt" } }, { alg = "ES384" }, { alg = "RS256" },
      { crv = "P-384" }, { kty = "OKP" }, { kty = "oct" }, { x = b64(("\1"):rep(32)) }, { x = jwk.x .. "=" },
      { x = jwk.x:sub(1, -3) }, { y = json.null } } do
      local set = keys(changes)
      assert.equal(0, set.count)
      assert.is_string(set.passed_over)
      assert.equal("unknown_key", word_of(token, { keys = set }))
    end
  end)

  it("is not in the one form of its coding", function()
    local token = good()
    local header, payload, signature = token:match "^([^.]*)%.([^.]*)%.([^.]*)$"
    for _, text in ipairs {
      "", ".", "..", "...", header, header .. "." .. payload, token .. ".", token .. ".x", "." .. token, token .. "=",
      token .. " ", " " .. token, token .. "\n", header .. "=." .. payload .. "." .. signature,
      header:gsub("_", "/") .. "+." .. payload .. "." .. signature, header .. "." .. payload .. "\r\n." .. signature,
      header .. "\0." .. payload .. "." .. signature, header .. "." .. payload .. ".=" .. signature,
    } do
      assert.equal("malformed", word_of(text), text)
    end
    -- Bits to spare in the last character of 32 bytes.
    local last = ("AEIMQUYcgkosw048"):find(signature:sub(-1), 1, true)
    assert.truthy(last)
    local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    local at = alphabet:find(signature:sub(-1), 1, true)
    assert.equal("malformed", word_of(token:sub(1, -2) .. alphabet:sub(at + 1, at + 1)))
  end)

  it("is ECDSA's signature in another form", function()
    local text = b64 '{"alg":"ES256"}' .. "." .. b64(SIMPLE)
    local raw = EC:sign("ES256", text)
    assert.equal(64, #raw)
    assert.is_table((verifier():verify(text .. "." .. b64(raw))))
    local der = "0D\2 " .. raw:sub(1, 32) .. "\2 " .. raw:sub(33)
    for _, signature in ipairs {
      der, raw .. "\0", "\0" .. raw, raw:sub(1, 63), ("\0"):rep(64), ("\255"):rep(64), "",
    } do
      assert.equal("signature", word_of(text .. "." .. b64(signature)))
    end
  end)

  it("says something twice, or is no JSON", function()
    local function payload(text)
      return word_of(forge('{"alg":"HS256"}', text))
    end
    assert.equal("malformed", word_of(forge('{"alg":"none","alg":"HS256"}', SIMPLE)))
    assert.equal("malformed", word_of(forge('{"alg":"HS256","\\u0061lg":"HS256"}', SIMPLE)))
    assert.equal("malformed", word_of(forge('{"alg":"HS256","x":{"a":1,"a":2}}', SIMPLE)))
    assert.equal("malformed", word_of(forge('{"alg":"HS256"', SIMPLE)))
    assert.equal("malformed", word_of(forge('{"alg":"HS256"}}', SIMPLE)))
    assert.equal("malformed", word_of(forge('["HS256"]', SIMPLE)))
    assert.equal("malformed", word_of(forge('{"alg":"HS256","x":"\255"}', SIMPLE)))
    assert.equal("malformed", payload '{"exp":99999999999,"exp":1}')
    assert.equal("malformed", payload '{"exp":99999999999,"a":{"b":1,"b":1}}')
    assert.equal("malformed", payload '{"exp":99999999999}x')
    assert.equal("malformed", payload "[]")
    assert.equal("malformed", payload "")
    assert.equal("malformed", payload('{"exp":99999999999,"a":' .. ("["):rep(40) .. ("]"):rep(40) .. "}"))
    assert.equal("malformed", word_of(forge('{"alg":"HS256","a":' .. ("["):rep(40) .. ("]"):rep(40) .. "}", SIMPLE)))
    -- The same name in two objects is none of it.
    local twins = '{"a":{"a":1},"b":[{"a":1},{"a":1}],"exp":99999999999}'
    assert.is_table((verifier():verify(forge('{"alg":"HS256"}', twins))))
  end)

  it("is too large", function()
    local token = good { x = ("x"):rep(20000) }
    assert.equal("too_large", word_of(token))
    assert.is_table((verifier { max_size = 30000 }:verify(token)))
    assert.equal("too_large", word_of(good { x = ("x"):rep(60000) }, { max_size = 65536 }))
    local members = {}
    for i = 1, 600 do members["m" .. i] = i end
    assert.equal("malformed", word_of(good(members)))
  end)

  it("wants something that is not understood (crit)", function()
    local function header(more)
      return forge('{"alg":"HS256",' .. more .. "}", SIMPLE)
    end
    assert.equal("critical", word_of(header '"crit":["b64"],"b64":false'))
    assert.equal("critical", word_of(header '"crit":[]'))
    assert.equal("critical", word_of(header '"crit":"x","x":1'))
    assert.equal("critical", word_of(header '"crit":["x"],"x":1'))
    assert.equal("critical", word_of(header '"crit":["x"]', { critical = { "x" } })) -- named, and not there
    assert.equal("critical", word_of(header '"crit":["x","y"],"x":1,"y":1', { critical = { "x" } }))
    assert.is_table((verifier { critical = { "x" } }:verify(header '"crit":["x"],"x":1')))
    assert.is_table((verifier():verify(header '"x":1')))
  end)

  it("may be told as a text, and whether claims are there that matter", function()
    local lazy = verifier { noted = { "cnf", "nonce" } }
    local payload, expires, has_noted = lazy:verify_text(good { sub = "ann" })
    assert.same({ "ann", expires, false }, { json.decode(payload).sub, json.decode(payload).exp, has_noted })
    assert.is_true((select(3, lazy:verify_text(good { nonce = 1 }))))
    assert.is_false((select(3, lazy:verify_text(good { more = { nonce = 1 } }))))
    assert.same({ nil, "signature" }, { lazy:verify_text(good():sub(1, -6) .. "AAAAA") })
  end)

  it("is of another type", function()
    local options = { type = "at+jwt" }
    for _, type in ipairs { "at+jwt", "AT+JWT", "application/at+jwt" } do
      assert.is_table((verifier(options):verify(good({}, { type = type }))))
    end
    assert.equal("type", word_of(good(), options))
    assert.equal("type", word_of(forge('{"alg":"HS256"}', SIMPLE), options))
    assert.equal("type", word_of(good({}, { type = "xapplication/at+jwt" }), options))
    assert.is_table((verifier { type = { "JWT", "at+jwt" } }:verify(good())))
    local lax = { type = "at+jwt", untyped = true }
    assert.is_table((verifier(lax):verify(forge('{"alg":"HS256"}', SIMPLE))))
    assert.equal("type", word_of(good(), lax))
    assert.equal("type", word_of(forge('{"alg":"HS256","typ":""}', SIMPLE), lax))
  end)
end)

describe("jwt: claims", function()
  local function claims(text, options)
    local result, err, detail = verifier(options):verify(forge('{"alg":"HS256"}', text))
    return result and "fine" or err, detail
  end

  it("needs exp, unless the caller says what it needs", function()
    assert.same({ "missing_claim", "exp" }, { claims "{}" })
    assert.equal("fine", (claims("{}", { required = {} })))
    assert.same({ "missing_claim", "jti" }, { claims(SIMPLE, { required = { "exp", "jti" } }) })
    assert.equal("fine", (claims('{"jti":"1"}', { required = { "jti" } })))
  end)

  it("goes by the clock", function()
    local now = time.now()
    local function at(name, by, options)
      return (claims(('{"exp":99999999999,"%s":%.3f}'):format(name, now + by), options))
    end
    local function expiring(by, options)
      return (claims(('{"exp":%.3f}'):format(now + by), options))
    end
    assert.equal("fine", expiring(5))
    assert.equal("expired", expiring(0))
    assert.equal("expired", expiring(-5))
    assert.equal("fine", expiring(-5, { skew = 30 }))
    assert.equal("fine", at("nbf", 0))
    assert.equal("not_yet_valid", at("nbf", 5))
    assert.equal("fine", at("nbf", 5, { skew = 30 }))
    assert.equal("not_yet_valid", at("iat", 5))
    assert.equal("fine", at("iat", -50, { max_age = 60 }))
    assert.equal("too_old", at("iat", -70, { max_age = 60 }))
    assert.equal("fine", at("iat", -70, { max_age = 60, skew = 30 }))
    assert.same({ "missing_claim", "iat" }, { claims(SIMPLE, { max_age = 60 }) })
    local token, check = good({}, { lifetime = 60 }), verifier()
    assert.is_table((check:verify(token)))
    test.clock.advance(61)
    assert.equal("expired", select(2, check:verify(token)))
  end)

  it("wants times that are numbers", function()
    for _, value in ipairs { '"99999999999"', "null", "true", "[99999999999]", "{}" } do
      assert.same({ "bad_claim", "exp" }, { claims('{"exp":' .. value .. "}") })
      assert.same({ "bad_claim", "nbf" }, { claims('{"exp":99999999999,"nbf":' .. value .. "}") })
    end
    assert.equal("malformed", (claims '{"exp":1e999}'))
    assert.equal("expired", (claims '{"exp":-1}'))
    assert.same({ "bad_claim", "sub" }, { claims '{"exp":99999999999,"sub":1}' })
    assert.same({ "bad_claim", "jti" }, { claims '{"exp":99999999999,"jti":{}}' })
  end)

  it("knows who issued it", function()
    local function issuer(text, wanted)
      return claims('{"exp":99999999999' .. text .. "}", { issuer = wanted })
    end
    assert.equal("fine", (issuer(',"iss":"a"', "a")))
    assert.equal("fine", (issuer(',"iss":"b"', { "a", "b" })))
    assert.equal("issuer", (issuer(',"iss":"a/"', "a")))
    assert.equal("issuer", (issuer(',"iss":""', "a")))
    assert.same({ "missing_claim", "iss" }, { issuer("", "a") })
    assert.same({ "bad_claim", "iss" }, { issuer(',"iss":["a"]', "a") })
  end)

  it("knows whom it is for", function()
    local function audience(text, wanted)
      return claims('{"exp":99999999999' .. text .. "}", { audience = wanted })
    end
    assert.equal("fine", (audience(',"aud":"a"', "a")))
    assert.equal("fine", (audience(',"aud":["x","a"]', "a")))
    assert.equal("fine", (audience(',"aud":["x"]', { "a", "x" })))
    assert.equal("audience", (audience(',"aud":["x"]', "a")))
    assert.equal("audience", (audience(',"aud":[]', "a")))
    assert.same({ "missing_claim", "aud" }, { audience("", "a") })
    assert.same({ "bad_claim", "aud" }, { audience(',"aud":["a",1]', "a") })
    assert.same({ "bad_claim", "aud" }, { audience(',"aud":{"a":1}', "a") })
    -- One that is for somebody else is not for a caller who does not say who it is (RFC 7519, 4.1.3).
    assert.equal("audience", (audience ',"aud":"a"'))
    assert.equal("fine", (audience(',"aud":"a"', false)))
    assert.equal("fine", (audience ""))
  end)
end)

describe("jwt: key sets", function()
  it("come as text, as tables, as PEM and as lists", function()
    local jwk = EC:jwk()
    local token = good({}, { algorithm = "ES256", key = EC, kid = "k" })
    jwk.kid = "k"
    for _, source in ipairs { json.encode { keys = { jwk } }, { keys = { jwk } }, json.encode(jwk), jwk, EC,
      { EC, SECRET }, { { key = EC, kid = "k", algorithm = "ES256" } } } do
      local keys = assert(jwt.keys(source))
      assert.is_table((verifier():verify(token, keys)))
    end
  end)

  it("keep what can be used of a set", function()
    local small = { kty = "RSA", n = "AQAB", e = "AQAB" }
    local keys = assert(jwt.keys { keys = { { kty = "future", x = "y" }, EC:jwk(), small } })
    assert.equal(1, keys.count)
    assert.equal("an RSA key has 2048 bits at least", keys.passed_over)
    assert.equal(0, assert(jwt.keys '{"keys":[]}').count)
  end)

  it("hold no secret beside public keys", function()
    local secret = { kty = "oct", k = b64(("k"):rep(32)) }
    assert.equal(1, assert(jwt.keys { keys = { secret } }).count)
    local keys = assert(jwt.keys { keys = { secret, EC:jwk() } })
    assert.equal("unknown_key", word_of(good(), { keys = keys }))
  end)

  it("are refused when they are none", function()
    for _, source in ipairs { "{", '{"keys":{}}', '{"keys":[1]}', '{"keys":[],"keys":[]}', '{"keys":[]}x', "{}", "x",
      '{"kty":"RSA"}' } do
      local keys, err, detail = jwt.keys(source)
      assert.is_nil(keys, source)
      assert.equal("bad_key", err)
      assert.is_string(detail)
    end
    local many = {}
    for i = 1, 129 do many[i] = EC:jwk() end
    assert.equal("a set has 128 keys at most", select(3, jwt.keys { keys = many }))
    assert.has_error(function() jwt.keys(5) end)
  end)

  it("bound what a token without a key id may cost", function()
    local others = {}
    for i = 1, 4 do others[i] = crypto.generate "ES256" end
    others[5] = EC
    local token = good({}, { algorithm = "ES256", key = EC })
    assert.equal("signature", word_of(token, { keys = jwt.keys(others) }))
    local named = {}
    for i, key in ipairs(others) do named[i] = { key = key, kid = "k" .. i } end
    token = good({}, { algorithm = "ES256", key = EC, kid = "k5" })
    assert.is_table((verifier { keys = jwt.keys(named) }:verify(token)))
  end)
end)
