-- SPDX-License-Identifier: Apache-2.0

-- Keys that tokens are verified with: from files, or the set that an issuer publishes.
--
-- A set lies in the store, where all workers find it and where it outlives reloads and the issuer's outages; each VM
-- has it parsed. It is fetched by one for all, and whoever asked last is asked again no sooner than after INTERVAL,
-- come what may: a failure, a key id that nobody knows. A fetch goes on when the request that needed it has left.

local jwt = require "demilune.jwt"
local crypto = require "demilune.crypto"
local log = require "demilune.log"
local stores = require "demilune.store"
local task = require "demilune.task"
local time = require "demilune.time"
local issuer = require "demilune.plugins.oauth2.issuer"

local M = {}

local INTERVAL = 10 -- seconds between two calls
local RENEW = 300   -- after which a set is fetched again
local TICK = 15     -- how often that is looked at
local LOOK = 5      -- how often a worker looks whether another has a newer set
local PATIENCE = 5  -- that a request waits for a set
local LEASE = 30    -- longer than metadata and set together may take

M.INTERVAL = INTERVAL

-- --- files ---------------------------------------------------------------------------------------

local function read(path)
  local file, message = io.open(path, "rb")
  if not file then
    return nil, message
  end
  local text = file:read(issuer.MAX_BODY)
  file:close()
  return text or ""
end

local function secret_of(text, algorithm)
  if not (algorithm or ""):find "^HS" then
    return nil, "it is neither PEM nor a JWK set; a secret needs its algorithm (HS256, HS384 or HS512)"
  end
  local key, _, detail = crypto.secret((text:gsub("[\r\n]+$", "")))
  return key, detail
end

local function key_of(item)
  local text, message = read(item.file)
  if not text then
    return nil, message
  elseif text:find "^%s*{" then
    return text
  end
  local key, _
  if text:find("-----BEGIN", 1, true) then
    key, _, message = crypto.key(text)
  else
    key, message = secret_of(text, item.algorithm)
  end
  return key and { key = key, algorithm = item.algorithm }, message
end

-- Sets of the files' keys; nil, a message and the number of the faulty one. JWK sets are one each, keys of their own one
-- set together.
function M.from_files(list)
  local sets, single = {}, {}
  for i, item in ipairs(list) do
    local key, message = key_of(item)
    local set, _, detail
    if type(key) == "string" then
      set, _, detail = jwt.keys(key)
      sets[#sets + 1] = set
    elseif key then
      set, _, detail = jwt.keys { key }
      single[#single + 1] = key
    end
    if not set or set.count == 0 then
      return nil, ("%s: %s"):format(item.file, message or detail or "it has no key that verifies signatures"), i
    end
  end
  if #single > 0 then
    sets[#sets + 1] = jwt.keys(single)
  end
  return sets
end

-- --- published sets ------------------------------------------------------------------------------

local Remote = {}
Remote.__index = Remote

local remotes = setmetatable({}, { __mode = "v" }) -- one for each set in a VM

function M.remote(name, jwks_uri)
  local id = name .. " " .. (jwks_uri or "")
  local remote = remotes[id]
  if not remote then
    remote = setmetatable({
      name = name, jwks_uri = jwks_uri, key = "oauth2 keys " .. id, asked = "oauth2 asked " .. id, looked = -LOOK,
    }, Remote)
    remotes[id] = remote
  end
  return remote
end

-- Takes over what is in the store.
function Remote:look()
  self.looked = time.monotonic()
  local text = stores.use():get(self.key)
  if type(text) ~= "string" or text == self.text then
    return
  end
  local at, body = text:match "^(%S+)\n(.*)$"
  local set = body ~= self.body and jwt.keys(body) or nil
  self.text, self.fetched = text, tonumber(at)
  if set then
    self.body, self.set = body, set
  end
end

local function fetch(self)
  local address, why = self.jwks_uri, nil
  if not address then
    address, why = issuer.discover(self.name, "jwks_uri")
    address = address or self.found -- where it was the last time
    self.found = address
  end
  local body, set, _
  if address then
    body, why = issuer.get(address)
  end
  if body then
    set, _, why = jwt.keys(body)
  end
  if not set or set.count == 0 then
    log.warn("the issuer's keys can't be had", { issuer = self.name, reason = why or "none that verifies signatures" })
    return false
  end
  stores.use():set(self.key, ("%.3f\n%s"):format(time.now(), body))
  return true
end

-- Asks the issuer, unless anybody has within the interval. It does not outlast the patience.
function Remote:ask()
  local store = stores.use()
  if store:get(self.asked) ~= nil then
    return
  end
  local work = task.detach(function()
    return store:once(self.asked, INTERVAL, function() return fetch(self) end, { lease = LEASE })
  end)
  task.deadline(PATIENCE, work.join, work)
end

-- The set that is at hand. nil: there is none yet, and the issuer gives none.
function Remote:keys()
  if time.monotonic() - self.looked >= LOOK then
    self:look()
  end
  if not self.set then
    self:ask()
    self:look()
  end
  return self.set
end

-- A newer set than this one, or nil.
function Remote:newer(set)
  self:look()
  if self.set == set then
    self:ask()
    self:look()
  end
  return self.set ~= set and self.set or nil
end

-- For one worker: has the set at hand before it is needed, and renews it. Once for all places of a configuration, whose
-- version it is.
function Remote:watch(version)
  if self.watched == version then
    return
  end
  self.watched = version
  local function renew()
    self:look()
    if not self.fetched or time.now() - self.fetched >= RENEW then
      self:ask()
    end
  end
  task.spawn(renew)
  task.every(TICK, renew)
end

return M
