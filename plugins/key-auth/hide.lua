-- SPDX-License-Identifier: Apache-2.0

-- Takes keys out of query strings and cookies: one part of a header or URL that has others, which
-- stay as they are.

local url = require "demilune.url"

local M = {}

local function without_parameter(query, names)
  local kept = {}
  for pair in (query .. "&"):gmatch "([^&]*)&" do
    local name = pair:match "^[^=]*":gsub("%+", " ")
    if not names[url.decode(name) or name] then
      kept[#kept + 1] = pair
    end
  end
  return #kept > 0 and table.concat(kept, "&") or nil
end

local function without_cookie(cookies, names)
  local kept = {}
  for pair in (cookies .. ";"):gmatch "%s*([^;]*);" do
    if pair ~= "" and not names[pair:match "^[^=]*":match "^.*%S" or ""] then
      kept[#kept + 1] = pair
    end
  end
  return #kept > 0 and table.concat(kept, "; ") or nil
end

local function names_of(selectors, kind)
  local names, any = {}, false
  for _, text in ipairs(selectors) do
    local name = text:match("^" .. kind .. ":(.*)$")
    if name then
      names[name], any = true, true
    end
  end
  return any and names
end

local function hide_cookies(request, names)
  local lines = request.headers:all "cookie"
  if #lines == 0 then
    return
  end
  request.headers["cookie"] = without_cookie(table.concat(lines, "; "), names)
end

-- A function of the request that hides what these selectors name, or false when they name only whole
-- headers.
function M.compile(selectors)
  local parameters, cookies = names_of(selectors, "query"), names_of(selectors, "cookie")
  if not parameters and not cookies then
    return false
  end
  return function(request)
    local query = parameters and request.query
    if query then
      request.query = without_parameter(query, parameters)
    end
    if cookies then
      hide_cookies(request, cookies)
    end
  end
end

return M
