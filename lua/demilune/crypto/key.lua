-- SPDX-License-Identifier: Apache-2.0

-- Keys for signatures: RSA, EC (P-256, P-384, P-521), Ed25519, and secrets.
--
--   local key = crypto.key(pem)             a private or public key, or a certificate's; JWKs too
--   key:verify("RS256", text, signature)    true or false
--   key:sign("ES256", text)                 bytes
--   crypto.secret(bytes)  crypto.generate "ES256"
--
-- What is too weak is refused when it is loaded: RSA below 2048 bits, a point beside its curve. A key
-- signs only by an algorithm that fits it. ECDSA's signatures are r and s side by side, as in a JWS.

local ffi = require "ffi"
local border = require "demilune.ffi"
local json = require "demilune.json"

local C = border.C
local no_self = border.no_self

local M = {}

---@alias demilune.signing "HS256"|"HS384"|"HS512"|"RS256"|"RS384"|"RS512"|"PS256"|"PS384"|"PS512"|"ES256"|"ES384"|"ES512"|"EdDSA"|"Ed25519"

---@class demilune.key
---@field kind "oct"|"RSA"|"EC"|"OKP" as the kty of a JWK
---@field bits integer
---@field is_private boolean it can sign
local Key = { __name = "key" }
Key.__index = Key

local KINDS = { [0] = "oct", "RSA", "EC", "OKP" } -- enum dml_key_kind
local CURVES = { [256] = "P-256", [384] = "P-384", [521] = "P-521" }
local FORMS = { pem = C.DML_KEY_PEM, der = C.DML_KEY_DER, jwk = C.DML_KEY_JWK }
local ROOM = 2048

local why = ffi.new "const char *[1]"
local room = ffi.new("char[?]", ROOM)
local facts = ffi.new "struct dml_key_facts"
local text_in, signature_in = ffi.new "struct dml_slice", ffi.new "struct dml_slice"

local function wrap(pointer)
  C.dml_key_facts(pointer, facts)
  return setmetatable({
    key = ffi.gc(pointer, C.dml_key_free),
    kind = KINDS[facts.kind],
    bits = facts.bits,
    is_private = facts.is_private == 1,
  }, Key)
end

local function new(form, text, flags)
  why[0] = nil
  local pointer = C.dml_key_new(form, text, #text, flags, why)
  if pointer == nil then
    return nil, "bad_key", why[0] ~= nil and ffi.string(why[0]) or nil
  end
  return wrap(pointer)
end

-- The number of a name.
---@private
function M.signing(name)
  local number = type(name) == "string" and C.dml_signing(name, #name) or -1
  if number < 0 then
    border.raise(('no such signature algorithm: "%s"'):format(tostring(name)))
  end
  return number
end

-- The form of a text, by how it begins.
local function form_of(text)
  if text:find "^%s*{" then
    return C.DML_KEY_JWK
  end
  return C.DML_KEY_PEM
end

---Loads a key: PEM (PKCS#8, PKCS#1, SEC1, SubjectPublicKeyInfo, a certificate), a JWK as text or table,
---or DER where options.form says so.
---@param source string|table
---@param options? { form?: "pem"|"der"|"jwk", short?: boolean } short: a secret may be shorter than its digest
---@return demilune.key? key
---@return string? err "bad_key"
---@return string? detail a sentence that says nothing of the key
function M.load(source, options)
  local form = options and options.form
  local flags = options and options.short and C.DML_KEY_SHORT or 0
  if type(source) == "table" then
    local text, err, what = json.encode(source)
    if not text then
      return nil, "bad_key", ("it is no JWK: %s"):format(what or err)
    end
    return new(C.DML_KEY_JWK, text, flags)
  elseif type(source) ~= "string" then
    error("crypto.key wants a text or a JWK, not a " .. type(source), 2)
  end
  return new(form and (FORMS[form] or error(('no such form of a key: "%s"'):format(form), 2)) or form_of(source),
    source, flags)
end

---A secret for HS256 to HS512. It has as many bytes as the digest, unless options.short says that it need not.
---@param bytes string
---@param options? { short?: boolean }
---@return demilune.key? key
---@return string? err "bad_key"
---@return string? detail
function M.secret(bytes, options)
  if type(bytes) ~= "string" then
    error("crypto.secret wants a text, not a " .. type(bytes), 2)
  end
  return new(C.DML_KEY_BYTES, bytes, options and options.short and C.DML_KEY_SHORT or 0)
end

---A new key (RSA: 2048 bits, which takes some 0.1 s of this worker: not in a request).
---@param algorithm demilune.signing
---@return demilune.key
function M.generate(algorithm)
  local pointer = C.dml_key_make(M.signing(algorithm))
  if pointer == nil then
    error("OpenSSL has made no key", 2)
  end
  return wrap(pointer)
end

---Whether the key may be used with an algorithm: its kind, its curve, a secret's length.
---@param algorithm demilune.signing
---@return boolean
function Key:fits(algorithm)
  return C.dml_key_fits(self.key or no_self(), M.signing(algorithm)) == 1
end

local function fill(slice, text, what)
  if type(text) ~= "string" then
    border.raise(("%s wants a text, not a %s"):format(what, type(text)))
  end
  slice.ptr, slice.len = text, #text
  return slice
end

local function misfit(self, algorithm)
  border.raise(('a key of kind %s with %d bits is not for "%s"%s'):format(self.kind, self.bits, algorithm,
    self.is_private and "" or ", or can't sign"))
end

--- Is this the signature of the text?
---@param algorithm demilune.signing
---@param text string
---@param signature string
---@return boolean
function Key:verify(algorithm, text, signature)
  fill(text_in, text, "key:verify")
  fill(signature_in, signature, "key:verify")
  local rc = C.dml_key_verify(self.key or no_self(), M.signing(algorithm), text_in, signature_in)
  if rc < 0 then
    misfit(self, algorithm)
  end
  return rc == 1
end

--- Signs a text.
---@param algorithm demilune.signing
---@param text string
---@return string signature bytes
function Key:sign(algorithm, text)
  fill(text_in, text, "key:sign")
  local n = C.dml_key_sign(self.key or no_self(), M.signing(algorithm), text_in, room)
  if n < 0 then
    misfit(self, algorithm)
  end
  return ffi.string(room, n)
end

local function part(self, name)
  local n = C.dml_key_part(self.key or no_self(), name:byte(), room)
  if n < 0 then
    return nil
  end
  local text = ffi.new("char[?]", 2 * ROOM)
  return ffi.string(text, C.dml_encode(C.DML_CODING_BASE64_URL, ffi.string(room, n), n, text))
end

---The public part as a JWK, for a key set. A secret has none.
---@return table? jwk
function Key:jwk()
  if self.kind == "oct" then
    return nil
  elseif self.kind == "RSA" then
    return { kty = "RSA", n = part(self, "n"), e = part(self, "e") }
  elseif self.kind == "OKP" then
    return { kty = "OKP", crv = "Ed25519", x = part(self, "x") }
  end
  return { kty = "EC", crv = CURVES[self.bits], x = part(self, "x"), y = part(self, "y") }
end

-- RFC 7638: the members that a JWK must have, by name, with no blanks.
local MEMBERS = { RSA = { "e", "kty", "n" }, EC = { "crv", "kty", "x", "y" }, OKP = { "crv", "kty", "x" } }

---The thumbprint of the public part (RFC 7638, SHA-256), base64url. A secret has none.
---@return string? thumbprint
function Key:thumbprint()
  local jwk = self:jwk()
  if not jwk then
    return nil
  end
  local members = {}
  for i, name in ipairs(MEMBERS[self.kind]) do
    members[i] = ('"%s":"%s"'):format(name, jwk[name])
  end
  local text = "{" .. table.concat(members, ",") .. "}"
  local digest = ffi.string(room, C.dml_digest(C.DML_SHA256, text, #text, room))
  local out = ffi.new "char[64]"
  return ffi.string(out, C.dml_encode(C.DML_CODING_BASE64_URL, digest, #digest, out))
end

return M
