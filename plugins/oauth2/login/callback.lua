-- SPDX-License-Identifier: Apache-2.0

-- The browser comes back from the issuer. Its answer must belong to a login that this browser has begun, once, and be of
-- the issuer that it was sent to; then the code is exchanged for tokens, and a session of a new id begins.

local log = require "demilune.log"
local url = require "demilune.url"
local page = require "demilune.plugins.oauth2.login.page"
local sessions = require "demilune.plugins.oauth2.login.session"
local start = require "demilune.plugins.oauth2.login.start"
local userinfo = require "demilune.plugins.oauth2.login.userinfo"

local M = {}

local TEXT_MAX = 4096
local CALLS_MAX = 64 -- of a worker and place at a time: anybody can begin a login, and come back with a code of his own
local AWAY = { temporarily_unavailable = true, server_error = true }

-- The parameters; nil when one stands there twice, or is too long.
local function answer_of(request)
  local query = url.parse_query(request.query or "")
  for _, value in pairs(query) do
    if type(value) ~= "string" or #value > TEXT_MAX then
      return nil
    end
  end
  return query
end

local function again(to)
  return { to = to or "/", text = "Sign in again" }
end

-- What the log may have of a text that anybody may have sent.
local function word_of(text)
  return text:find "^[%w_.-]+$" and #text <= 64 and text or "?"
end

-- The issuer has refused, or can't.
local function refused(exchange, error, options)
  log.info("a login was refused", { reason = word_of(error) })
  if AWAY[error] then
    return page.unavailable(exchange, options)
  elseif error == "access_denied" then
    return page.show(exchange, 403, "You were not signed in", "The identity provider has refused, or you have "
      .. "cancelled.", options)
  end
  page.show(exchange, 400, "You were not signed in", "The identity provider has not let you in.", options)
end

-- Is it of the issuer that the browser was sent to? (RFC 9207)
local function is_of_issuer(login, answer)
  if answer.iss == nil then
    return not login.metadata:says "authorization_response_iss_parameter_supported"
  end
  return answer.iss == login.issuer
end

-- The issuer's tokens and the claims of who has logged in; nil, why and the kind of failure.
local function exchange_code(login, pending, code, origin)
  local address, why = login.metadata:endpoint "token_endpoint"
  if not address then
    return nil, why, "unavailable"
  end
  local answer, kind
  answer, why, kind = login.client:tokens(address, {
    grant_type = "authorization_code", code = code, redirect_uri = origin .. login.redirect_path,
    code_verifier = pending.verifier,
  })
  if not answer then
    return nil, why, kind
  elseif not answer.id_token then
    return nil, "there is no ID token", "refused"
  end
  local claims, word = login.id_tokens:verify(answer.id_token, pending.nonce)
  if not claims then
    return nil, "ID token: " .. word, word == "unavailable" and word or "refused"
  end
  if login.userinfo then
    claims, why = userinfo.add(login, claims, answer.access_token)
    if not claims then
      return nil, why, "unavailable"
    end
  end
  return answer, claims
end

-- Ends the session of before, and begins one. Its Set-Cookie fields; nil and why.
local function begin(login, own, answer, claims)
  local fields, why = login.sessions:create(sessions.new(claims, answer, login))
  if not fields then
    return nil, why
  end
  local before = login.sessions:find(own, {})
  if before then
    login.sessions:remove(before.session)
  end
  return fields
end

-- No login of this browser's that is under way: it may have ended, in another tab or by coming here again.
local function unknown(login, exchange, own)
  if login.sessions:find(own, {}) then
    return page.redirect(exchange, login:origin(exchange) .. "/")
  end
  page.show(exchange, 400, "This sign-in is not known here", "It has taken too long, was used before, or was begun in "
    .. "another browser; or this site's cookies are blocked.", { link = again() })
end

-- True when a session has begun.
local function finish(login, exchange, own, pending, code, taken)
  local origin = login:origin(exchange)
  local answer, claims, kind = exchange_code(login, pending, code, origin)
  local fields, why
  if answer then
    fields, why = begin(login, own, answer, claims)
    kind = why == "too large" and "too large" or "unavailable"
  else
    why = claims
  end
  if fields then
    fields[#fields + 1], fields[#fields + 2] = taken, start.count(login, own)
    page.redirect(exchange, origin .. pending.place, fields)
    return true
  end
  log.warn("a login has failed", { issuer = login.issuer, reason = why })
  local options = { fields = { taken }, link = again(origin .. pending.place) }
  if kind == "unavailable" then
    page.unavailable(exchange, options)
  elseif kind == "too large" then
    page.show(exchange, 500, "You were not signed in", "What is to be kept of you does not fit into this site's "
      .. "cookies.", { fields = { taken } })
  else
    page.show(exchange, 400, "You were not signed in", "The identity provider's answer was not good.", options)
  end
  return false
end

-- True when a session has begun.
local function go_on(login, exchange, own, pending, answer, taken)
  local options = { fields = { taken }, link = again() }
  if not is_of_issuer(login, answer) then
    log.warn("an answer of another issuer", { issuer = login.issuer })
    page.show(exchange, 400, "You were not signed in", "The answer is of another identity provider.", options)
  elseif answer.error then
    refused(exchange, answer.error, options)
  elseif not answer.code or answer.code == "" then
    page.show(exchange, 400, "You were not signed in", "The identity provider's answer has no code.", options)
  else
    return finish(login, exchange, own, pending, answer.code, taken)
  end
  return false
end

local function take(login, exchange, own)
  local answer = exchange.request.method == "GET" and answer_of(exchange.request)
  if not answer then
    return page.show(exchange, 400, "This is no answer", "The request is none of the identity provider's.",
      { link = again() })
  end
  local pending, taken
  if answer.state and answer.state ~= "" then
    pending, taken = login.pending:take(own, answer.state)
  end
  if taken == "full" then
    page.unavailable(exchange)
  elseif not pending then
    unknown(login, exchange, own)
  elseif not go_on(login, exchange, own, pending, answer, taken) then
    login.pending:forget(pending)
  end
end

-- A browser that is turned away can come again with the same answer.
function M.run(login, exchange, own)
  if login.calls >= CALLS_MAX then
    return page.unavailable(exchange)
  end
  login.calls = login.calls + 1
  local ok, message = pcall(take, login, exchange, own)
  login.calls = login.calls - 1
  if not ok then
    error(message, 0)
  end
end

return M
