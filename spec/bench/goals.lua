-- SPDX-License-Identifier: Apache-2.0

-- What Demilune is to reach in a row, and whether it does. A goal is an upper bound:
--
--   { to = { "nginx", "haproxy" }, most = 0.85 }    CPU, as a share of the better of these
--   { to_base = true, most = 1.05 }                 CPU, as a share of its own in the row's `against`
--   { figure = "kib", most = 0.6, unit = "KiB" }    a figure of the row

local M = {}

local function named(list, name)
  for _, one in ipairs(list) do
    if one.peer == name then
      return one
    end
  end
end

local function why_absent(name, result, absent)
  for _, list in ipairs { result.left_out, absent } do
    for _, one in ipairs(list) do
      if (one.peer or one.name) == name then
        return name .. ": " .. one.why
      end
    end
  end
  return name .. " was not asked for"
end

-- The ratio to the one that is cheapest, which is the largest of the ratios.
local function to_better(goal, ours, result, absent)
  local found
  for _, name in ipairs(goal.to) do
    local ratio = ours.to and ours.to[name]
    if not ratio then
      return nil, why_absent(name, result, absent)
    end
    if not found or ratio.median > found.median then
      found = ratio
    end
  end
  return found
end

local function value_of(goal, ours, result, absent)
  if goal.to then
    return to_better(goal, ours, result, absent)
  elseif goal.to_base then
    return ours.to_base, "not measured"
  end
  return ours.figures[goal.figure], "not measured"
end

local function text_of(goal, against)
  if goal.to then
    local who = table.concat(goal.to, " or ")
    return ("%.2f of %s"):format(goal.most, #goal.to > 1 and "the better of " .. who or who)
  elseif goal.to_base then
    return ("%.2f of its own %s"):format(goal.most, against)
  end
  return ("%g %s"):format(goal.most, goal.unit)
end

-- A list of { wanted, value, met } in the order of row.goals; without a value: { wanted, why }.
-- `absent` are the peers that could not take part in the run at all: { name, why }.
function M.judge(row, result, absent)
  local ours = named(result.peers, "demilune")
  local list = {}
  for i, goal in ipairs(ours and row.goals or {}) do
    local value, why = value_of(goal, ours, result, absent)
    list[i] = { wanted = text_of(goal, row.against), most = goal.most, value = value }
    if value then
      list[i].met = value.median <= goal.most
    else
      list[i].why = why
    end
  end
  return list
end

return M
