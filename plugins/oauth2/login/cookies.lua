-- SPDX-License-Identifier: Apache-2.0

-- The cookies of a login: all have one name, and what follows it tells them apart ("" is the session). Neither scripts
-- nor other sites get them, and no other host can set them (__Host-). The upstream does not see them.

local Cookies = {}
Cookies.__index = Cookies

-- is_plain: for plain HTTP, where browsers take neither Secure nor __Host-.
function Cookies.new(name, is_plain)
  return setmetatable({
    name = is_plain and name or "__Host-" .. name,
    attributes = "; Path=/; HttpOnly; SameSite=Lax" .. (is_plain and "" or "; Secure"),
  }, Cookies)
end

-- What a response sets: for so many seconds, or until the browser is closed.
function Cookies:set(suffix, value, seconds)
  return ("%s%s=%s%s%s"):format(self.name, suffix, value, self.attributes,
    seconds and ("; Max-Age=%d"):format(seconds) or "")
end

function Cookies:clear(suffix)
  return self:set(suffix, "", 0)
end

-- In time that grows with the text's length only: clients choose what is in it.
local function trim(text)
  local first = text:find "%S"
  return first and text:match("^.*%S", first) or ""
end

-- The request's own cookies by suffix, and the others as a Cookie field; nil for none.
function Cookies:split(exchange)
  local own, others = {}, {}
  for _, field in ipairs(exchange.request.headers:all "cookie") do
    for pair in field:gmatch "[^;]+" do
      pair = trim(pair)
      local name, value = pair:match "^([^=%s]*)%s*=%s*(.*)$"
      local suffix = name and name:sub(1, #self.name) == self.name and name:sub(#self.name + 1)
      if not suffix or suffix:find "^[^-]" then
        others[#others + 1] = pair
      elseif own[suffix] == nil then
        own[suffix] = value
      end
    end
  end
  return own, #others > 0 and table.concat(others, "; ") or nil
end

return Cookies
