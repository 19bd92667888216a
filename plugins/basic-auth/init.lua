-- SPDX-License-Identifier: Apache-2.0

-- Lets those pass who bring a consumer's name and password (RFC 7617).
--
-- A password is hashed beside the workers, and that is slow by intention. What came of it is remembered for a while in
-- the store, under a digest of name, password and hash that is keyed by random bytes: all workers know it, those who
-- ask at the same time wait for one of them, and a changed hash is another digest. A name that nobody has costs the
-- same: its password is compared with the hash of somebody else, in vain.

local crypto = require "demilune.crypto"
local identity = require "demilune.identity"
local store = require "demilune.store"

local BasicAuth = { name = "basic-auth", version = "1.0.0", guards = true }
BasicAuth.__index = BasicAuth
BasicAuth.schema = require "demilune.plugins.basic-auth.schema"

BasicAuth.credential = {
  schema = {
    type = "object",
    properties = {
      username = {
        type = "string",
        description = "What the client calls itself.",
        pattern = [[^[^:\x00-\x1f\x7f]+$]],
        title = "a text without colons and control characters",
        maxLength = 256,
      },
      password_hash = {
        type = "string",
        description = "The hash of the password: scrypt, PBKDF2 or bcrypt, as htpasswd -B or mkpasswd prints it.",
        minLength = 1,
        writeOnly = true,
      },
    },
    required = { "username", "password_hash" },
  },
  unique = "username",
}

local CODED_MAX = 6 * 1024 -- of name and password, in base64

-- --- instances -----------------------------------------------------------------------------------

local function headers_of(names)
  local headers = {}
  for i, name in ipairs(names) do
    headers[i] = name:match "^header:(.*)$"
  end
  return headers
end

local FAULTS = {
  not_implemented = "no form of a hash that is known here; a password itself can't stand here",
  syntax = "is not written as its form wants it",
  limit = "costs more time or memory than is allowed",
}

-- name → { consumer, hash }, and a list of the hashes; nil and what is wrong with one.
local function users_of(list)
  local users, hashes = {}, {}
  for i, item in ipairs(list) do
    local credential = item.credential
    local known, word = crypto.password.known(credential.password_hash)
    if not known then
      return nil, ('the password_hash of the username "%s", of the consumer "%s": %s')
        :format(credential.username, item.consumer.name, FAULTS[word] or word)
    end
    users[credential.username] = { consumer = item.consumer, hash = credential.password_hash }
    hashes[i] = credential.password_hash
  end
  return users, hashes
end

function BasicAuth.new(config, context)
  local headers = headers_of(config.names)
  local users, hashes = users_of(context.consumers "basic-auth")
  if not users then
    return nil, hashes
  end
  local who, message, path = identity.new(config, context, headers)
  if not who then
    return nil, message, path
  end
  return setmetatable({
    identity = who,
    headers = headers,
    users = users,
    hashes = hashes,
    remember = config.remember,
    challenge = { ["WWW-Authenticate"] = ('Basic realm="%s", charset="UTF-8"'):format(config.realm) },
  }, BasicAuth)
end

-- --- what a request brings -----------------------------------------------------------------------

-- Name and password, or nil when the field's value is no such thing.
local function parse(value)
  local coded = value:match "^[Bb][Aa][Ss][Ii][Cc] +([^%s]+)%s*$"
  local text = coded and #coded <= CODED_MAX and crypto.unbase64(coded)
  if not text or text:find "[%z\1-\31\127]" then
    return nil
  end
  return text:match "^([^:]*):(.*)$"
end

-- Name and password, nil when there are none; false when a header stands there twice.
local function credentials_of(self, headers)
  for _, header in ipairs(self.headers) do
    local values = headers:all(header)
    if #values > 1 then
      return false
    elseif values[1] then
      local name, password = parse(values[1])
      if name then
        return name, password
      end
    end
  end
end

-- --- passwords -----------------------------------------------------------------------------------

local secret -- what digests are keyed by: the same in all workers

local function secret_of(kept)
  if not secret then
    kept:add("basic-auth", crypto.random(32))
    secret = kept:get "basic-auth" or crypto.random(32)
  end
  return secret
end

-- The hash that a name's password is compared with: for a name that nobody has one that is always the same.
local function hash_of(self, user, name, key)
  if user then
    return user.hash
  end
  local first, second = crypto.hmac("sha256", key, name):byte(1, 2)
  return self.hashes[(first * 256 + second) % #self.hashes + 1]
end

-- Whether it is the password of this name; nil and a word when that can't be told.
local function verify(self, name, password)
  local user = self.users[name]
  if password == "" or #self.hashes == 0 then
    return false
  end
  local kept = store.use()
  local key = secret_of(kept)
  local hash = hash_of(self, user, name, key)
  local function is_right()
    local right, word = crypto.password.verify(password, hash)
    if right == nil then
      return nil, word
    end
    return right and user ~= nil
  end
  if self.remember == 0 then
    return is_right()
  end
  local digest = crypto.hmac("sha256", key, ("%d:%s:%d:%s:%s"):format(#name, name, #hash, hash, password))
  return kept:once("basic-auth:" .. digest, self.remember, is_right)
end

-- --- requests ------------------------------------------------------------------------------------

local function admit(self, exchange, name, password)
  local right, word = verify(self, name, password)
  if right then
    exchange.consumer = self.users[name].consumer
    self.identity:hand_on(exchange)
  elseif right == false then
    self.identity:refuse(exchange, 401, "This name and password are not known.", self.challenge)
  elseif word == "full" or word == "timeout" then
    exchange:problem(503, "Too many passwords wait to be verified.", { ["Retry-After"] = "1" })
  elseif word ~= "cancelled" then
    error("the password can't be verified: " .. tostring(word))
  end
end

function BasicAuth:access(exchange)
  local name, password = credentials_of(self, exchange.request.headers)
  if name then
    admit(self, exchange, name, password)
  elseif name == false then
    exchange:problem(400, "The credentials stand in several header fields.")
  else
    self.identity:refuse(exchange, 401, "A name and a password are needed.", self.challenge)
  end
end

return BasicAuth
