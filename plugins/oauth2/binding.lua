-- SPDX-License-Identifier: Apache-2.0

-- Tokens that are bound to a key (cnf, RFC 7800): one that was stolen is of no use without it. The key shows itself by a
-- proof that comes with the request (DPoP, dpop.lua), or by the client certificate of the connection (RFC 8705).

local json = require "demilune.json"
local selector = require "demilune.selector"
local dpop = require "demilune.plugins.oauth2.dpop"

local Binding = {}
Binding.__index = Binding

function Binding.new(context)
  return setmetatable({ thumbprint = assert(selector.selector("tls:thumbprint", context)) }, Binding)
end

-- What a token is bound to; false: to nothing. nil and a word when it may not be used so.
function Binding.of(_, claims, scheme, token)
  local cnf = claims.cnf
  if cnf == nil or cnf == json.null then
    if scheme == "dpop" then
      return nil, "unbound"
    end
    return false
  end
  local jkt, x5t = nil, nil
  if type(cnf) == "table" then
    jkt, x5t = cnf.jkt, cnf["x5t#S256"]
  end
  if type(jkt) == "string" then
    if scheme ~= "dpop" then
      return nil, "wants_dpop"
    end
    return { jkt = jkt, ath = dpop.ath(token), x5t = x5t }
  elseif type(x5t) == "string" and scheme == "bearer" then
    return { x5t = x5t }
  end
  return nil, "bound"
end

-- Why the request has not shown the key; nil: it has.
function Binding:fault(bound, exchange)
  if bound.x5t and self.thumbprint:value(exchange) ~= bound.x5t then
    return "certificate"
  elseif bound.jkt then
    return dpop.fault(bound, exchange)
  end
  return nil
end

return Binding
