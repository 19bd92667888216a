-- SPDX-License-Identifier: Apache-2.0

-- Says which of the consumers that an earlier plugin has recognised may pass, by their names and groups. What is
-- decided for a consumer stays so as long as the configuration, and is kept.

local Acl = {
  name = "acl", version = "1.0.0", guards = true,
  after = { "key-auth", "basic-auth", "hmac-auth", "mtls-auth", "oauth2", "forward-auth" },
}
Acl.__index = Acl
Acl.schema = require "demilune.plugins.acl.schema"

-- --- lists ---------------------------------------------------------------------------------------

-- Whether a text names a consumer or a group: "consumer" or "group", and the name; nil and what is wrong with it.
local function resolve(text, context)
  local kind, name = text:match "^(%l+):(.+)$"
  if kind ~= "consumer" and kind ~= "group" then
    kind, name = nil, text
  end
  local is_consumer = kind ~= "group" and context.consumer(name) ~= nil
  local is_group = kind ~= "consumer" and context.has_group(name)
  if is_consumer and is_group then
    return nil, ('"%s" is a consumer and a group: write "consumer:%s" or "group:%s"'):format(name, name, name)
  elseif not is_consumer and not is_group then
    return nil, ('the configuration has no %s "%s"'):format(kind or "consumer or group", name)
  end
  return is_consumer and "consumer" or "group", name
end

-- { consumer = set of names, group = set of names }; nil, what is wrong, and where.
local function compile(texts, option, context)
  local sets = { consumer = {}, group = {} }
  for i, text in ipairs(texts) do
    local kind, name = resolve(text, context)
    if not kind then
      return nil, name, ("%s[%d]"):format(option, i - 1)
    end
    sets[kind][name] = true
  end
  return sets
end

local function names(sets, consumer)
  if sets.consumer[consumer.name] then
    return true
  end
  for _, group in ipairs(consumer.groups) do
    if sets.group[group] then
      return true
    end
  end
  return false
end

-- --- instances -----------------------------------------------------------------------------------

function Acl.new(config, context)
  local self = { verdicts = setmetatable({}, { __mode = "k" }) } -- consumer → may it pass?
  for _, option in ipairs { "allow", "deny" } do
    if config[option] then
      local sets, message, path = compile(config[option], option, context)
      if not sets then
        return nil, message, path
      end
      self[option] = sets
    end
  end
  return setmetatable(self, Acl)
end

local function judge(self, consumer)
  local may = not (self.deny and names(self.deny, consumer)) and (not self.allow or names(self.allow, consumer))
  self.verdicts[consumer] = may
  return may
end

function Acl:access(exchange)
  local consumer = exchange.consumer
  local may
  if consumer then
    may = self.verdicts[consumer]
    if may == nil then
      may = judge(self, consumer)
    end
  end
  if not may then
    exchange:problem(403, consumer and "This consumer may not do this." or "Only known consumers may do this.")
  end
end

return Acl
