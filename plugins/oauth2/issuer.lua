-- SPDX-License-Identifier: Apache-2.0

-- An issuer as it is asked over HTTP: its metadata (OpenID Connect Discovery, RFC 8414), and endpoints. Only addresses
-- of the configuration, and those that an issuer's own metadata name, are ever gone to.

local crypto = require "demilune.crypto"
local http = require "demilune.http"
local json = require "demilune.json"
local url = require "demilune.url"

local M = {}

local TIMEOUT = 4 -- seconds of a call
local MAX_BODY = 512 * 1024

M.MAX_BODY = MAX_BODY

---@class oauth2.line  How issuers are reached: by which authorities their certificates are verified.
local Line = {}
Line.__index = Line

local PLAIN = setmetatable({ id = "" }, Line)

-- ca: a file of authorities, or nil for the system's. nil and a message when it can't be had.
function M.line(ca)
  if not ca then
    return PLAIN
  end
  local file, message = io.open(ca, "rb")
  if not file then
    return nil, message
  end
  local text = file:read(MAX_BODY) or ""
  file:close()
  if not text:find("-----BEGIN CERTIFICATE-----", 1, true) then
    return nil, ca .. ": it has no certificate (PEM)"
  end
  return setmetatable({ id = " " .. crypto.hex(crypto.digest("sha256", text)), tls = { ca = text } }, Line)
end

function Line:get(address, authorization)
  local response, word = http.get(address, {
    timeout = TIMEOUT, max_body = MAX_BODY, tls = self.tls,
    headers = { Accept = "application/json", Authorization = authorization },
  })
  if not response then
    return nil, word
  elseif response.status ~= 200 then
    return nil, "status " .. response.status
  end
  return response.body
end

-- The response, whatever its status.
function Line:post(address, form, authorization)
  return http.post(address, {
    timeout = TIMEOUT, max_body = MAX_BODY, tls = self.tls, body = url.query(form),
    headers = {
      Accept = "application/json", Authorization = authorization,
      ["Content-Type"] = "application/x-www-form-urlencoded",
    },
  })
end

-- --- metadata --------------------------------------------------------------------------------------

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

-- A table of an issuer's metadata by their text; nil and why.
function M.read_metadata(body, issuer)
  local metadata = json.decode(body)
  if type(metadata) ~= "table" then
    return nil, "its metadata are no JSON"
  elseif metadata.issuer ~= issuer then
    return nil, "its metadata are of another issuer"
  end
  return metadata
end

-- Where an endpoint is; nil and why.
function M.endpoint(metadata, issuer, name)
  local address = metadata[name]
  if type(address) ~= "string" or not address:find "^https?://" then
    return nil, ("its metadata have no %s"):format(name)
  elseif issuer:find "^https:" and not address:find "^https:" then
    return nil, ("its %s is not https"):format(name)
  end
  return address
end

-- The text of an issuer's metadata; nil and why.
function Line:metadata(issuer)
  local why = "it is no URL that metadata could be found at"
  for _, place in ipairs(places(issuer)) do
    local body
    body, why = self:get(place)
    if body or not why:find "^status 4" then -- else it is not there, and may be at another place
      return body, why
    end
  end
  return nil, why
end

-- Where an issuer's endpoint of this name in its metadata is; nil and why.
function Line:discover(issuer, name)
  local body, metadata, why
  body, why = self:metadata(issuer)
  if body then
    metadata, why = M.read_metadata(body, issuer)
  end
  if not metadata then
    return nil, why
  end
  return M.endpoint(metadata, issuer, name)
end

return M
