-- SPDX-License-Identifier: Apache-2.0

-- Passwords: their hashes, and keys that are made of them. All of it takes long, because it is meant
-- to: two threads beside the workers do it, and the hook waits meanwhile. What they can't take on is
-- refused at once.
--
--   password.hash "s3cret"             "$scrypt$ln=15,r=8,p=3$..."
--   password.verify("s3cret", hash)    true or false
--
-- Besides its own, verify reads $pbkdf2-sha256$, $pbkdf2-sha512$ (PHC, passlib), bcrypt (htpasswd -B),
-- $5$, $6$ and yescrypt (mkpasswd).

local core = require "demilune.core"
local border = require "demilune.ffi"

local C = border.C

---@class demilune.crypto.password
local M = {}

local DIGESTS = { sha1 = C.DML_SHA1, sha256 = C.DML_SHA256, sha384 = C.DML_SHA384, sha512 = C.DML_SHA512 }

local function text_of(value, what)
  if type(value) ~= "string" then
    error(("%s wants a text, not a %s"):format(what, type(value)), 3)
  end
  return value
end

---A hash to keep, with a salt of its own (scrypt, 32 MiB, some 0.3 s). Waits.
---@param password string up to 4 KiB
---@return string? hash
---@return string? err "bad_argument" when empty, "limit" when too long, "full" when too many wait
function M.hash(password)
  return core.password_hash(text_of(password, "password.hash"))
end

---Whether a password is the one of a hash. Waits.
---@param password string
---@param hash string
---@return boolean? is_right
---@return string? err "full" when too many wait; "not_implemented", "syntax", "limit" as password.known
function M.verify(password, hash)
  return core.password_verify(text_of(password, "password.verify"), text_of(hash, "password.verify"))
end

---Whether a hash can be verified, without doing it: for checking a configuration. Does not wait.
---@param hash string
---@return boolean? known
---@return string? err "not_implemented": no form that is known; "syntax"; "limit": it costs too much
function M.known(hash)
  local rc = C.dml_password_form(text_of(hash, "password.known"), #hash)
  if rc < 0 then
    return border.failed(rc)
  end
  return true
end

---A key made of a password by PBKDF2 (RFC 8018). Waits.
---@param password string
---@param salt string
---@param options { digest: "sha256"|"sha384"|"sha512"|"sha1", iterations: integer, length: integer }
---@return string? key
---@return string? err
function M.pbkdf2(password, salt, options)
  text_of(password, "password.pbkdf2")
  text_of(salt, "password.pbkdf2")
  local digest = DIGESTS[options.digest] or error(('no such digest: "%s"'):format(tostring(options.digest)), 2)
  return core.kdf_pbkdf2(password, salt, digest, options.iterations, options.length)
end

---A key made of a password by scrypt (RFC 7914), of up to 256 MiB. Waits.
---@param password string
---@param salt string
---@param options { n: integer, r: integer, p: integer, length: integer }
---@return string? key
---@return string? err
function M.scrypt(password, salt, options)
  text_of(password, "password.scrypt")
  text_of(salt, "password.scrypt")
  return core.kdf_scrypt(password, salt, options.n, options.r, options.p, options.length)
end

return M
