-- SPDX-License-Identifier: Apache-2.0

-- Lets those pass who bring a consumer's key.
--
-- The keys of all consumers are one table, shared by all places where the plugin is enabled. Where
-- a key stands is told by selectors; hiding it and naming the consumer are one list of edits.

local edit = require "demilune.edit"
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

-- The header that names the consumer, and the headers that had a key, in one go.
local function compile_edits(config, context)
  local remove = {}
  for _, name in ipairs(config.hide_credentials and config.names or {}) do
    remove[#remove + 1] = name:match "^header:(.*)$"
  end
  return edit.new("request", { remove = remove, set = { [config.consumer_header] = "{consumer}" } }, context)
end

function KeyAuth.new(config, context)
  local sources, edits, message
  sources, message = compile_sources(config.names, context)
  if not sources then
    return nil, message, "names"
  end
  edits, message = compile_edits(config, context)
  if not edits then
    return nil, message, "consumer_header"
  elseif config.anonymous and not context.consumer(config.anonymous) then
    return nil, ('the configuration has no consumer "%s"'):format(config.anonymous), "anonymous"
  end
  return setmetatable({
    keys = keys_of(context.consumers "key-auth", context.version),
    first = sources[1],
    others = #sources > 1 and sources,
    edits = edits,
    hide = config.hide_credentials and hide.compile(config.names),
    anonymous = config.anonymous,
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

-- is_known: false for a wrong key, nil for none.
local function refuse(self, exchange, is_known)
  if self.anonymous then
    if not exchange.consumer then
      exchange.consumer = self.anonymous
    end
    return true
  end
  exchange:problem(401, is_known == nil and "An API key is needed." or "This API key is not known.", CHALLENGE)
end

function KeyAuth:access(exchange)
  local is_known = self.keys:identify(self.first, exchange)
  if is_known == nil and self.others then
    is_known = identify_elsewhere(self, exchange)
  end
  if not is_known and not refuse(self, exchange, is_known) then
    return
  end
  self.edits:apply(exchange)
  if self.hide then
    self.hide(exchange.request)
  end
end

return KeyAuth
