-- SPDX-License-Identifier: Apache-2.0

-- Texts that only the gateway can read and make: encrypted, and every change is noticed. The first of several secrets
-- seals, all of them open, so that secrets can be changed while what they have sealed is still about.

local crypto = require "demilune.crypto"

local Seal = {}
Seal.__index = Seal

local CIPHER = "aes-256-gcm"
local NONCE = 12

-- purpose: what is sealed for one purpose is nothing for another.
function Seal.new(secrets, purpose)
  local keys = {}
  for i, secret in ipairs(secrets) do
    keys[i] = assert(crypto.hkdf("sha256", secret, { info = purpose, length = 32 }))
  end
  return setmetatable({ keys = keys, purpose = purpose }, Seal)
end

-- Characters of base64url.
function Seal:seal(text)
  local nonce = crypto.random(NONCE)
  return crypto.base64url(nonce .. assert(crypto.seal(CIPHER, self.keys[1], nonce, text, self.purpose)))
end

-- nil for what was not sealed so.
function Seal:open(sealed)
  local bytes = crypto.unbase64url(sealed)
  if not bytes or #bytes < NONCE + 16 then
    return nil
  end
  local nonce, rest = bytes:sub(1, NONCE), bytes:sub(NONCE + 1)
  for _, key in ipairs(self.keys) do
    local text = crypto.open(CIPHER, key, nonce, rest, self.purpose)
    if text then
      return text
    end
  end
  return nil
end

return Seal
