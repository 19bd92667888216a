-- SPDX-License-Identifier: Apache-2.0

-- Sessions that the gateway keeps, in memory or in Redis (records.lua). The browser has an id; the record is found by a
-- digest of it and sealed with a key that is made of it, so that who reads the records can use none of them.

local memory = require "demilune.plugins.oauth2.memory"
local time = require "demilune.time"
local Seal = require "demilune.plugins.oauth2.login.seal"
local sessions = require "demilune.plugins.oauth2.login.session"

local Kept = {}
Kept.__index = Kept

-- options: realm, idle, lifetime (seconds), cookies, admit (session → what is remembered of it).
function Kept.new(options, records)
  return setmetatable({
    records = records, options = options, cookies = options.cookies, opened = memory.new(),
    purpose = "oauth2 session " .. options.realm,
  }, Kept)
end

local function life_of(self, session)
  return math.min(self.options.idle, session.born + self.options.lifetime - time.now())
end

local function open(self, text, id)
  local entry = self.opened:get(text)
  if entry then
    return entry
  end
  local plain = Seal.new({ id }, self.purpose):open(text)
  local session = plain and sessions.decode(plain)
  if not session or session.id ~= id then
    return nil
  end
  entry = self.options.admit(session)
  entry.session, entry.text = session, text
  self.opened:put(text, entry)
  return entry
end

local function text_of(self, session)
  return Seal.new({ session.id }, self.purpose):seal(sessions.encode(session))
end

-- The entry of the browser's session; nil; nil and a word when it can't be told.
function Kept:find(own)
  local id = own[""]
  if not id or #id ~= 43 or id:find "[^%w_-]" then
    return nil
  end
  local name = sessions.name(id)
  local text, left = self.records:get(name)
  local entry = text and open(self, text, id)
  if not entry then
    return nil, not text and left or nil
  end
  local life = life_of(self, entry.session)
  if life <= 0 then
    self.records:remove(name)
    return nil
  elseif life - left > math.min(60, self.options.idle / 10) then
    self.records:touch(name, text, life)
  end
  return entry
end

-- The Set-Cookie fields of a session that begins; nil and why.
function Kept:create(session)
  local ok, word = self.records:put(sessions.name(session.id), text_of(self, session), life_of(self, session))
  if not ok then
    return nil, word
  end
  return { self.cookies:set("", session.id) }
end

-- Puts what a renewal has made in the place of an entry's. False when that has ended meanwhile.
function Kept:replace(entry, session)
  return self.records:swap(sessions.name(session.id), entry.text, text_of(self, session), life_of(self, session))
end

-- The entry of the same session after a renewal, or nil. The browser need not be told.
function Kept:newer(entry)
  local id = entry.session.id
  local text = self.records:get(sessions.name(id))
  return text and text ~= entry.text and open(self, text, id) or nil
end

-- True for one who renews it, over all gateways, until unlock.
function Kept:lock(entry, seconds)
  return self.records:lock(sessions.name(entry.session.id), seconds)
end

function Kept:unlock(entry)
  self.records:unlock(sessions.name(entry.session.id))
end

-- False when it could not be ended.
function Kept:remove(session)
  return self.records:remove(sessions.name(session.id))
end

-- The Set-Cookie fields that take it away.
function Kept:clear()
  return { self.cookies:clear "" }
end

return Kept
