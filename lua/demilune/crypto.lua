-- SPDX-License-Identifier: Apache-2.0

-- Digests, MACs, random bytes, codings. Over OpenSSL.
--
--   crypto.digest("sha256", text)      raw bytes; crypto.hex makes text of them
--   crypto.hmac("sha256", key, text)
--   crypto.equal(a, b)                 in a time that does not tell where they differ
--   crypto.random(16)

local ffi = require "ffi"
local border = require "demilune.ffi"

local C = border.C

local M = {}

local DIGESTS = {
  md5 = C.DML_MD5, sha1 = C.DML_SHA1, sha256 = C.DML_SHA256, sha384 = C.DML_SHA384, sha512 = C.DML_SHA512,
}

local digest_out = ffi.new "char[64]"

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

function M.digest(name, text)
  text_of(text, "crypto.digest")
  return result(C.dml_digest(algorithm(name), text, #text, digest_out))
end

function M.hmac(name, key, text)
  text_of(key, "crypto.hmac")
  text_of(text, "crypto.hmac")
  return result(C.dml_hmac(algorithm(name), key, #key, text, #text, digest_out))
end

function M.random(n)
  if type(n) ~= "number" or n < 0 or n > 2 ^ 20 then
    error("crypto.random wants a number of bytes up to 1 MiB", 2)
  end
  local out = ffi.new("char[?]", n)
  C.dml_random(out, n)
  return ffi.string(out, n)
end

function M.equal(a, b)
  text_of(a, "crypto.equal")
  text_of(b, "crypto.equal")
  return C.dml_equal(a, #a, b, #b) == 1
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

function M.hex(bytes)
  return encode(C.DML_CODING_HEX, text_of(bytes, "crypto.hex"), 2 * #bytes)
end

function M.unhex(text)
  return decode(C.DML_CODING_HEX, text_of(text, "crypto.unhex"))
end

function M.base64(bytes)
  return encode(C.DML_CODING_BASE64, text_of(bytes, "crypto.base64"), 4 * math.ceil(#bytes / 3))
end

function M.unbase64(text)
  return decode(C.DML_CODING_BASE64, text_of(text, "crypto.unbase64"))
end

-- The URL alphabet of RFC 4648, written without padding.
function M.base64url(bytes)
  return encode(C.DML_CODING_BASE64_URL, text_of(bytes, "crypto.base64url"), 4 * math.ceil(#bytes / 3))
end

function M.unbase64url(text)
  return decode(C.DML_CODING_BASE64_URL, text_of(text, "crypto.unbase64url"))
end

return M
