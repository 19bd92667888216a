-- SPDX-License-Identifier: Apache-2.0

-- Says from which addresses requests may come. The networks are sorted when the configuration is loaded, and searched
-- in C.

local networks = require "demilune.networks"

local IpRestriction = { name = "ip-restriction", version = "1.0.0", guards = true }
IpRestriction.__index = IpRestriction
IpRestriction.schema = require "demilune.plugins.ip-restriction.schema"

function IpRestriction.new(config)
  return setmetatable({
    allow = config.allow and networks.new(config.allow),
    deny = config.deny and networks.new(config.deny),
  }, IpRestriction)
end

function IpRestriction:access(exchange)
  if (self.deny and self.deny:has_client(exchange)) or (self.allow and not self.allow:has_client(exchange)) then
    exchange:problem(403, "Requests from this address are not taken here.")
  end
end

return IpRestriction
