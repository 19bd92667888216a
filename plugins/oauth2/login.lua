-- SPDX-License-Identifier: Apache-2.0

-- Browsers that log in at an issuer (OpenID Connect, authorization code with PKCE) and have a session here: what comes
-- in is handed to the one of login/ whose it is.

local crypto = require "demilune.crypto"
local stores = require "demilune.store"
local url = require "demilune.url"
local Client = require "demilune.plugins.oauth2.client"
local Metadata = require "demilune.plugins.oauth2.metadata"
local Carried = require "demilune.plugins.oauth2.login.carried"
local Cookies = require "demilune.plugins.oauth2.login.cookies"
local IdTokens = require "demilune.plugins.oauth2.login.id_token"
local Kept = require "demilune.plugins.oauth2.login.kept"
local Pending = require "demilune.plugins.oauth2.login.pending"
local callback = require "demilune.plugins.oauth2.login.callback"
local logout = require "demilune.plugins.oauth2.login.logout"
local page = require "demilune.plugins.oauth2.login.page"
local records = require "demilune.plugins.oauth2.login.records"
local refresh = require "demilune.plugins.oauth2.login.refresh"
local start = require "demilune.plugins.oauth2.login.start"

local Login = {}
Login.__index = Login

local SECRET_LEAST = 32
local NEVER = 1e9 -- seconds that stand for no idle timeout

-- --- made at load ----------------------------------------------------------------------------------

-- The part of a config about the issuer where browsers log in; nil and message.
local function issuer_of(config)
  local named = config.login.issuer
  if type(config.issuer) == "string" then
    if named and named ~= config.issuer then
      return nil, "not the issuer of this place"
    end
    return config
  end
  for _, item in ipairs(config.issuer) do
    if item.issuer == named then
      return {
        issuer = named, keys = item.keys, jwks_uri = item.jwks_uri, algorithms = item.algorithms or config.algorithms,
      }
    end
  end
  return nil, named and "none of the issuers of this place" or "missing: where are browsers to log in?"
end

-- Cookies of logins are sealed with what the client's secret gives, so whoever guesses that can make them. Who has one can
-- try guesses as fast as he likes.
local function warnings_of(options)
  if not options.keys and #options.client_secret < SECRET_LEAST then
    return { { ("cookies of logins are sealed with it, and %d characters can be guessed: give login.keys, or a secret "
      .. "of %d characters or more"):format(#options.client_secret, SECRET_LEAST), "login.client_secret" } }
  end
end

local function fault_of(config, options)
  if config.anonymous then
    return "either login or anonymous: who is not logged in is sent to the issuer", "anonymous"
  elseif options.redirect_path == options.logout_path then
    return "not the same as redirect_path", "login.logout_path"
  elseif options.store == "redis" and not options.redis then
    return "missing: the name of a server in redis", "login.redis"
  elseif options.store == "cookie" and not options.keys then
    return "missing: what cookies are sealed with", "login.keys"
  elseif not options.client_secret and not options.keys then
    return "missing: without client_secret there is nothing that logins could be sealed with", "login.keys"
  elseif options.plain_http and (options.origin or ""):find "^https:" then
    return "not with an origin of https", "login.plain_http"
  elseif options.lifetime <= 0 then
    return "must be more than nothing", "login.lifetime"
  end
end

-- openid comes first, for without it there is no login.
local function scope_of(list)
  local out = { "openid" }
  for _, scope in ipairs(list) do
    if scope ~= "openid" then
      out[#out + 1] = scope
    end
  end
  return table.concat(out, " ")
end

-- nil, message and path where the configuration has no such place.
local function sessions_of(self, options, realm, admission)
  local common = {
    realm = realm, cookies = self.cookies, lifetime = options.lifetime, keys = options.keys,
    idle = options.idle_timeout > 0 and options.idle_timeout or NEVER,
    admit = function(session) return admission:entry(session.claims) end,
  }
  local is_carried = options.store == "cookie"
  local kind = is_carried and "memory" or options.store
  local is_there, place = pcall(is_carried and stores.use or records[kind], options[kind])
  if not is_there then
    return nil, ("the configuration has no such %s"):format(kind == "redis" and "redis" or "store"), "login." .. kind
  end
  return is_carried and Carried.new(common, place) or Kept.new(common, place)
end

-- nil, message and path when the config is at fault.
function Login.new(config, line, admission)
  local options = config.login
  local message, path = fault_of(config, options)
  if message then
    return nil, message, path
  end
  local issuer
  issuer, message = issuer_of(config)
  if not issuer then
    return nil, message, "login.issuer"
  end
  local realm = issuer.issuer .. " " .. options.client_id
  local name = options.cookie or "demilune-" .. crypto.hex(crypto.digest("sha256", realm)):sub(1, 8)
  local self = setmetatable({
    issuer = issuer.issuer, client = Client.new(options, line), metadata = Metadata.new(issuer.issuer, options, line),
    scope = scope_of(options.scopes), parameters = options.parameters or {},
    userinfo = options.userinfo, pass_token = options.pass_token,
    redirect_path = options.redirect_path, logout_path = options.logout_path, after_logout = options.after_logout,
    fixed_origin = options.origin, is_plain = options.plain_http, cookies = Cookies.new(name, options.plain_http),
    admission = admission, calls = 0, warnings = warnings_of(options),
  }, Login)
  self.id_tokens, message, path = IdTokens.new(issuer, options.client_id, config.clock_skew, line)
  if not self.id_tokens then
    return nil, message, path
  end
  self.pending = Pending.new(options.keys or { options.client_secret }, self.cookies, realm)
  self.sessions, message, path = sessions_of(self, options, realm, admission)
  return self.sessions and self, message, path
end

function Login:watch(version)
  self.metadata:watch(version)
  self.id_tokens:watch(version)
end

-- --- requests --------------------------------------------------------------------------------------

-- The site's own origin, as browsers know it.
function Login:origin(exchange)
  local request = exchange.request
  return self.fixed_origin or request.scheme .. "://" .. url.authority(request.scheme, request.host, request.port)
end

-- Is the request about logging in or out, whatever it brings?
function Login:is_own(exchange)
  local path = exchange.request.path
  return path == self.redirect_path or path == self.logout_path
end

-- The upstream does not see the cookies, whoever is let in.
function Login:hide(exchange)
  local headers = exchange.request.headers
  if (headers["cookie"] or ""):find(self.cookies.name, 1, true) then
    headers["cookie"] = select(2, self.cookies:split(exchange))
  end
end

local function let_in(self, exchange, entry, others, fields)
  local headers = exchange.request.headers
  self.admission:let_in(exchange, entry)
  headers["cookie"] = others
  headers["authorization"] = entry.session.access and "Bearer " .. entry.session.access or nil
  for _, field in ipairs(fields) do
    exchange.response.headers:add("set-cookie", field)
  end
end

-- False when the request has been answered.
function Login:access(exchange)
  if not self.fixed_origin and not exchange.request.host then -- HTTP/1.0 may not say it
    page.show(exchange, 400, "Which site is it?", "The request does not say which host it is for.")
    return false
  end
  local own, others = self.cookies:split(exchange)
  local path, fields = exchange.request.path, {}
  if path == self.redirect_path then
    callback.run(self, exchange, own)
    return false
  elseif path == self.logout_path then
    logout.run(self, exchange, own)
    return false
  end
  local entry, word = self.sessions:find(own, fields)
  entry = entry and refresh.ahead(self, entry, fields)
  if not entry then
    if word then
      page.unavailable(exchange)
    else
      start.run(self, exchange, own)
    end
    return false
  elseif not entry.is_enough then
    page.show(exchange, 403, "Not for you", "Your account does not allow this.",
      { link = { to = self.logout_path, text = "Sign out" } })
    return false
  end
  let_in(self, exchange, entry, others, fields)
  return true
end

return Login
