-- SPDX-License-Identifier: Apache-2.0

-- The signature base of RFC 9421, 2.5: the text that a signature is made of.

local url = require "demilune.url"

local M = {}

local function authority(request)
  local host = request.host -- none: HTTP/1.0 may not say it
  return host and url.authority(request.scheme, host:lower(), request.port) or ""
end

local function target(request)
  local query = request.query
  return query and request.path .. "?" .. query or request.path
end

local DERIVED = {
  ["@method"] = function(request) return request.method end,
  ["@authority"] = authority,
  ["@scheme"] = function(request) return request.scheme end,
  ["@path"] = function(request) return request.path end,
  ["@query"] = function(request) return "?" .. (request.query or "") end,
  ["@request-target"] = target,
  ["@target-uri"] = function(request)
    return request.scheme .. "://" .. authority(request) .. target(request)
  end,
}

local function field(request, name)
  local values = request.headers:all(name)
  return values[1] and table.concat(values, ", ")
end

-- Is it a component that can be signed here?
function M.knows(component)
  return DERIVED[component] ~= nil or (component ~= "host" and component:find "^[%l%d!#$%%&'*+.^_`|~-]+$" ~= nil)
end

-- The base of an input (demilune.plugins.hmac-auth.fields), and the set of its components; nil and the component that
-- the request has not, that is not known, or that stands there twice.
function M.of(request, input)
  local lines, covered = {}, {}
  for i, component in ipairs(input.items) do
    local derived = DERIVED[component]
    local value = not covered[component] and M.knows(component)
      and (derived and derived(request) or field(request, component))
    if not value then
      return nil, component
    end
    covered[component] = true
    lines[i] = ('"%s": %s'):format(component, value)
  end
  lines[#lines + 1] = '"@signature-params": ' .. input.text
  return table.concat(lines, "\n"), covered
end

return M
