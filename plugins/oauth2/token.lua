-- SPDX-License-Identifier: Apache-2.0

-- Access tokens that requests bring: JWTs are verified here (bearer.lua), others by asking the issuer
-- (introspection.lua). What came of a token is remembered until it is over: of a request with such a token no more is
-- done than to look it up.

local regex = require "demilune.regex"
local time = require "demilune.time"
local binding = require "demilune.plugins.oauth2.binding"
local challenge = require "demilune.plugins.oauth2.challenge"
local memory = require "demilune.plugins.oauth2.memory"
local remotes = require "demilune.plugins.oauth2.remote"

local now = time.now
local TOKEN = regex.compile [[^[A-Za-z0-9._~+/-]+=*\z]] -- compiled, for tokens are long

local Tokens = {}
Tokens.__index = Tokens

-- bearer, introspection: one of them may be nil.
function Tokens.new(bearer, introspection, admission, config, context)
  return setmetatable({
    bearer = bearer, introspection = introspection, admission = admission, memory = memory.new(),
    answers = challenge.new(config.scopes, admission.identity), binding = binding.new(context),
  }, Tokens)
end

-- The request's token and its scheme; nil and what its refusal gives.
local function token_of(self, exchange, value)
  if not value then
    return nil, self.answers:none(exchange)
  elseif value:find(",", 1, true) and #exchange.request.headers:all "authorization" > 1 then -- they are joined by it
    return nil, self.answers:malformed(exchange, "The request has several Authorization fields.")
  end
  local scheme, at = value:match "^(%S+) *()"
  scheme = scheme and scheme:lower()
  if scheme ~= "bearer" and scheme ~= "dpop" then
    return nil, self.answers:none(exchange)
  end
  local token = value:sub(at)
  if not TOKEN:test(token) then
    return nil, self.answers:malformed(exchange, "The Authorization field has no token.")
  end
  return token, scheme
end

local function verify(self, token)
  local way = self.bearer
  if not way or self.introspection and not token:find "^[^.]+%.[^.]*%.[^.]*$" then
    way = self.introspection
  end
  return way:verify(token)
end

-- The entry of a token that is not remembered, or what its refusal gives.
local function examine(self, exchange, value)
  local token, scheme = token_of(self, exchange, value)
  if not token then
    return scheme
  end
  local claims, good_until, text = verify(self, token)
  if not claims then
    if good_until == "unavailable" then
      return self.answers:unavailable(exchange, remotes.INTERVAL)
    end
    return self.answers:invalid(exchange, good_until)
  end
  local bound, word = self.binding:of(claims, scheme, token)
  if bound == nil then
    return self.answers:invalid(exchange, word)
  end
  local entry = self.admission:entry(claims, good_until, text)
  entry.bound = bound
  self.memory:put(value, entry)
  return entry
end

-- The entry of the request's token, which is good; challenge.ANONYMOUS when it goes on as nobody in particular; nil when
-- it has been answered. value: its Authorization.
function Tokens:entry(exchange, value)
  local entry = value and self.memory:get(value)
  if not entry or entry.good_until <= now() then
    entry = examine(self, exchange, value)
    if not entry then
      return nil
    end
  end
  if entry.bound then
    local word = self.binding:fault(entry.bound, exchange)
    if word == "full" then
      return self.answers:unavailable(exchange, remotes.INTERVAL)
    elseif word then
      return self.answers:invalid(exchange, word)
    end
  end
  if not entry.is_enough then
    return self.answers:insufficient(exchange)
  end
  return entry
end

return Tokens
