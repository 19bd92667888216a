-- SPDX-License-Identifier: Apache-2.0

-- A browser without a session: a page is sent to the issuer, a script is told. However often a session is lost as soon
-- as it begins, nobody is sent in circles for long.

local crypto = require "demilune.crypto"
local log = require "demilune.log"
local time = require "demilune.time"
local url = require "demilune.url"
local page = require "demilune.plugins.oauth2.login.page"

local M = {}

local ROUNDS = 3      -- logins of a browser one after another
local ROUNDS_LIFE = 30 -- seconds after which it may begin anew
local COUNT = "-n"    -- the cookie that counts them
local QUIET = 60      -- seconds between two complaints

-- The Set-Cookie field that counts a login that has ended well.
function M.count(login, own)
  return login.cookies:set(COUNT, (tonumber(own[COUNT]) or 0) + 1, ROUNDS_LIFE)
end

function M.uncount(login)
  return login.cookies:clear(COUNT)
end

local function question_of(login, pending, origin)
  local query = {}
  for name, value in pairs(login.parameters) do
    query[name] = value
  end
  query.response_type, query.client_id, query.scope = "code", login.client.id, login.scope
  query.redirect_uri, query.state, query.nonce = origin .. login.redirect_path, pending.state, pending.nonce
  query.code_challenge_method = "S256"
  query.code_challenge = crypto.base64url(crypto.digest("sha256", pending.verifier))
  return url.query(query)
end

-- What an operator has to mend: now and then, for anybody can make us say it.
local function complain(login, text, fields)
  local now = time.monotonic()
  if now - (login.complained or -QUIET) >= QUIET then
    login.complained = now
    log.error(text, fields)
  end
end

local function send(login, exchange, own, origin)
  local address, why = login.metadata:endpoint "authorization_endpoint"
  if not address then
    if why ~= "unavailable" then
      complain(login, "nobody can log in", { issuer = login.issuer, reason = why })
    end
    return page.unavailable(exchange, { link = { to = origin .. exchange.request.path, text = "Try again" } })
  end
  local pending, fields = login.pending:begin(exchange.request, own)
  local glue = address:find("?", 1, true) and "&" or "?"
  page.redirect(exchange, address .. glue .. question_of(login, pending, origin), fields)
end

function M.run(login, exchange, own)
  local method = exchange.request.method
  local origin = login:origin(exchange)
  if not page.is_navigation(exchange) or method ~= "GET" and method ~= "HEAD" then
    page.show(exchange, 401, "You are signed out", "You are not signed in, or no longer. What you have sent was not "
      .. "carried out.", { headers = { ["WWW-Authenticate"] = "Bearer" }, link = { to = "/", text = "Sign in" } })
  elseif not login.is_plain and not origin:find "^https:" then
    complain(login, "nobody can log in over plain HTTP: say origin, trusted_proxies or plain_http")
    page.show(exchange, 400, "Signing in needs https", "This address is not protected. Please use the one that begins "
      .. "with https.")
  elseif (tonumber(own[COUNT]) or 0) >= ROUNDS then
    page.show(exchange, 400, "Signing in does not hold", "You were signed in several times, and each time the session "
      .. "was lost at once. Please allow cookies for this site, and try again in half a minute.",
      { link = { to = origin .. exchange.request.path, text = "Try again" } })
  else
    send(login, exchange, own, origin)
  end
end

return M
