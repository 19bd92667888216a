-- SPDX-License-Identifier: Apache-2.0

-- What a token's claims have to say beside being valid: scopes, rules, and which consumer they are of.

local json = require "demilune.json"

local M = {}

-- What tokens of other kinds say of themselves, where issuers give all of them the same typ: Keycloak in a claim typ, Amazon
-- and Ory in token_use.
local OTHER_KINDS = { id = true, refresh = true, offline = true, logout = true }

M.KINDS = { "typ", "token_use", "events", "at_hash", "c_hash", "nonce" } -- the claims by which kinds are told apart

local function is_id_token(claims)
  local is_said = claims.scope ~= nil or claims.scp ~= nil or claims.typ == "Bearer" or claims.token_use ~= nil
  return claims.at_hash ~= nil or claims.c_hash ~= nil or claims.nonce ~= nil and not is_said
end

-- May a token with these claims be used for access, as far as it tells? takes_id_tokens: ID tokens, too.
function M.are_for_access(claims, takes_id_tokens)
  local kind, use = claims.typ, claims.token_use
  kind, use = type(kind) == "string" and kind:lower() or nil, type(use) == "string" and use:lower() or nil
  if claims.events ~= nil then -- logout tokens, and other security events (RFC 8417)
    return false
  elseif takes_id_tokens and (kind == "id" or use == "id") then
    return true
  elseif OTHER_KINDS[kind or false] or use and not use:find "^access" then
    return false
  end
  return takes_id_tokens or not is_id_token(claims)
end

-- By a path whose dots go inward; a name with dots of its own comes first, as in the selector claim:NAME.
local function get(claims, path)
  local value = claims[path]
  if value ~= nil then
    return value ~= json.null and value or nil
  end
  local dot = path:find(".", 1, true)
  while dot do
    local inner = claims[path:sub(1, dot - 1)]
    if type(inner) == "table" then
      local found = get(inner, path:sub(dot + 1))
      if found ~= nil then
        return found
      end
    end
    dot = path:find(".", dot + 1, true)
  end
end
M.get = get

-- scope is one text (RFC 8693), scp with some issuers a list.
local function scopes_of(claims)
  local set, given = {}, claims.scope or claims.scp
  if type(given) == "string" then
    for scope in given:gmatch "%S+" do
      set[scope] = true
    end
  elseif type(given) == "table" then
    for _, scope in ipairs(given) do
      set[scope] = true
    end
  end
  return set
end

function M.has_scopes(claims, wanted)
  local set = scopes_of(claims)
  for _, scope in ipairs(wanted) do
    if not set[scope] then
      return false
    end
  end
  return true
end

local function is_one_of(value, wanted)
  for _, good in ipairs(type(wanted) == "table" and wanted or { wanted }) do
    if value == good then
      return true
    end
  end
  return false
end

local function keeps(value, wanted)
  if type(value) ~= "table" then
    return is_one_of(value, wanted)
  end
  for _, item in ipairs(value) do
    if is_one_of(item, wanted) then
      return true
    end
  end
  return false
end

function M.keep_rules(claims, rules)
  for name, wanted in pairs(rules) do
    if not keeps(get(claims, name), wanted) then
      return false
    end
  end
  return true
end

-- The client id by which consumers are known, or nil.
function M.client(claims, name)
  local value
  if name then
    value = get(claims, name)
  else
    value = claims.client_id or claims.azp
  end
  return type(value) == "string" and value or nil
end

return M
