-- SPDX-License-Identifier: Apache-2.0

-- What is asked of an issuer over HTTP: where its endpoints are (OpenID Connect Discovery, RFC 8414), and documents there.
-- Only addresses of the configuration, and those that an issuer's own metadata name, are ever gone to.

local http = require "demilune.http"
local json = require "demilune.json"

local M = {}

local TIMEOUT = 4 -- seconds of a call
local MAX_BODY = 512 * 1024

M.TIMEOUT, M.MAX_BODY = TIMEOUT, MAX_BODY

function M.get(address)
  local response, word = http.get(address,
    { timeout = TIMEOUT, max_body = MAX_BODY, headers = { Accept = "application/json" } })
  if not response then
    return nil, word
  elseif response.status ~= 200 then
    return nil, "status " .. response.status
  end
  return response.body
end

-- OpenID's place first, which is behind the issuer's path, then RFC 8414's, which is before it.
local function places(issuer)
  local origin, path = issuer:match "^(https?://[^/?#]+)(/?[^?#]*)$"
  if not origin then
    return {}
  end
  path = path:gsub("/$", "")
  return {
    origin .. path .. "/.well-known/openid-configuration",
    origin .. "/.well-known/oauth-authorization-server" .. path,
  }
end

local function endpoint_of(body, issuer, name)
  local metadata = json.decode(body)
  if type(metadata) ~= "table" then
    return nil, "its metadata are no JSON"
  elseif metadata.issuer ~= issuer then
    return nil, "its metadata are of another issuer"
  end
  local address = metadata[name]
  if type(address) ~= "string" or not address:find "^https?://" then
    return nil, ("its metadata have no %s"):format(name)
  elseif issuer:find "^https:" and not address:find "^https:" then
    return nil, ("its %s is not https"):format(name)
  end
  return address
end

-- Where an issuer's endpoint of this name in its metadata is; nil and why.
function M.discover(issuer, name)
  local why = "it is no URL that metadata could be found at"
  for _, place in ipairs(places(issuer)) do
    local body
    body, why = M.get(place)
    if body then
      return endpoint_of(body, issuer, name)
    elseif not why:find "^status 4" then -- it is not there to be asked at another place
      return nil, why
    end
  end
  return nil, why
end

return M
