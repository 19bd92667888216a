-- SPDX-License-Identifier: Apache-2.0

-- A document of an issuer's, its key set or its metadata, that is fetched beside the traffic.
--
-- It lies in the store, where all workers find it and where it outlives reloads and the issuer's outages; each VM has it
-- parsed. It is fetched by one for all, and whoever asked last is asked again no sooner than after INTERVAL, come what
-- may: a failure, a key id that nobody knows. A fetch goes on when the request that needed it has left.

local log = require "demilune.log"
local stores = require "demilune.store"
local task = require "demilune.task"
local time = require "demilune.time"

local Remote = {}
Remote.__index = Remote

local INTERVAL = 10 -- seconds between two calls
local RENEW = 300   -- after which a document is fetched again
local TICK = 15     -- how often that is looked at
local LOOK = 5      -- how often a worker looks whether another has a newer one
local PATIENCE = 5  -- that a request waits for one
local LEASE = 30    -- longer than a fetch may take

Remote.INTERVAL = INTERVAL

local remotes = setmetatable({}, { __mode = "v" }) -- one for each document in a VM

-- kind: what it is, for the log and the store; name: of the issuer; id: what tells it from others of that kind.
-- fetch(remote): its text, or nil and why; parse(text): the value, or nil and why.
function Remote.of(kind, name, id, fetch, parse)
  local key = ("oauth2 %s %s"):format(kind, id)
  local remote = remotes[key]
  if not remote then
    remote = setmetatable({
      kind = kind, name = name, key = key, asked = key .. " asked", fetch = fetch, parse = parse, looked = -LOOK,
    }, Remote)
    remotes[key] = remote
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
  local value = body ~= self.body and self.parse(body) or nil
  self.text, self.fetched = text, tonumber(at)
  if value then
    self.body, self.value = body, value
  end
end

local function renew(self)
  local body, why = self:fetch()
  local value
  if body then
    value, why = self.parse(body)
  end
  if not value then
    log.warn("a document of the issuer's can't be had", { issuer = self.name, document = self.kind, reason = why })
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
    return store:once(self.asked, INTERVAL, function() return renew(self) end, { lease = LEASE })
  end)
  task.deadline(PATIENCE, work.join, work)
end

-- The document that is at hand. nil: there is none yet, and the issuer gives none.
function Remote:get()
  if time.monotonic() - self.looked >= LOOK then
    self:look()
  end
  if not self.value then
    self:ask()
    self:look()
  end
  return self.value
end

-- A newer one than this, or nil.
function Remote:newer(value)
  self:look()
  if self.value == value then
    self:ask()
    self:look()
  end
  return self.value ~= value and self.value or nil
end

-- For one worker: has the document at hand before it is needed, and renews it. Once for all places of a configuration,
-- whose version it is.
function Remote:watch(version)
  if self.watched == version then
    return
  end
  self.watched = version
  local function tick()
    self:look()
    if not self.fetched or time.now() - self.fetched >= RENEW then
      self:ask()
    end
  end
  task.spawn(tick)
  task.every(TICK, tick)
end

return Remote
