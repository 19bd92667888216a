-- SPDX-License-Identifier: Apache-2.0

-- What of a browser matters to a login: cookies of each site, as RFC 6265bis and the prefix __Host- have them, and
-- redirects. Sites may be names of the test's own.
--
--   local browser = Browser.new { ["https://shop.example"] = gateway.address }
--   local response, where = browser:go "https://shop.example/a"       -- follows redirects
--   local response = browser:get("https://shop.example/a", headers)   -- does not

local client = require "demilune.test.client"

local Browser = {}
Browser.__index = Browser

local ROUNDS = 20
local PAGE = { Accept = "text/html,*/*;q=0.8", ["Sec-Fetch-Mode"] = "navigate", ["Sec-Fetch-Dest"] = "document" }

-- sites: origin → address; of an origin that is not there the host and port are the address.
function Browser.new(sites)
  return setmetatable({ sites = sites or {}, jars = {}, trail = {} }, Browser)
end

-- The cookies of a site by name: { value, attributes }.
function Browser:jar(origin)
  self.jars[origin] = self.jars[origin] or {}
  return self.jars[origin]
end

local function cookie_field(jar)
  local names, pairs_ = {}, {}
  for name in pairs(jar) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    pairs_[i] = name .. "=" .. jar[name].value
  end
  return names[1] and table.concat(pairs_, "; ") or nil
end

-- A browser drops what breaks the rules of its prefix, and what is too large.
local function is_acceptable(name, value, attributes, origin)
  local text = attributes:lower() .. ";"
  if #name + #value > 4096 then
    return false
  elseif text:find("; ?secure;") and not origin:find "^https:" then
    return false
  elseif name:find "^__Host%-" then
    return text:find "; ?secure;" and text:find "; ?path=/;" and not text:find "domain="
  end
  return true
end

function Browser:keep(origin, field)
  local name, value, attributes = field:match "^([^=;]+)=([^;]*)(.*)$"
  local jar = self:jar(origin)
  if not is_acceptable(name, value, attributes, origin) then
    return
  end
  local age = tonumber(attributes:match "[Mm]ax%-[Aa]ge=(%-?%d+)")
  jar[name] = not (age and age <= 0) and { value = value, attributes = attributes } or nil
end

-- One request. headers are added to those of a page that is gone to; false takes one away.
function Browser:request(method, url, headers)
  local origin, path = url:match "^(https?://[^/?#]+)([^#]*)$"
  local fields = { Cookie = cookie_field(self:jar(origin)) }
  for _, map in ipairs { PAGE, headers or {} } do
    for name, value in pairs(map) do
      fields[name] = value or nil
    end
  end
  path = path == "" and "/" or path:find "^%?" and "/" .. path or path
  local host = origin:match "//(.*)$"
  local response, word = client.request(self.sites[origin] or host,
    { method = method, path = path, host = host, headers = fields, timeout = 20 })
  assert(response, ("%s %s: %s"):format(method, url, tostring(word)))
  for _, item in ipairs(response.list) do
    if item[1]:lower() == "set-cookie" then
      self:keep(origin, item[2])
    end
  end
  return response
end

function Browser:get(url, headers)
  return self:request("GET", url, headers)
end

-- Follows redirects: the last response and its URL. The URLs on the way are in `trail`.
function Browser:go(url, headers)
  self.trail = { url }
  for _ = 1, ROUNDS do
    local response = self:get(url, headers)
    local to = response.status >= 300 and response.status < 400 and response.headers.location
    if not to then
      return response, url
    end
    url = to:find "^/" and url:match "^https?://[^/?#]+" .. to or to
    self.trail[#self.trail + 1] = url
  end
  error("the browser goes in circles: " .. table.concat(self.trail, "\n"))
end

return Browser
