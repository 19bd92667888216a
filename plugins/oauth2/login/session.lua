-- SPDX-License-Identifier: Apache-2.0

-- What is kept of a browser's session: the claims of who has logged in, and the tokens that are still of use.

local crypto = require "demilune.crypto"
local json = require "demilune.json"
local time = require "demilune.time"

local M = {}

local AHEAD = 60 -- seconds before its end that a token is renewed, at most; a fifth of a short life

---@class oauth2.session
---@field id string  Random; the browser has it in its cookie, or in what its cookie holds.
---@field turn integer  How often it was renewed.
---@field born number  When it began.
---@field seen number  When it was last made longer (of sessions in cookies).
---@field claims table
---@field refresh string?  The refresh token.
---@field renew_at number?  When it is due.
---@field access string?  The access token, for the upstream.
---@field expires number?  Its end.
---@field id_token string?  For the logout.

local function with_tokens(session, answer, keeps_access)
  local now, life = time.now(), answer.expires_in
  session.refresh = answer.refresh_token or session.refresh
  session.id_token = answer.id_token or session.id_token
  session.expires = life and now + life or nil
  session.renew_at = session.refresh and life and now + life - math.min(AHEAD, life / 5) or nil
  session.access = keeps_access and answer.access_token or nil
  session.seen = now
  return session
end

-- The claims of an ID token as those of a token are: with the client and the scopes that were granted.
local function claims_of(claims, answer, client_id, scopes)
  claims.client_id = claims.client_id or client_id
  claims.scope = answer.scope or claims.scope or scopes
  return claims
end

-- answer: of the token endpoint; login: the place's (client, scope, pass_token).
function M.new(claims, answer, login)
  return with_tokens({
    id = crypto.base64url(crypto.random(32)), turn = 0, born = time.now(),
    claims = claims_of(claims, answer, login.client.id, login.scope),
  }, answer, login.pass_token)
end

-- It after a renewal: another table. claims: of a new ID token, if there was one.
function M.renewed(session, claims, answer, login)
  local scope = session.claims.scope
  return with_tokens({
    id = session.id, turn = session.turn + 1, born = session.born, refresh = session.refresh,
    id_token = session.id_token,
    claims = claims and claims_of(claims, answer, login.client.id, scope) or session.claims,
  }, answer, login.pass_token)
end

-- What may stand in a name: it does not tell the id.
function M.name(id)
  return crypto.base64url(crypto.digest("sha256", id))
end

function M.encode(session)
  return assert(json.encode(session))
end

function M.decode(text)
  local session = json.decode(text, { depth = 40 })
  return type(session) == "table" and session or nil
end

return M
