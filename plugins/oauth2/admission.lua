-- SPDX-License-Identifier: Apache-2.0

-- What claims mean at a place: whether they are enough, whose they are, and what the upstream is told of them. The same
-- for tokens and for sessions of browsers.

local border = require "demilune.ffi"
local identity = require "demilune.identity"
local json = require "demilune.json"
local claims_of = require "demilune.plugins.oauth2.claims"

local C, gateway = border.C, border.gateway
local CLAIMS = C.DML_TEXT_CLAIMS

local Admission = {}
Admission.__index = Admission

local consumers_of = identity.shared(function(list)
  local names = {}
  for _, item in ipairs(list) do
    names[item.credential.client_id] = item.consumer.name
  end
  return names
end)

-- nil, message and path when the config is at fault.
function Admission.new(config, context)
  local set = {}
  for name, header in pairs(config.claims_to_headers or {}) do
    set[header] = ("{claim:%s}"):format(name)
  end
  local who, message, path = identity.new(config, context, { "authorization", "dpop" }, set)
  if not who then
    return nil, message, path == "consumer_header" and "claims_to_headers" or path
  end
  return setmetatable({
    identity = who, scopes = config.scopes or {}, rules = config.claims or {}, consumer_claim = config.consumer_claim,
    consumers = consumers_of(context.consumers "oauth2", context.version),
  }, Admission)
end

-- Does it have to know what claims say?
function Admission:reads_claims()
  return #self.scopes > 0 or next(self.rules) ~= nil or next(self.consumers) ~= nil
end

-- What is remembered of claims until a time. text: the claims as JSON, where it is there already.
function Admission:entry(claims, good_until, text)
  local client = claims_of.client(claims, self.consumer_claim)
  return {
    claims = text or json.encode(claims), good_until = good_until, consumer = client and self.consumers[client],
    is_enough = claims_of.has_scopes(claims, self.scopes) and claims_of.keep_rules(claims, self.rules),
  }
end

-- The exchange and its upstream are told.
function Admission:let_in(exchange, entry)
  C.dml_exchange_set_text(gateway, exchange.h, CLAIMS, entry.claims, #entry.claims)
  if entry.consumer then
    exchange.consumer = entry.consumer
  end
  self.identity:hand_on(exchange)
end

return Admission
