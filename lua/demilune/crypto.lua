-- SPDX-License-Identifier: Apache-2.0

-- Digests, MACs, encryption, random bytes, codings. Over OpenSSL.
--
--   crypto.digest("sha256", text)      raw bytes; crypto.hex makes text of them
--   crypto.hmac("sha256", key, text)
--   crypto.equal(a, b)                 in a time that does not tell where they differ
--   crypto.random(16)
--   crypto.seal("aes-256-gcm", key, nonce, text)   and crypto.open
--   crypto.key(pem)                    keys for signatures: demilune.crypto.key
--   crypto.password.verify(password, hash)         demilune.crypto.password

local ffi = require "ffi"
local border = require "demilune.ffi"
local key = require "demilune.crypto.key"

local C = border.C

---@class demilune.crypto
local M = {
  password = require "demilune.crypto.password",
  key = key.load,
  secret = key.secret,
  generate = key.generate,
}

---@alias demilune.digest "sha256"|"sha384"|"sha512"|"sha1"|"md5" # sha1 and md5 only for what is old and needs them
local DIGESTS = {
  md5 = C.DML_MD5, sha1 = C.DML_SHA1, sha256 = C.DML_SHA256, sha384 = C.DML_SHA384, sha512 = C.DML_SHA512,
}

---@alias demilune.aead "aes-128-gcm"|"aes-256-gcm"|"chacha20-poly1305"
local AEADS = {
  ["aes-128-gcm"] = C.DML_AES_128_GCM,
  ["aes-256-gcm"] = C.DML_AES_256_GCM,
  ["chacha20-poly1305"] = C.DML_CHACHA20_POLY1305,
}

local TAG = 16 -- bytes that a sealed text is longer

local digest_out = ffi.new "char[64]"
local hkdf_in = ffi.new "struct dml_hkdf"
local aead_in = ffi.new "struct dml_aead_input"

local function text_of(value, what)
  if type(value) ~= "string" then
    error(("%s wants a text, not a %s"):format(what, type(value)), 3)
  end
  return value
end

local function algorithm(name)
  return DIGESTS[name] or error(('no such digest: "%s"'):format(tostring(name)), 3)
end

local function result(n)
  if n < 0 then
    return border.failed(n)
  end
  return ffi.string(digest_out, n)
end

---The digest of a text, as raw bytes.
---@param name demilune.digest
---@param text string
---@return string? digest
---@return string? err "not_implemented" where this system's OpenSSL refuses the algorithm
function M.digest(name, text)
  text_of(text, "crypto.digest")
  return result(C.dml_digest(algorithm(name), text, #text, digest_out))
end

---HMAC (RFC 2104), as raw bytes. Compare with crypto.equal.
---@param name demilune.digest
---@param secret string
---@param text string
---@return string? mac
---@return string? err
function M.hmac(name, secret, text)
  text_of(secret, "crypto.hmac")
  text_of(text, "crypto.hmac")
  return result(C.dml_hmac(algorithm(name), secret, #secret, text, #text, digest_out))
end

---HKDF (RFC 5869): keys made of one secret that is random already. For passwords: crypto.password.
---@param name demilune.digest
---@param secret string
---@param options { salt?: string, info?: string, length: integer } info: what the key is for; length in bytes
---@return string? key
---@return string? err "limit" for more than 255 digests
function M.hkdf(name, secret, options)
  text_of(secret, "crypto.hkdf")
  local length, salt, info = options.length, options.salt or "", options.info or ""
  text_of(salt, "crypto.hkdf")
  text_of(info, "crypto.hkdf")
  if type(length) ~= "number" or length < 0 or length > 2 ^ 16 then
    error("crypto.hkdf wants a length in bytes", 2)
  end
  hkdf_in.secret, hkdf_in.secret_len = secret, #secret
  hkdf_in.salt, hkdf_in.salt_len = salt, #salt
  hkdf_in.info, hkdf_in.info_len = info, #info
  local out = ffi.new("char[?]", length + 1)
  local rc = C.dml_hkdf(algorithm(name), hkdf_in, out, length)
  if rc < 0 then
    return border.failed(rc)
  end
  return ffi.string(out, length)
end

---Bytes that nobody can foretell.
---@param n integer up to 1 MiB
---@return string
function M.random(n)
  if type(n) ~= "number" or n < 0 or n > 2 ^ 20 then
    error("crypto.random wants a number of bytes up to 1 MiB", 2)
  end
  local out = ffi.new("char[?]", n)
  C.dml_random(out, n)
  return ffi.string(out, n)
end

---Whether two texts are the same, in a time that does not tell where they differ.
---@param a string
---@param b string
---@return boolean
function M.equal(a, b)
  text_of(a, "crypto.equal")
  text_of(b, "crypto.equal")
  return C.dml_equal(a, #a, b, #b) == 1
end

-- Encryption ------------------------------------------------------------------------------

local function aead_input(name, secret, nonce, text, aad, what)
  local number = AEADS[name] or error(('no such encryption: "%s"'):format(tostring(name)), 3)
  local in_ = aead_in
  in_.key, in_.key_len = text_of(secret, what), #secret
  in_.nonce, in_.nonce_len = text_of(nonce, what), #nonce
  in_.text, in_.text_len = text_of(text, what), #text
  in_.aad, in_.aad_len = aad, #text_of(aad, what)
  if #secret ~= C.dml_aead_key(number) then
    error(("%s: a key for %s has %d bytes, not %d"):format(what, name, C.dml_aead_key(number), #secret), 3)
  elseif #nonce ~= 12 then
    error(("%s: a nonce has 12 bytes, not %d"):format(what, #nonce), 3)
  end
  return number, in_
end

---Encrypts, so that every change is noticed. A nonce must never be used twice with one key: draw it
---with crypto.random(12) and send it along (for up to 2^32 texts with a key), or count.
---@param name demilune.aead
---@param secret string 16 bytes for aes-128-gcm, else 32
---@param nonce string 12 bytes
---@param text string
---@param aad? string what is protected as well and not in the result
---@return string? sealed the encrypted text with its tag, 16 bytes longer
---@return string? err
function M.seal(name, secret, nonce, text, aad)
  local number, in_ = aead_input(name, secret, nonce, text, aad or "", "crypto.seal")
  local out = ffi.new("char[?]", #text + TAG)
  local rc = C.dml_aead_seal(number, in_, out)
  if rc < 0 then
    return border.failed(rc)
  end
  return ffi.string(out, #text + TAG)
end

---Decrypts what crypto.seal gave.
---@param name demilune.aead
---@param secret string
---@param nonce string
---@param sealed string
---@param aad? string
---@return string? text
---@return string? err "denied": it was not sealed so, or was changed
function M.open(name, secret, nonce, sealed, aad)
  local number, in_ = aead_input(name, secret, nonce, sealed, aad or "", "crypto.open")
  local out = ffi.new("char[?]", #sealed + 1)
  local rc = C.dml_aead_open(number, in_, out)
  if rc < 0 then
    return border.failed(rc)
  end
  return ffi.string(out, #sealed - TAG)
end

-- Codings ---------------------------------------------------------------------------------

local function encode(coding, text, room)
  local out = ffi.new("char[?]", room + 1)
  return ffi.string(out, C.dml_encode(coding, text, #text, out))
end

local function decode(coding, text)
  local out = ffi.new("char[?]", #text + 1)
  local n = tonumber(C.dml_decode(coding, text, #text, out))
  if n < 0 then
    return border.failed(n)
  end
  return ffi.string(out, n)
end

---@param bytes string
---@return string hex in small letters
function M.hex(bytes)
  return encode(C.DML_CODING_HEX, text_of(bytes, "crypto.hex"), 2 * #bytes)
end

---@param text string
---@return string? bytes
---@return string? err "encoding"
function M.unhex(text)
  return decode(C.DML_CODING_HEX, text_of(text, "crypto.unhex"))
end

---@param bytes string
---@return string text
function M.base64(bytes)
  return encode(C.DML_CODING_BASE64, text_of(bytes, "crypto.base64"), 4 * math.ceil(#bytes / 3))
end

---@param text string
---@return string? bytes
---@return string? err "encoding": also for blanks, and for what an encoder would not have written
function M.unbase64(text)
  return decode(C.DML_CODING_BASE64, text_of(text, "crypto.unbase64"))
end

---The URL alphabet of RFC 4648, written without padding.
---@param bytes string
---@return string text
function M.base64url(bytes)
  return encode(C.DML_CODING_BASE64_URL, text_of(bytes, "crypto.base64url"), 4 * math.ceil(#bytes / 3))
end

---@param text string with or without padding
---@return string? bytes
---@return string? err "encoding"
function M.unbase64url(text)
  return decode(C.DML_CODING_BASE64_URL, text_of(text, "crypto.unbase64url"))
end

return M
