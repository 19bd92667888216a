-- SPDX-License-Identifier: Apache-2.0

-- What a token costs beside the signature in it, in CPU time of this thread:
--
--   build/release/demilune test spec/bench/tokens.lua
--
-- "OpenSSL" is the bare signature by demilune.crypto: a digest and EVP_PKEY_verify with a context that is
-- ready, the least that OpenSSL can do it for. "token" is all of verifier:verify: coding, header, key,
-- signature, claims, their Lua table.

-- luacheck: globals it

local crypto = require "demilune.crypto"
local jwt = require "demilune.jwt"

local CALLS, ROUNDS = 400, 25

local CLAIMS = {
  iss = "https://id.example.com", aud = "orders", sub = "248289761001", scope = "orders:read orders:write",
  jti = "cdd3f9b8", client_id = "web",
}

local function microseconds(f)
  local began = os.clock()
  for _ = 1, CALLS do
    f()
  end
  return (os.clock() - began) / CALLS * 1e6
end

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

it("a token beside its signature", function()
  print(("\n%-8s %12s %12s %8s"):format("", "OpenSSL us", "token us", "ratio"))
  for _, algorithm in ipairs { "HS256", "RS256", "PS256", "ES256", "EdDSA" } do
    local key = crypto.generate(algorithm)
    local token = jwt.sign(CLAIMS, key, { algorithm = algorithm, lifetime = 3600, kid = "2026-11" })
    local verifier = jwt.verifier {
      algorithms = { algorithm }, keys = jwt.keys(key), issuer = CLAIMS.iss, audience = CLAIMS.aud,
    }
    local text, signature = token:match "^(.*)%.([^.]*)$"
    signature = crypto.unbase64url(signature)
    local bare, whole, ratios = {}, {}, {}
    for i = 1, ROUNDS do
      bare[i] = microseconds(function() assert(key:verify(algorithm, text, signature)) end)
      whole[i] = microseconds(function() assert(verifier:verify(token)) end)
      ratios[i] = whole[i] / bare[i]
    end
    print(("%-8s %12.2f %12.2f %8.2f"):format(algorithm, median(bare), median(whole), median(ratios)))
  end
end)
