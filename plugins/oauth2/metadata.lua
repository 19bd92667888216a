-- SPDX-License-Identifier: Apache-2.0

-- Where an issuer's endpoints are: as the configuration says, or as its metadata do, which are kept like its keys.

local issuers = require "demilune.plugins.oauth2.issuer"
local remotes = require "demilune.plugins.oauth2.remote"

local Metadata = {}
Metadata.__index = Metadata

-- given: a table that may have endpoints by name.
function Metadata.new(issuer, given, line)
  return setmetatable({
    issuer = issuer, given = given,
    remote = issuer and remotes.of("metadata", issuer, issuer .. line.id,
      function() return line:metadata(issuer) end,
      function(body) return issuers.read_metadata(body, issuer) end),
  }, Metadata)
end

-- An endpoint; nil and why: "unavailable" while there are no metadata, else that they do not have it.
function Metadata:endpoint(name)
  if self.given[name] then
    return self.given[name]
  end
  local metadata = self.remote and self.remote:get()
  if not metadata then
    return nil, "unavailable"
  end
  return issuers.endpoint(metadata, self.issuer, name)
end

-- Do the metadata, as far as they can be had, say yes to this?
function Metadata:says(name)
  local metadata = self.remote and self.remote:get()
  return metadata ~= nil and metadata[name] == true
end

function Metadata:watch(version)
  if self.remote then
    self.remote:watch(version)
  end
end

return Metadata
