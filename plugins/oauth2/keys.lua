-- SPDX-License-Identifier: Apache-2.0

-- Keys that tokens are verified with: from files, or the set that an issuer publishes.

local jwt = require "demilune.jwt"
local crypto = require "demilune.crypto"
local issuers = require "demilune.plugins.oauth2.issuer"
local remotes = require "demilune.plugins.oauth2.remote"

local M = {}

-- --- files ---------------------------------------------------------------------------------------

local function read(path)
  local file, message = io.open(path, "rb")
  if not file then
    return nil, message
  end
  local text = file:read(issuers.MAX_BODY)
  file:close()
  return text or ""
end

local function secret_of(text, algorithm)
  if not (algorithm or ""):find "^HS" then
    return nil, "it is neither PEM nor a JWK set; a secret needs its algorithm (HS256, HS384 or HS512)"
  end
  local key, _, detail = crypto.secret((text:gsub("[\r\n]+$", "")))
  return key, detail
end

local function key_of(item)
  local text, message = read(item.file)
  if not text then
    return nil, message
  elseif text:find "^%s*{" then
    return text
  end
  local key, _
  if text:find("-----BEGIN", 1, true) then
    key, _, message = crypto.key(text)
  else
    key, message = secret_of(text, item.algorithm)
  end
  return key and { key = key, algorithm = item.algorithm }, message
end

-- Sets of the files' keys; nil, a message and the number of the faulty one. JWK sets are one each, keys of their own one
-- set together.
local function from_files(list)
  local sets, single = {}, {}
  for i, item in ipairs(list) do
    local key, message = key_of(item)
    local set, _, detail
    if type(key) == "string" then
      set, _, detail = jwt.keys(key)
      sets[#sets + 1] = set
    elseif key then
      set, _, detail = jwt.keys { key }
      single[#single + 1] = key
    end
    if not set or set.count == 0 then
      return nil, ("%s: %s"):format(item.file, message or detail or "it has no key that verifies signatures"), i
    end
  end
  if #single > 0 then
    sets[#sets + 1] = jwt.keys(single)
  end
  return sets
end

-- --- published sets ------------------------------------------------------------------------------

local function parse(body)
  local set, _, why = jwt.keys(body)
  if not set or set.count == 0 then
    return nil, why or "it has no key that verifies signatures"
  end
  return set
end

-- The set of an issuer, at jwks_uri or where its metadata say.
function M.remote(name, jwks_uri, line)
  local found -- where it was the last time
  local function fetch()
    local address, why = jwks_uri, nil
    if not address then
      address, why = line:discover(name, "jwks_uri")
      found = address or found
    end
    if not (address or found) then
      return nil, why
    end
    return line:get(address or found)
  end
  return remotes.of("keys", name, name .. " " .. (jwks_uri or "") .. line.id, fetch, parse)
end

-- Where an issuer's keys come from, as its part of a config says: issuer, keys, jwks_uri. A table with `sets` or
-- `remote`; nil, message and path when the config is at fault.
function M.source(config, line)
  if config.keys then
    local sets, message, i = from_files(config.keys)
    return sets and { sets = sets }, message, i and ("keys[%d]"):format(i - 1)
  elseif not config.jwks_uri and not config.issuer:find "^https?://" then
    return nil, "no URL, so that its keys can't be discovered: give keys or jwks_uri", "issuer"
  end
  return { remote = M.remote(config.issuer, config.jwks_uri, line) }
end

-- --- verifying -----------------------------------------------------------------------------------

local function by_sets(sets, verifier, method, token)
  local a, b, c
  for _, set in ipairs(sets) do
    a, b, c = verifier[method](verifier, token, set)
    if a or b ~= "unknown_key" and b ~= "signature" then
      break
    end
  end
  return a, b, c
end

-- What a method of the verifier (verify, verify_text) gives for a token, by source's `sets` or `remote`; nil and a word:
-- demilune.jwt's, or "unavailable" when there are no keys.
function M.verify(source, verifier, method, token)
  if source.sets then
    return by_sets(source.sets, verifier, method, token)
  end
  local set = source.remote:get()
  if not set then
    return nil, "unavailable"
  end
  local a, b, c = verifier[method](verifier, token, set)
  local newer = not a and b == "unknown_key" and source.remote:newer(set)
  if newer then
    return verifier[method](verifier, token, newer)
  end
  return a, b, c
end

return M
