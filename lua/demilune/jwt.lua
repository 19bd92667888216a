-- SPDX-License-Identifier: Apache-2.0

-- Signed tokens (JWT, RFC 7519; JWS in its compact form), as strict as RFC 8725 asks for.
--
--   local verifier = jwt.verifier {
--     keys = jwt.keys(jwks), algorithms = { "RS256", "ES256" },
--     issuer = "https://id.example.com", audience = "orders", skew = 30,
--   }
--   local claims, err, detail = verifier:verify(token)
--   local token = jwt.sign({ sub = "1" }, key, { algorithm = "ES256" })
--
-- The algorithm is on the caller's list and fits the key; "none" is no algorithm. Of what a token
-- says of keys only its kid counts, and it chooses among the keys that are there: jwk, jku, x5u and
-- x5c are never looked at. exp has to be there, and a token that says whom it is for (aud) is for
-- nobody else. Signature first, claims then, in one call of C.
--
-- Words for what is wrong with a token: malformed, too_large, algorithm, critical, type,
-- unknown_key, signature, missing_claim, bad_claim, expired, not_yet_valid, too_old, issuer,
-- audience. unknown_key is the one after which a newer key set may help.

local ffi = require "ffi"
local border = require "demilune.ffi"
local json = require "demilune.json"
local key_module = require "demilune.crypto.key"

local C = border.C
local no_self = border.no_self
local signing, load_key = key_module.signing, key_module.load

---@class demilune.jwt
local M = {}

local words = {}
for fault = 0, C.DML_JWT_FAULTS - 1 do
  words[fault] = ffi.string(C.dml_jwt_word(fault))
end
local algorithms = {}
for number = 0, C.DML_SIGNINGS - 1 do
  algorithms[number] = ffi.string(C.dml_signing_name(number))
end
local FINE = C.DML_JWT_FINE
local SIGNED_MAX = 2 ^ 20
local JSON = { depth = 32 } -- in a token, as in C

local why = ffi.new "const char *[1]"
local kid_out = ffi.new "struct dml_slice"
local header_in, payload_in = ffi.new "struct dml_slice", ffi.new "struct dml_slice"

-- Where C puts a token's parts: made once in a VM.
local room = ffi.new("char[?]", 2 * C.DML_JWT_SIZE_MAX)
local out = ffi.new "struct dml_jwt"

local function text_of(slice)
  return ffi.string(slice.ptr, slice.len)
end

local function failed(fault)
  local detail
  if fault == C.DML_JWT_MISSING_CLAIM or fault == C.DML_JWT_BAD_CLAIM then
    detail = text_of(out.claim)
  elseif out.detail ~= nil then
    detail = ffi.string(out.detail)
  end
  return nil, words[fault], detail
end

local function want_text(token, what)
  if type(token) ~= "string" then
    border.raise(("%s wants a token, not a %s"):format(what, type(token)))
  end
end

-- Reading without verifying -----------------------------------------------------------------

---@class demilune.jwt.parts
---@field header table
---@field claims table? nil when the payload is no JSON object
---@field payload string
---@field signature string

---What a token says, with nothing of it verified: for looking at, never for deciding.
---@param token string
---@return demilune.jwt.parts? parts
---@return string? err "malformed" or "too_large"
---@return string? detail
function M.decode(token)
  want_text(token, "jwt.decode")
  out.room = room -- a pointer alone would not keep it from the collector
  local fault = C.dml_jwt_decode(token, #token, out)
  if fault ~= FINE then
    return failed(fault)
  end
  local payload = text_of(out.payload)
  local claims = json.decode(payload, JSON)
  return {
    header = json.decode(text_of(out.header), JSON),
    claims = type(claims) == "table" and claims ~= json.null and not json.is_array(claims) and claims or nil,
    payload = payload,
    signature = text_of(out.signature),
  }
end

-- Key sets ----------------------------------------------------------------------------------

---@class demilune.jwt.keys
---@field count integer
---@field passed_over string? why the latest key that could not be used was passed over
local Keys = { __name = "jwt.keys" }
Keys.__index = Keys

local function add_jwks(self, source)
  local text = source
  if type(source) == "table" then
    text = assert(json.encode(source))
  end
  why[0] = nil
  local n = C.dml_keys_add_jwks(self.keys or no_self(), text, #text, why)
  local reason = why[0] ~= nil and ffi.string(why[0]) or nil
  if n < 0 then
    return nil, reason or "it is no key set"
  end
  self.passed_over = reason or self.passed_over
  return true
end

local function add_key(self, item)
  local key, kid = item.key, item.kid
  if type(key) == "string" then
    local _, detail
    key, _, detail = load_key(key)
    if not key then
      return nil, detail
    end
  end
  local algorithm = item.algorithm and signing(item.algorithm) or -1
  if algorithm >= 0 and not key:fits(item.algorithm) then
    return nil, ('the key is not for "%s"'):format(item.algorithm)
  elseif C.dml_keys_add(self.keys or no_self(), key.key or no_self(), kid, kid and #kid or 0, algorithm) < 0 then
    return nil, "a set has 128 keys at most"
  end
  return true
end

local function add_list(self, list)
  for _, item in ipairs(list) do
    local fine, detail = add_key(self, type(item) == "table" and not item.kind and item or { key = item })
    if not fine then
      return nil, detail
    end
  end
  return true
end

local function add(self, source)
  if type(source) == "string" then
    if source:find "^%s*{" then
      return add_jwks(self, source)
    end
    return add_key(self, { key = source })
  elseif type(source) ~= "table" then
    border.raise("jwt.keys wants a JWK set, a key, or a list of keys, not a " .. type(source))
  elseif source.keys or source.kty then
    return add_jwks(self, source)
  elseif source.kind then
    return add_key(self, { key = source })
  end
  return add_list(self, source)
end

---@class demilune.jwt.key
---@field key demilune.key|string
---@field kid? string
---@field algorithm? demilune.signing the only one that it is for

---What tokens are verified with: a JWK set or a JWK (text or table), a key (PEM or demilune.key), or a list of
---such keys, each by itself or as { key, kid, algorithm }. A key without a kid fits tokens with any. Of a JWK
---set those keys are taken that verify signatures and are known here; the others are passed over.
---@param source string|table|demilune.key|(string|demilune.key|demilune.jwt.key)[]
---@return demilune.jwt.keys? keys
---@return string? err "bad_key"
---@return string? detail
function M.keys(source)
  local self = setmetatable({ keys = ffi.gc(C.dml_keys_new(), C.dml_keys_free) }, Keys)
  local fine, detail = add(self, source)
  if not fine then
    return nil, "bad_key", detail
  end
  self.count = C.dml_keys_count(self.keys or no_self())
  return self
end

---Whether a key of this id is there.
---@param kid string
---@return boolean
function Keys:has(kid)
  for i = 0, self.count - 1 do
    if C.dml_keys_kid(self.keys or no_self(), i, kid_out) == 0 and text_of(kid_out) == kid then
      return true
    end
  end
  return false
end

-- Verifying ---------------------------------------------------------------------------------

---@class demilune.jwt.options
---@field algorithms demilune.signing[] those that are allowed
---@field keys? demilune.jwt.keys may be given to verify instead
---@field issuer? string|string[] what iss has to be
---@field audience? string|string[]|false whom it has to be for; false: whoever it is for
---@field type? string|string[] what typ has to be, such as "at+jwt"
---@field untyped? boolean and it may be left out
---@field skew? number seconds that clocks may differ (0)
---@field max_age? number seconds since iat
---@field required? string[] claims that must be there (exp)
---@field critical? string[] header parameters in crit that the caller looks after
---@field noted? string[] claims of which verify_text tells whether one is there
---@field max_size? integer bytes of a token (16 KiB, at most 64 KiB)
---@field raw? boolean the payload is any bytes and has no claims: a JWS

---@class demilune.jwt.verifier
---@field keys demilune.jwt.keys? may be replaced at any time
local Verifier = { __name = "jwt.verifier" }
Verifier.__index = Verifier

local LISTS = {
  issuer = C.DML_POLICY_ISSUER, audience = C.DML_POLICY_AUDIENCE, type = C.DML_POLICY_TYPE,
  required = C.DML_POLICY_REQUIRED, critical = C.DML_POLICY_CRITICAL, noted = C.DML_POLICY_NOTED,
}
local NUMBERS = { skew = C.DML_POLICY_SKEW, max_age = C.DML_POLICY_MAX_AGE, max_size = C.DML_POLICY_MAX_SIZE }
local OTHERS = { algorithms = true, keys = true, raw = true, untyped = true }

local function check_names(options)
  for name in pairs(options) do
    if not (LISTS[name] or NUMBERS[name] or OTHERS[name]) then
      border.no_field("the options of a verifier", name, LISTS, NUMBERS, OTHERS)
    end
  end
  if type(options.algorithms) ~= "table" or #options.algorithms == 0 then
    border.raise 'a verifier wants a list of algorithms: algorithms = { "RS256" }'
  end
end

local function set_list(policy, name, which, list)
  for _, text in ipairs(type(list) == "table" and list or { list }) do
    if type(text) ~= "string" or C.dml_policy_text(policy, which, text, #text) < 0 then
      border.raise(("%s of a verifier is a text or a list of them, 64 at most"):format(name))
    end
  end
end

local function set_numbers(policy, options)
  for name, which in pairs(NUMBERS) do
    local n = options[name]
    if n ~= nil and (type(n) ~= "number" or C.dml_policy_number(policy, which, n) < 0) then
      border.raise(("%s of a verifier can't be %s"):format(name, tostring(n)))
    end
  end
  C.dml_policy_number(policy, C.DML_POLICY_ANY_AUD, options.audience == false and 1 or 0)
  C.dml_policy_number(policy, C.DML_POLICY_RAW, options.raw and 1 or 0)
  C.dml_policy_number(policy, C.DML_POLICY_UNTYPED, options.untyped and 1 or 0)
end

---Makes what tokens are verified by: once, not for each request.
---@param options demilune.jwt.options
---@return demilune.jwt.verifier
function M.verifier(options)
  check_names(options)
  local policy = ffi.gc(C.dml_policy_new(), C.dml_policy_free)
  for _, name in ipairs(options.algorithms) do
    C.dml_policy_number(policy, C.DML_POLICY_SIGNING, signing(name))
  end
  for name, which in pairs(LISTS) do
    if options[name] then
      set_list(policy, name, which, options[name])
    end
  end
  if options.required == nil and not options.raw then
    set_list(policy, "required", LISTS.required, "exp")
  end
  set_numbers(policy, options)
  return setmetatable({ policy = policy, keys = options.keys, is_raw = options.raw }, Verifier)
end

local function check(self, token, keys, what)
  want_text(token, what)
  keys = keys or self.keys or border.raise "there are no keys to verify with"
  out.room = room
  return C.dml_jwt_verify(keys.keys or no_self(), self.policy or no_self(), token, #token, out)
end

---Verifies a token, and makes no table of its claims: for who needs them seldom.
---@param token string
---@param keys? demilune.jwt.keys instead of the verifier's own
---@return string? payload
---@return number|string expires_or_err 0: it has none
---@return boolean|string|nil has_noted_or_detail
function Verifier:verify_text(token, keys)
  local fault = check(self, token, keys, "verifier:verify_text")
  if fault ~= FINE then
    return failed(fault)
  end
  return text_of(out.payload), out.expires, out.has_noted == 1
end

---Verifies a token. With `raw` the first result is the payload's bytes.
---@param token string
---@param keys? demilune.jwt.keys instead of the verifier's own
---@return table|string|nil claims
---@return string|{ algorithm: demilune.signing, kid: string?, expires: number?, payload: string } err_or_facts
---@return string? detail
function Verifier:verify(token, keys)
  local fault = check(self, token, keys, "verifier:verify")
  if fault ~= FINE then
    return failed(fault)
  end
  local facts = {
    algorithm = algorithms[out.signing],
    kid = out.kid.ptr ~= nil and text_of(out.kid) or nil,
    expires = out.expires ~= 0 and out.expires or nil,
    payload = text_of(out.payload),
  }
  local payload = facts.payload
  return self.is_raw and payload or json.decode(payload, JSON), facts
end

---The same with a verifier of its own, for what is seldom done.
---@param token string
---@param options demilune.jwt.options with keys
---@return table|string|nil claims
---@return string|table err_or_facts
---@return string? detail
function M.verify(token, options)
  return M.verifier(options):verify(token)
end

-- Signing -----------------------------------------------------------------------------------

local function encoded(value, what)
  local text, err, detail = json.encode(value)
  if not text then
    border.raise(("%s can't be JSON: %s"):format(what, detail or err))
  end
  return text
end

local function header_of(options)
  local header = { alg = options.algorithm, typ = options.type or "JWT", kid = options.kid }
  for name, value in pairs(options.header or {}) do
    header[name] = value
  end
  header.alg = options.algorithm
  return encoded(json.object(header), "the header")
end

local function payload_of(claims, lifetime)
  if type(claims) == "string" then
    return claims
  end
  local all = json.object {}
  for name, value in pairs(claims) do
    all[name] = value
  end
  if lifetime then
    local now = math.floor(C.dml_now())
    all.iat = all.iat or now
    all.exp = all.exp or all.iat + lifetime
  end
  return encoded(all, "the claims")
end

---@class demilune.jwt.signing
---@field algorithm demilune.signing
---@field kid? string
---@field type? string typ (JWT)
---@field header? table more parameters
---@field lifetime? number seconds: sets iat and exp where they are missing

---Makes a token. A text in place of the claims is signed as it is.
---@param claims table|string
---@param key demilune.key one that can sign
---@param options demilune.jwt.signing
---@return string token
function M.sign(claims, key, options)
  local number = signing(options.algorithm)
  local header, payload = header_of(options), payload_of(claims, options.lifetime)
  if #header + #payload > SIGNED_MAX then
    border.raise "a token has 1 MiB at most"
  end
  header_in.ptr, header_in.len = header, #header
  payload_in.ptr, payload_in.len = payload, #payload
  local token = ffi.new("char[?]", math.ceil((#header + #payload) * 4 / 3) + 3000)
  local n = C.dml_jwt_sign(key.key or no_self(), number, header_in, payload_in, token)
  if n < 0 then
    border.raise(('a key of kind %s with %d bits does not sign "%s"'):format(key.kind, key.bits, options.algorithm))
  end
  return ffi.string(token, n)
end

return M
