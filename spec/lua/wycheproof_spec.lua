-- SPDX-License-Identifier: Apache-2.0

-- The public vectors of Wycheproof (spec/data/wycheproof) for everything that demilune.crypto and
-- demilune.jwt do: each one has the result that it asks for, but for those that are named here.

local crypto = require "demilune.crypto"
local json = require "demilune.json"
local jwt = require "demilune.jwt"

local FOLDER = "spec/data/wycheproof/"

local function groups_of(name)
  local file = assert(io.open(FOLDER .. name .. ".json", "rb"))
  local text = file:read "*a"
  file:close()
  return assert(json.decode(text))
end

-- Calls accepts(group, fields...) for each test of a file, and wants what the test wants (nil: it could not
-- be tried). left_out: number → why. Gives how many ran.
local function run(name, accepts, left_out)
  local n = 0
  for _, group in ipairs(groups_of(name)) do
    for _, test in ipairs(group.tests) do
      local number, wanted = test[1], test[2]
      if not (left_out and left_out[number]) then
        local accepted = accepts(group, unpack(test, 3))
        n = n + (accepted ~= nil and 1 or 0)
        local fits = wanted == "a" or accepted == nil or accepted == (wanted == "v")
        assert.is_true(fits, ("%s %d: wanted %s"):format(name, number, wanted))
      end
    end
  end
  return n
end

local unhex = crypto.unhex

describe("Wycheproof: primitives", function()
  for name, sizes in pairs {
    aes_gcm = { [16] = "aes-128-gcm", [32] = "aes-256-gcm" },
    chacha20_poly1305 = { [32] = "chacha20-poly1305" },
  } do
    it(name, function()
      local others = 0
      local ran = run(name, function(_, key, nonce, aad, text, sealed, tag)
        key, nonce, aad, text, sealed, tag =
          unhex(key), unhex(nonce), unhex(aad), unhex(text), unhex(sealed), unhex(tag)
        local algorithm = sizes[#key]
        if not algorithm or #nonce ~= 12 or #tag ~= 16 then
          others = others + 1 -- a length that is not offered here: refused, whatever the vector says
          assert.is_false((pcall(function()
            assert(crypto.open(algorithm or "aes-192-gcm", key, nonce, sealed .. tag, aad))
          end)))
          return nil
        end
        local opened = crypto.open(algorithm, key, nonce, sealed .. tag, aad)
        local resealed = crypto.seal(algorithm, key, nonce, text, aad) == sealed .. tag
        assert.equal(opened ~= nil, resealed)
        return opened == text
      end)
      assert.is_true(ran > 60 and others > 0)
    end)
  end

  for _, digest in ipairs { "sha1", "sha256", "sha384", "sha512" } do
    it("hmac_" .. digest, function()
      local ran = run("hmac_" .. digest, function(group, key, text, tag)
        local mac = crypto.hmac(digest, unhex(key), unhex(text)):sub(1, group.tag_bits / 8)
        return crypto.equal(mac, unhex(tag))
      end)
      assert.is_true(ran > 160)
    end)

    it("hkdf_" .. digest, function()
      local ran = run("hkdf_" .. digest, function(_, secret, salt, info, length, key)
        local made = crypto.hkdf(digest, unhex(secret), { salt = unhex(salt), info = unhex(info), length = length })
        return made == unhex(key) and made ~= nil
      end)
      assert.is_true(ran > 80)
    end)
  end

  it("pbkdf2_sha256", function()
    local ran = run("pbkdf2_sha256", function(_, password, salt, iterations, length, key)
      local options = { digest = "sha256", iterations = iterations, length = length }
      return crypto.password.pbkdf2(unhex(password), unhex(salt), options) == unhex(key)
    end)
    assert.is_true(ran > 50)
  end)

  for name, algorithm in pairs {
    ecdsa_p1363_es256 = "ES256", ecdsa_p1363_es384 = "ES384", ecdsa_p1363_es512 = "ES512",
    ed25519 = "EdDSA", rsa_pkcs1_rs256 = "RS256", rsa_pkcs1_rs384 = "RS384",
    rsa_pss_ps256 = "PS256", rsa_pss_ps384 = "PS384", rsa_pss_ps512 = "PS512",
  } do
    it(name, function()
      local key, of
      local ran = run(name, function(group, text, signature)
        if of ~= group then
          key, of = assert(crypto.key(unhex(group.key), { form = "der" })), group
        end
        return key:verify(algorithm, unhex(text), unhex(signature))
      end)
      assert.is_true(ran > 100)
    end)
  end
end)

describe("Wycheproof: tokens", function()
  local ALL = {
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
  }
  local verifier = jwt.verifier { algorithms = ALL, raw = true }

  local function accepts(set, token)
    local keys = jwt.keys(set)
    return keys ~= nil and keys.count > 0 and verifier:verify(token, keys) ~= nil
  end

  it("json_web_signature", function()
    local es521 = 'the key\'s alg is "ES521", which is none (RFC 7518 has ES512): refused'
    local another = "the key's alg is PS256, the token's is PS384 (RFC 8725, 3.1): refused"
    local mark = "a question mark within base64url, which the vector wants to be passed over: refused"
    local same = "the text of 357, which is valid: the padding that it is about is not there"
    local left_out = {
      [346] = another, [350] = another, [347] = es521, [351] = es521, [372] = mark, [373] = mark,
      [367] = same, [370] = same,
    }
    local ran = run("json_web_signature", function(group, token)
      return accepts({ keys = { group.key } }, token)
    end, left_out)
    assert.equal(393, ran)
    for _, group in ipairs(groups_of "json_web_signature") do
      for _, test in ipairs(group.tests) do
        if (left_out[test[1]] or ""):find "refused$" then
          assert.is_false(accepts({ keys = { group.key } }, test[3]))
        end
      end
    end
  end)

  it("json_web_key", function()
    local ran = run("json_web_key", function(group, _, token)
      return accepts(group.key, token)
    end, { [4] = "two keys of one kid: an issuer that rotates may have them, and each is tried" })
    assert.equal(25, ran)
  end)
end)
