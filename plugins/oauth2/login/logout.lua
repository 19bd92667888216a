-- SPDX-License-Identifier: Apache-2.0

-- The end of a session, here and at the issuer (OpenID Connect RP-Initiated Logout). Another site can't end it: what does
-- not come from a page of this one is asked for a click first.

local log = require "demilune.log"
local task = require "demilune.task"
local url = require "demilune.url"
local page = require "demilune.plugins.oauth2.login.page"
local start = require "demilune.plugins.oauth2.login.start"

local M = {}

-- Does the request come from a page of this site, or by the user's own hand?
local function is_own(exchange, origin)
  local request = exchange.request
  local site, from = request.headers["sec-fetch-site"], request.headers["origin"]
  if site then
    return site == "same-origin" or site == "none" and request.method == "GET"
  elseif from then
    return from == origin
  end
  local referer = request.headers["referer"] or ""
  return referer:sub(1, #origin + 1) == origin .. "/"
end

-- Refresh tokens outlive a logout at many issuers. Nobody waits for it.
local function revoke(login, session)
  local address = session.refresh and login.metadata:endpoint "revocation_endpoint"
  if address then
    task.detach(function()
      local response, why = login.client:post(address, { token = session.refresh, token_type_hint = "refresh_token" })
      if not response or response.status ~= 200 then
        log.info("a refresh token was not revoked", { issuer = login.issuer, reason = why or response.status })
      end
    end)
  end
end

-- Where the browser goes on; nil: to no other place.
local function place_of(login, session, origin)
  local after = login.after_logout and origin .. login.after_logout
  local address = login.metadata:endpoint "end_session_endpoint"
  if not address then
    return after
  end
  local glue = address:find("?", 1, true) and "&" or "?"
  return address .. glue .. url.query {
    client_id = login.client.id, id_token_hint = session and session.id_token, post_logout_redirect_uri = after,
  }
end

function M.run(login, exchange, own)
  local origin, method = login:origin(exchange), exchange.request.method
  if method ~= "GET" and method ~= "POST" then
    return page.show(exchange, 405, "Not so", "This address is for GET and POST.",
      { headers = { Allow = "GET, POST" } })
  elseif not is_own(exchange, origin) then
    if method == "POST" then
      return page.show(exchange, 403, "Not so", "The request comes from another site.")
    end
    return page.show(exchange, 200, "Sign out?", "Another site has sent you here.",
      { button = { to = login.logout_path, text = "Sign out" } })
  end
  local entry, word = login.sessions:find(own, {})
  local session = entry and entry.session
  if word or session and not login.sessions:remove(session) then -- who has copied the cookie could go on
    return page.unavailable(exchange, { title = "Signing out is not possible for now" })
  elseif session then
    revoke(login, session)
  end
  local fields = login.sessions:clear()
  fields[#fields + 1] = start.uncount(login)
  local to = place_of(login, session, origin)
  if to then
    return page.redirect(exchange, to, fields)
  end
  page.show(exchange, 200, "You are signed out", "You may still be signed in at the identity provider.",
    { fields = fields })
end

return M
