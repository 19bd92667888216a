-- SPDX-License-Identifier: Apache-2.0

-- Lets requests pass that bring the key of a consumer. Keys are found by a keyed digest and compared
-- in constant time. The upstream sees the consumer's name and, unless told otherwise, not the key.

local hide = require "demilune.plugins.key-auth.hide"
local keyring = require "demilune.keyring"
local problem = require "demilune.problem"
local selector = require "demilune.selector"

local KeyAuth = { name = "key-auth", version = "1.0.0", guards = true }
KeyAuth.__index = KeyAuth
KeyAuth.schema = require "demilune.plugins.key-auth.schema"

local function ring_of(list)
  local ring = keyring.new()
  for _, entry in ipairs(list) do
    local key = entry.credential.key
    if type(key) ~= "string" or key == "" then
      return nil, ('the consumer "%s" has a key-auth credential without a key'):format(entry.consumer.name)
    elseif not ring:add(key, entry.consumer.name) then
      return nil, ('the consumer "%s" has a key that another one has too'):format(entry.consumer.name)
    end
  end
  return ring
end

function KeyAuth.new(config, context)
  local ring, err = ring_of(context.consumers "key-auth")
  if not ring then
    return nil, err
  end
  local self = {
    ring = ring, selectors = {}, hiders = {}, anonymous = config.anonymous, header = config.consumer_header,
  }
  for i, name in ipairs(config.names) do
    self.selectors[i], err = selector.selector(name, context)
    if not self.selectors[i] then
      return nil, err, "names"
    end
    local hider = hide.of(name)
    if not hider then
      return nil, ('"%s" is no place for a key: header:NAME, query:NAME or cookie:NAME are'):format(name), "names"
    end
    self.hiders[i] = hider
  end
  self.selector, self.further = self.selectors[1], #self.selectors > 1
  self.hider = config.hide_credentials and self.hiders[1] or nil
  return setmetatable(self, KeyAuth)
end

-- The usual configuration names one place: it is handled without a loop, which LuaJIT could not make part of the
-- hook's trace.

-- The consumer's name; nil and whether there was a key at all. The first place that has one decides.
local function find(self, exchange)
  local name, is_there = self.ring:find(self.selector, exchange)
  if name or is_there or not self.further then
    return name, is_there
  end
  for i = 2, #self.selectors do
    name, is_there = self.ring:find(self.selectors[i], exchange)
    if name or is_there then
      return name, is_there
    end
  end
  return nil, false
end

-- Out of all places, so that a key in a second one does not slip through.
local function hide_all(self, request)
  local hider = self.hider
  if hider then
    hider.from(request, hider.name)
    if self.further then
      for i = 2, #self.hiders do
        self.hiders[i].from(request, self.hiders[i].name)
      end
    end
  end
end

function KeyAuth:access(exchange)
  local request = exchange.request
  local consumer, brought = find(self, exchange)
  hide_all(self, request)
  if not consumer then
    consumer = self.anonymous
    if not consumer then
      request.headers[self.header] = nil
      return problem.reply(exchange, 401, brought and "The API key is not valid." or "An API key is needed.",
        { ["www-authenticate"] = "Key" })
    end
  end
  exchange.consumer = consumer
  request.headers[self.header] = consumer
end

return KeyAuth
