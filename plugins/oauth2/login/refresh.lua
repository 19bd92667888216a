-- SPDX-License-Identifier: Apache-2.0

-- Sessions are renewed at the issuer before their tokens end: once, however many requests find it due, over all workers
-- and, with Redis, over all gateways. A refresh token is good once with many issuers, and asking twice would end the
-- session. While the issuer is away the session goes on.

local log = require "demilune.log"
local stores = require "demilune.store"
local task = require "demilune.task"
local time = require "demilune.time"
local sessions = require "demilune.plugins.oauth2.login.session"
local userinfo = require "demilune.plugins.oauth2.login.userinfo"

local M = {}

local BACKOFF = 10 -- seconds that what came of it is good for
local PATIENCE = 5 -- seconds that a request waits
local LEASE = 30
local LOOK = 0.1   -- seconds between two looks whether another gateway is done

-- Of a new ID token; nil: those of before stay, for there is none, or userinfo that belongs to it can't be had. nil and a
-- word when it is not good.
local function claims_of(login, session, answer)
  if not answer.id_token then
    return nil
  end
  local claims, why = login.id_tokens:verify(answer.id_token, nil, session.claims.sub)
  if not claims or not login.userinfo then
    return claims, why
  end
  claims, why = userinfo.add(login, claims, answer.access_token)
  if not claims then
    log.warn("userinfo can't be had for now", { issuer = login.issuer, reason = why })
  end
  return claims
end

local function ask(login, entry)
  local session = entry.session
  local address, why = login.metadata:endpoint "token_endpoint"
  local answer, kind
  if address then
    answer, why, kind = login.client:tokens(address, { grant_type = "refresh_token", refresh_token = session.refresh })
  end
  if kind == "refused" and why == "invalid_grant" then
    login.sessions:remove(session)
    return "ended"
  elseif not answer then
    log.warn("a session can't be renewed for now", { issuer = login.issuer, reason = why })
    return "down"
  end
  local claims, word = claims_of(login, session, answer)
  if word and word ~= "unavailable" then
    log.warn("a renewed ID token is not good", { issuer = login.issuer, reason = word })
    login.sessions:remove(session)
    return "ended"
  end
  local done = login.sessions:replace(entry, sessions.renewed(session, claims, answer, login))
  return done and "done" or "ended"
end

-- Another gateway renews it: waits for that.
local function wait(login, entry)
  local until_when = time.monotonic() + PATIENCE
  repeat
    task.sleep(LOOK)
    if login.sessions:newer(entry) then
      return "done"
    end
  until time.monotonic() >= until_when
  return "down"
end

local function renew(login, entry)
  if login.sessions:newer(entry) then
    return "done"
  elseif login.sessions:lock(entry, LEASE) then
    local word = ask(login, entry)
    login.sessions:unlock(entry)
    return word
  end
  return wait(login, entry)
end

-- What comes of it; nil when that takes too long to be waited for. It goes on when the request has left.
local function outcome(login, entry)
  local session = entry.session
  local store = stores.use()
  local key = ("oauth2 renewal %s %d"):format(sessions.name(session.id), session.turn)
  local known = store:get(key)
  if known ~= nil then
    return known
  end
  local work = task.detach(function()
    return store:once(key, BACKOFF, function() return renew(login, entry) end, { lease = LEASE })
  end)
  return (task.deadline(PATIENCE, work.join, work))
end

-- The entry to go on with, renewed if it was due; nil when the session has ended. fields: Set-Cookie fields are added.
function M.ahead(login, entry, fields)
  local session = entry.session
  if session.renew_at and session.renew_at <= time.now() then
    local word = outcome(login, entry)
    if word == "ended" then
      return nil
    elseif word == "done" then
      entry = login.sessions:newer(entry, fields) or entry
    end
  end
  session = entry.session
  if login.pass_token and not session.refresh and session.expires and session.expires <= time.now() then
    return nil
  end
  return entry
end

return M
