-- SPDX-License-Identifier: Apache-2.0

-- Sessions that browsers carry, sealed, in a cookie or in several where one is too small. The gateway keeps nothing of
-- them but, for a while, which of them have ended and what a renewal has made of those that are under way.

local marks = require "demilune.marks"
local memory = require "demilune.plugins.oauth2.memory"
local time = require "demilune.time"
local Seal = require "demilune.plugins.oauth2.login.seal"
local sessions = require "demilune.plugins.oauth2.login.session"

local Carried = {}
Carried.__index = Carried

local PIECE = 3800 -- characters of a cookie's value: browsers take 4096 with its name
local MOST = 4     -- cookies of a session
local RENEWED = 600 -- seconds that requests with the cookie of before get the new one

-- options: as of kept.lua, and keys: secrets of the seal. store: for what was renewed.
function Carried.new(options, store)
  return setmetatable({
    options = options, store = store, cookies = options.cookies, opened = memory.new(),
    seal = Seal.new(options.keys, "oauth2 session " .. options.realm),
  }, Carried)
end

-- --- cookies ---------------------------------------------------------------------------------------

local function suffix_of(i)
  return i == 1 and "" or "-" .. i
end

-- The pieces of a request put together: "3.abc" + "def" + "ghi"; nil when one is missing.
local function gather(own)
  local count, first = (own[""] or ""):match "^(%d)%.(.*)$"
  count = tonumber(count)
  if not count or count < 1 or count > MOST then
    return nil
  end
  local pieces = { first }
  for i = 2, count do
    pieces[i] = own[suffix_of(i)]
    if not pieces[i] then
      return nil
    end
  end
  return table.concat(pieces)
end

-- The Set-Cookie fields of a text; nil when it is too large. Pieces that are not needed are taken away.
local function fields_of(self, text)
  local count = math.max(1, math.ceil(#text / PIECE))
  if count > MOST then
    return nil
  end
  local fields = {}
  for i = 1, MOST do
    local piece = text:sub((i - 1) * PIECE + 1, i * PIECE)
    if i == 1 then
      piece = count .. "." .. piece
    end
    fields[i] = i <= count and self.cookies:set(suffix_of(i), piece) or self.cookies:clear(suffix_of(i))
  end
  return fields
end

-- The Set-Cookie fields of a session. The ID token is the first to be left out where there is no room.
local function fields_of_session(self, session)
  local fields = fields_of(self, self.seal:seal(sessions.encode(session)))
  if not fields and session.id_token then
    session.id_token = nil
    fields = fields_of(self, self.seal:seal(sessions.encode(session)))
  end
  return fields
end

-- --- sessions ----------------------------------------------------------------------------------------

local function ended(session)
  return "e" .. sessions.name(session.id)
end

local function renewed(session)
  return ("oauth2 renewed %s %d"):format(sessions.name(session.id), session.turn)
end

local function open(self, text)
  local entry = self.opened:get(text)
  if entry then
    return entry
  end
  local plain = self.seal:open(text)
  local session = plain and sessions.decode(plain)
  if not session then
    return nil
  end
  entry = self.options.admit(session)
  entry.session = session
  self.opened:put(text, entry)
  return entry
end

local function is_over(self, session)
  local now = time.now()
  return session.born + self.options.lifetime <= now or session.seen + self.options.idle <= now
    or marks.has(ended(session))
end

-- fields: the response's Set-Cookie fields are added to it.
function Carried:find(own, fields)
  local text = gather(own)
  local entry = text and open(self, text)
  if not entry or is_over(self, entry.session) then
    return nil
  end
  local session = entry.session
  if time.now() - session.seen > math.min(60, self.options.idle / 10) then
    local longer = {}
    for name, value in pairs(session) do
      longer[name] = value
    end
    longer.seen = time.now()
    for _, field in ipairs(fields_of_session(self, longer) or {}) do
      fields[#fields + 1] = field
    end
  end
  return entry
end

function Carried:create(session)
  local fields = fields_of_session(self, session)
  if not fields then
    return nil, "too large"
  end
  return fields
end

function Carried:replace(entry, session)
  if is_over(self, entry.session) then
    return false
  end
  return self.store:set(renewed(entry.session), self.seal:seal(sessions.encode(session)), RENEWED) == true
end

function Carried:newer(entry, fields)
  local text = self.store:get(renewed(entry.session))
  local found = text and open(self, text)
  if not found then
    return nil
  end
  for _, field in ipairs(fields and fields_of_session(self, found.session) or {}) do
    fields[#fields + 1] = field
  end
  return found
end

-- Gateways that share nothing can't stand in line.
function Carried.lock()
  return true
end

function Carried.unlock() end

-- False when it could not be ended.
function Carried:remove(session)
  local left = session.born + self.options.lifetime - time.now()
  if left > 0 then
    return marks.first(ended(session), left) ~= nil
  end
  return true
end

function Carried:clear()
  local fields = {}
  for i = 1, MOST do
    fields[i] = self.cookies:clear(suffix_of(i))
  end
  return fields
end

return Carried
