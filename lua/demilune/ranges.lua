-- SPDX-License-Identifier: Apache-2.0

-- Sets of statuses, as configurations write them: 404, 5xx, 400-499.

local M = {}
M.__index = M

--- The first and the last status of one such text or number.
function M.bounds(status)
  if type(status) == "number" then
    return status, status
  end
  local class = status:match "^(%d)xx$"
  if class then
    return class * 100, class * 100 + 99
  end
  local from, to = status:match "^(%d+)%-?(%d*)$"
  return tonumber(from), tonumber(to) or tonumber(from)
end

--- A set of them; an empty list is all.
function M.new(list)
  local set = {}
  for i, status in ipairs(list) do
    set[i] = { M.bounds(status) }
  end
  return setmetatable(set, M)
end

function M:has(status)
  for _, range in ipairs(self) do
    if status >= range[1] and status <= range[2] then
      return true
    end
  end
  return self[1] == nil
end

--- What a schema says of one of them.
M.schema = {
  anyOf = {
    { type = "integer", minimum = 100, maximum = 599 },
    {
      type = "string", pattern = [[^([1-5]xx|[1-5]\d\d(-[1-5]\d\d)?)$]],
      title = "a class such as 5xx or a range such as 400-499",
    },
  },
}

return M
