-- SPDX-License-Identifier: Apache-2.0

-- An OAuth 2.0 authorization server and OpenID provider for tests, on a free loopback port, whose keys rotate.
--
--   local issuer = test.issuer { clients = { shop = "secret" } }
--   issuer.url                                       -- what `issuer` is told; discovery and JWKS lie below
--   local token = issuer:token { sub = "ann", scope = "read" }                -- signed, as of RFC 9068
--   local token = issuer:token({ sub = "ann" }, { opaque = true })            -- for introspection
--   issuer:rotate()                                  -- signs with another key from now on; old ones stay in the set
--   issuer:forget()                                  -- ... and no longer
--   issuer:script("jwks", { status = 503 })          -- as test.upstream; nil: it works again
--   issuer:count "jwks"                              -- how often an endpoint was asked
--
-- Endpoints: metadata (both well-known documents), jwks, authorize (whoever comes is `subject` and has agreed; code with
-- PKCE), token (client_credentials, authorization_code, refresh_token, each refresh token good for once), introspect,
-- revoke, userinfo, logout. Clients prove themselves by Basic or in the form.

local crypto = require "demilune.crypto"
local json = require "demilune.json"
local jwt = require "demilune.jwt"
local time = require "demilune.time"
local upstream = require "demilune.test.upstream"
local url = require "demilune.url"

local M = {}

---@class test.issuer.options
---@field algorithm? string  Of its signatures (ES256).
---@field clients? table<string, string>  Secrets by client id; "" for a public client ({ client = "secret" }).
---@field subject? string  Who logs in ("user").
---@field audience? string  Of access tokens ("api").
---@field lifetime? number  Seconds of tokens (300).
---@field opaque? boolean  Access tokens of the token endpoint are opaque.
---@field claims? table  More claims of every token.

---@class test.issuer
---@field url string  The issuer's name.
---@field key demilune.key  What it signs with now.
---@field requests table[]  What has come, each with `endpoint`.
local Issuer = {}
Issuer.__index = Issuer

local JSON = { ["Content-Type"] = "application/json", ["Cache-Control"] = "no-store" }

local ENDPOINTS = {
  ["/.well-known/openid-configuration"] = "metadata", ["/.well-known/oauth-authorization-server"] = "metadata",
  ["/jwks"] = "jwks", ["/authorize"] = "authorize", ["/token"] = "token", ["/introspect"] = "introspect",
  ["/revoke"] = "revoke", ["/userinfo"] = "userinfo", ["/logout"] = "logout",
}

-- --- keys and tokens -------------------------------------------------------------------------------

local function kid_of(key)
  return key:thumbprint()
end

--- Signs with another key from now on. The old ones stay in the set, as issuers keep them until their tokens are over.
---@param key? demilune.key  A new one when it is left out.
---@return demilune.key key
function Issuer:rotate(key)
  self.key = key or crypto.generate(self.options.algorithm)
  table.insert(self.keys, 1, self.key)
  return self.key
end

--- Takes all keys but the present one out of the set.
function Issuer:forget()
  self.keys = { self.key }
end

local function random()
  return crypto.base64url(crypto.random(24))
end

local function with_claims(self, claims, lifetime)
  local now = math.floor(time.now())
  local all = { iss = self.url, sub = self.options.subject, aud = self.options.audience, iat = now,
    exp = now + (lifetime or self.options.lifetime), jti = random() }
  for _, list in ipairs { self.options.claims or {}, claims or {} } do
    for name, value in pairs(list) do
      all[name] = value ~= json.null and value or nil
    end
  end
  return all
end

--- A token of this issuer. Claims that are not given are filled in; json.null leaves one out.
---@param claims? table
---@param options? { lifetime?: number, opaque?: boolean, type?: string, key?: demilune.key, kid?: string, algorithm?: string, header?: table }
---@return string token
function Issuer:token(claims, options)
  options = options or {}
  local all = with_claims(self, claims, options.lifetime)
  local token
  if options.opaque then
    token = random()
  else
    local key = options.key or self.key
    token = jwt.sign(all, key, {
      algorithm = options.algorithm or self.options.algorithm, kid = options.kid or kid_of(key),
      type = options.type or "at+jwt", header = options.header,
    })
  end
  self.tokens[token] = all
  return token
end

--- The token is over before its time, for introspection.
---@param token string
function Issuer:revoke(token)
  self.tokens[token] = nil
end

-- --- answers ---------------------------------------------------------------------------------------

local function answer(status, value)
  return status, JSON, assert(json.encode(value))
end

local function refuse(word, status)
  return answer(status or 400, { error = word })
end

local function redirect(to, values)
  return 302, { Location = to .. (to:find("?", 1, true) and "&" or "?") .. url.query(values) }, ""
end

-- The client that a request comes from and has proved itself; nil: none.
local function client_of(self, request, form)
  local id, secret = form.client_id, form.client_secret or ""
  local basic = (request.headers.authorization or ""):match "^Basic (%S+)$"
  if basic then
    id, secret = (crypto.unbase64(basic) or ""):match "^([^:]*):(.*)$"
    id, secret = id and url.decode(id), secret and url.decode(secret)
  end
  local wanted = id and self.options.clients[id]
  return wanted and crypto.equal(wanted, secret) and id or nil
end

local handlers = {}

function handlers.metadata(self)
  local at = self.url
  return answer(200, {
    issuer = at, jwks_uri = at .. "/jwks", authorization_endpoint = at .. "/authorize", token_endpoint = at .. "/token",
    introspection_endpoint = at .. "/introspect", revocation_endpoint = at .. "/revoke",
    userinfo_endpoint = at .. "/userinfo", end_session_endpoint = at .. "/logout",
    response_types_supported = { "code" }, subject_types_supported = { "public" },
    grant_types_supported = { "authorization_code", "refresh_token", "client_credentials" },
    code_challenge_methods_supported = { "S256" },
    id_token_signing_alg_values_supported = { self.options.algorithm },
    token_endpoint_auth_methods_supported = { "client_secret_basic", "client_secret_post", "none" },
  })
end

function handlers.jwks(self)
  local list = json.array {}
  for i, key in ipairs(self.keys) do
    list[i] = key:jwk()
    list[i].kid, list[i].use, list[i].alg = kid_of(key), "sig", self.options.algorithm
  end
  return answer(200, { keys = list })
end

function handlers.authorize(self, _, query)
  if not self.options.clients[query.client_id or ""] or not query.redirect_uri then
    return refuse "invalid_request"
  elseif query.response_type ~= "code" or query.code_challenge and query.code_challenge_method ~= "S256" then
    return redirect(query.redirect_uri, { error = "invalid_request", state = query.state })
  end
  local code = random()
  self.codes[code] = query
  return redirect(query.redirect_uri, { code = code, state = query.state, iss = self.url })
end

-- --- the token endpoint --------------------------------------------------------------------------------

-- A pair of tokens, an ID token where openid was asked for.
local function grant(self, client, scope, session)
  local options = { opaque = self.options.opaque }
  local out = {
    access_token = self:token({ client_id = client, scope = scope, sub = not session and client or nil }, options),
    token_type = "Bearer", expires_in = self.options.lifetime, scope = scope,
  }
  if session then
    out.refresh_token = random()
    self.refreshes[out.refresh_token] = { client = client, scope = scope, nonce = session.nonce }
    if (" " .. (scope or "") .. " "):find(" openid ", 1, true) then
      out.id_token = self:token({ aud = client, nonce = session.nonce }, { type = "JWT" })
    end
  end
  return answer(200, out)
end

local grants = {}

function grants.client_credentials(self, client, form)
  return grant(self, client, form.scope)
end

function grants.authorization_code(self, client, form)
  local asked = self.codes[form.code or ""]
  self.codes[form.code or ""] = nil
  if not asked or asked.client_id ~= client or asked.redirect_uri ~= form.redirect_uri then
    return refuse "invalid_grant"
  end
  local proof = form.code_verifier and crypto.base64url(crypto.digest("sha256", form.code_verifier))
  if asked.code_challenge ~= proof then
    return refuse "invalid_grant"
  end
  return grant(self, client, asked.scope, asked)
end

function grants.refresh_token(self, client, form)
  local session = self.refreshes[form.refresh_token or ""]
  self.refreshes[form.refresh_token or ""] = nil
  if not session or session.client ~= client then
    return refuse "invalid_grant"
  end
  return grant(self, client, form.scope or session.scope, session)
end

function handlers.token(self, request, form)
  local client = client_of(self, request, form)
  if request.method ~= "POST" or not grants[form.grant_type or ""] then
    return refuse "unsupported_grant_type"
  elseif not client then
    return refuse("invalid_client", 401)
  end
  return grants[form.grant_type](self, client, form)
end

-- --- what is asked about tokens ------------------------------------------------------------------------

local function claims_of(self, token)
  local claims = self.tokens[token or ""]
  return claims and claims.exp > time.now() and claims or nil
end

function handlers.introspect(self, request, form)
  if not client_of(self, request, form) then
    return refuse("invalid_client", 401)
  end
  local claims, out = claims_of(self, form.token), { active = false }
  if claims then
    for name, value in pairs(claims) do
      out[name] = value
    end
    out.active, out.token_type = true, "Bearer"
  end
  return answer(200, out)
end

function handlers.revoke(self, request, form)
  if not client_of(self, request, form) then
    return refuse("invalid_client", 401)
  end
  self.tokens[form.token or ""], self.refreshes[form.token or ""] = nil, nil
  return 200, {}, ""
end

function handlers.userinfo(self, request)
  local claims = claims_of(self, (request.headers.authorization or ""):match "^Bearer (%S+)$")
  if not claims then
    return 401, { ["WWW-Authenticate"] = 'Bearer error="invalid_token"' }, ""
  end
  return answer(200, { sub = claims.sub, name = "Name of " .. claims.sub })
end

function handlers.logout(_, _, query)
  if query.post_logout_redirect_uri then
    return redirect(query.post_logout_redirect_uri, { state = query.state })
  end
  return 200, {}, ""
end

-- --- life ------------------------------------------------------------------------------------------------

local function serve(self, request)
  local endpoint = ENDPOINTS[request.path]
  request.endpoint = endpoint
  if not endpoint then
    return 404, {}, ""
  end
  local script = self.scripts[endpoint]
  if type(script) == "function" then
    return script(request)
  elseif script then
    return script
  end
  local is_form = (request.headers["content-type"] or ""):find("x-www-form-urlencoded", 1, true)
  return handlers[endpoint](self, request, url.parse_query(is_form and request.body or request.query or ""))
end

--- What an endpoint does in place of its work: a script of test.upstream, or a function of the request. nil: its work.
---@param endpoint string
---@param script? table|function
function Issuer:script(endpoint, script)
  self.scripts[endpoint] = script
end

--- How often an endpoint was asked.
---@param endpoint string
---@return integer
function Issuer:count(endpoint)
  local n = 0
  for _, request in ipairs(self.requests) do
    n = n + (request.endpoint == endpoint and 1 or 0)
  end
  return n
end

--- It takes no connection any more. What a spec has started ends with it anyhow.
function Issuer:close()
  self.server:close()
end

local DEFAULTS = { algorithm = "ES256", subject = "user", audience = "api", lifetime = 300 }
local KNOWN = { clients = true, opaque = true, claims = true }

local function options_of(given)
  local options = {}
  for name, value in pairs(given or {}) do
    if DEFAULTS[name] == nil and not KNOWN[name] then
      error(("test.issuer: there is no option %q"):format(tostring(name)), 4)
    end
    options[name] = value
  end
  for name, value in pairs(DEFAULTS) do
    options[name] = options[name] or value
  end
  options.clients = options.clients or { client = "secret" }
  return options
end

function M.new(options)
  local self = setmetatable({
    options = options_of(options), keys = {}, tokens = {}, codes = {}, refreshes = {}, scripts = {},
  }, Issuer)
  self.server = upstream.new(function(request) return serve(self, request) end)
  self.url, self.requests = self.server.url, self.server.requests
  self:rotate()
  return self
end

return M
