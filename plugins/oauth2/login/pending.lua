-- SPDX-License-Identifier: Apache-2.0

-- Logins that have begun and not ended. The browser keeps each in a sealed cookie of its own, so that several tabs can
-- log in side by side, no other browser can end one of them, and nobody fills the gateway's memory by beginning many.

local crypto = require "demilune.crypto"
local json = require "demilune.json"
local marks = require "demilune.marks"
local time = require "demilune.time"
local Seal = require "demilune.plugins.oauth2.login.seal"

local Pending = {}
Pending.__index = Pending

local LIFE = 600  -- seconds that a login may take
local MOST = 4    -- that one browser has at a time
local TAG = 8     -- characters of the state that are in the cookie's name
local PREFIX = "-p-"
local PLACE_MAX = 1024

-- secrets: of the seal; cookies: demilune.plugins.oauth2.login.cookies; realm: whose logins they are.
function Pending.new(secrets, cookies, realm)
  return setmetatable({ seal = Seal.new(secrets, "oauth2 login " .. realm), cookies = cookies }, Pending)
end

local function random()
  return crypto.base64url(crypto.random(32))
end

local function suffix_of(state)
  return PREFIX .. state:sub(1, TAG)
end

-- A pending login of this cookie; nil when it is none, or has taken too long.
local function open(self, value)
  local text = value and self.seal:open(value)
  local login = text and json.decode(text)
  return login and login.at + LIFE > time.now() and login or nil
end

-- Set-Cookie fields that take away what the browser has too much of: the oldest, and what is none.
local function make_room(self, own)
  local list, out = {}, {}
  for suffix, value in pairs(own) do
    if suffix:sub(1, #PREFIX) == PREFIX then
      local login = open(self, value)
      list[#list + 1] = { suffix = suffix, at = login and login.at or 0 }
    end
  end
  table.sort(list, function(a, b) return a.at > b.at end)
  for i, item in ipairs(list) do
    if i >= MOST or item.at == 0 then
      out[#out + 1] = self.cookies:clear(item.suffix)
    end
  end
  return out
end

-- Where the browser is to be in the end: a path of this site with its query, as far as it has room in a cookie.
local function place_of(request)
  local path, query = request.path, request.query
  local whole = query and path .. "?" .. query or path
  return #whole <= PLACE_MAX and whole or #path <= PLACE_MAX and path or "/"
end

-- Begins one: { state, nonce, verifier, place } and the Set-Cookie fields.
function Pending:begin(request, own)
  local login = { state = random(), nonce = random(), verifier = random(), place = place_of(request), at = time.now() }
  local fields = make_room(self, own)
  fields[#fields + 1] = self.cookies:set(suffix_of(login.state), self.seal:seal(assert(json.encode(login))), LIFE)
  return login, fields
end

local function mark_of(state)
  return "s" .. crypto.digest("sha256", state)
end

-- Ends the one of a state: it and the Set-Cookie field that takes it away. nil when this browser has none of it, or it
-- has ended before; nil and "full" when that can't be told.
function Pending:take(own, state)
  local suffix = suffix_of(state)
  local login = open(self, own[suffix])
  if not login or not crypto.equal(login.state, state) then
    return nil
  end
  local is_first = marks.first(mark_of(state), LIFE)
  if not is_first then
    return nil, is_first == nil and "full" or nil
  end
  return login, self.cookies:clear(suffix)
end

-- Nobody has logged in by this one. It is not marked any longer, so that only who can log in takes room for marks.
function Pending.forget(_, login)
  marks.forget(mark_of(login.state))
end

return Pending
