-- SPDX-License-Identifier: Apache-2.0

-- What a spec has started ends with it: servers, gateways, a moved clock. A scope is a list of
-- functions to call, the last one first; scopes are nested as specs are in describes. What is made
-- in setup belongs to the describe, what is made in before_each or in the spec to the spec.

local M = {}

local scopes = { {} }

function M.enter()
  scopes[#scopes + 1] = {}
end

-- f is called when the present spec or describe has ended. Gives a function that calls it now
-- instead.
function M.add(f)
  local list = scopes[#scopes]
  local function once()
    if f then
      local stop = f
      f = nil
      stop()
    end
  end
  list[#list + 1] = once
  return once
end

-- Ends the innermost scope. All of its functions are called, whatever one of them raises.
function M.leave()
  local list = table.remove(scopes)
  local failed, first
  for i = #list, 1, -1 do
    local ok, message = pcall(list[i])
    if not ok and not failed then
      failed, first = true, message
    end
  end
  if failed then
    error(first, 0)
  end
end

return M
