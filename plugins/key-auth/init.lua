-- SPDX-License-Identifier: Apache-2.0

-- Lets those pass who bring a consumer's key.
--
-- The keys of all consumers are one table, shared by all places where the plugin is enabled. Where
-- a key stands is told by selectors; hiding it and naming the consumer is work of demilune.identity.

local identity = require "demilune.identity"
local keyring = require "demilune.keyring"
local selector = require "demilune.selector"
local hide = require "demilune.plugins.key-auth.hide"

local KeyAuth = { name = "key-auth", version = "1.0.0", guards = true }
KeyAuth.__index = KeyAuth
KeyAuth.schema = require "demilune.plugins.key-auth.schema"

local CHALLENGE = { ["WWW-Authenticate"] = "Key" }

KeyAuth.credential = {
  schema = {
    type = "object",
    properties = {
      key = {
        type = "string",
        description = "What the client sends.",
        minLength = 1,
        writeOnly = true,
      },
    },
    required = { "key" },
  },
  unique = "key",
}

-- --- the keys ------------------------------------------------------------------------------------

local known = setmetatable({}, { __mode = "k" }) -- list of credentials → its keyring

-- What was made while the configuration was checked is of no version yet.
local function keys_of(list, version)
  local keys = known[list]
  if not keys or keys.version ~= version then
    keys = keyring.new(version)
    for _, item in ipairs(list) do
      keys:add(item.credential.key, item.number)
    end
    known[list] = keys
  end
  return keys
end

-- --- instances -----------------------------------------------------------------------------------

local function compile_sources(names, context)
  local sources = {}
  for i, name in ipairs(names) do
    local message
    sources[i], message = selector.selector(name, context)
    if not sources[i] then
      return nil, message
    end
  end
  return sources
end

local function headers_of(names)
  local headers = {}
  for _, name in ipairs(names) do
    headers[#headers + 1] = name:match "^header:(.*)$"
  end
  return headers
end

function KeyAuth.new(config, context)
  local sources, message = compile_sources(config.names, context)
  if not sources then
    return nil, message, "names"
  end
  local who, fault, path = identity.new(config, context, headers_of(config.names))
  if not who then
    return nil, fault, path
  end
  return setmetatable({
    keys = keys_of(context.consumers "key-auth", context.version),
    first = sources[1],
    others = #sources > 1 and sources,
    identity = who,
    hide = config.hide_credentials and hide.compile(config.names),
  }, KeyAuth)
end

-- --- requests ------------------------------------------------------------------------------------

-- By the places beside the first, where that has no key.
local function identify_elsewhere(self, exchange)
  for i = 2, #self.others do
    local is_known = self.keys:identify(self.others[i], exchange)
    if is_known ~= nil then
      return is_known
    end
  end
end

function KeyAuth:access(exchange)
  local is_known = self.keys:identify(self.first, exchange)
  if is_known == nil and self.others then
    is_known = identify_elsewhere(self, exchange)
  end
  if is_known then
    self.identity:hand_on(exchange)
  elseif not self.identity:refuse(exchange, 401, is_known == nil and "An API key is needed."
    or "This API key is not known.", CHALLENGE) then
    return
  end
  if self.hide then
    self.hide(exchange.request)
  end
end

return KeyAuth
