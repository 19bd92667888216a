-- SPDX-License-Identifier: Apache-2.0

-- From rounds to figures. A figure is the median over the rounds and what they spread over. A
-- ratio is the median of the ratios of each round, so that a slow drift of the machine, which
-- moves neighbours alike, cancels out.

local M = {}

function M.median(list)
  local sorted = { unpack(list) }
  table.sort(sorted)
  local middle = #sorted / 2
  if #sorted % 2 == 1 then
    return sorted[middle + 0.5]
  end
  return (sorted[middle] + sorted[middle + 1]) / 2
end

-- { median, min, max } of what f says of each round, or nil where it has nothing to say.
local function spread(rounds, f)
  local list = {}
  for i, round in ipairs(rounds) do
    list[#list + 1] = f(round, i)
  end
  if #list == 0 then
    return nil
  end
  return { median = M.median(list), min = math.min(unpack(list)), max = math.max(unpack(list)) }
end

local function sum(rounds, name)
  local total = 0
  for _, round in ipairs(rounds) do
    total = total + (round[name] or 0)
  end
  return total
end

local function ratio(gateway, other)
  return spread(gateway.rounds, function(round, i)
    return other.rounds[i] and other.rounds[i].cpu_us and round.cpu_us / other.rounds[i].cpu_us
  end)
end

local SUMMED = { requests = true, errors = true, opened = true, failed = true }

-- All that the rounds of a gateway have, by name.
local function of_rounds(rounds)
  local out = {}
  for name in pairs(rounds[1] or {}) do
    if SUMMED[name] then
      local total = sum(rounds, name)
      out[name] = { median = total, min = total, max = total }
    else
      out[name] = spread(rounds, function(round)
        return round[name]
      end)
    end
  end
  return out
end

local function figures(gateway)
  local rounds = gateway.rounds
  local one = { peer = gateway.peer.name, figures = of_rounds(rounds) }
  if one.figures.user then
    local user, system = sum(rounds, "user"), sum(rounds, "system")
    one.user_share = user / math.max(user + system, 1e-9)
    one.reuse = 1 - sum(rounds, "opened") / sum(rounds, "requests")
  end
  for name, value in pairs(gateway.once or {}) do
    one.figures[name] = { median = value, min = value, max = value }
  end
  return one
end

-- Beside the same peer in the row's `against`: the ratio, and the difference in microseconds and in yardsticks.
local function compare_with_base(one, gateway, row)
  local base = gateway.base
  if base then
    one.to_base = ratio(gateway, base)
    one.figures.over_base_us = spread(gateway.rounds, function(round, i)
      return (round.cpu_us - base.rounds[i].cpu_us) / (row.per or 1)
    end)
    one.figures.yardsticks = spread(gateway.rounds, function(round, i)
      return round.yardstick_us and (round.cpu_us - base.rounds[i].cpu_us) / round.yardstick_us
    end)
  end
end

local function find_faults(result, row, one)
  local function fault(...)
    table.insert(result.faults, one.peer .. ": " .. string.format(...))
  end
  local errors = one.figures.errors
  if errors and errors.median > 0 then
    fault("%d failed requests", errors.median)
  end
  if row.reuse and one.peer == "demilune" and one.reuse <= row.reuse then
    fault("%.3f %% of the requests reused a connection, less than %.3f %%", one.reuse * 100, row.reuse * 100)
  end
end

-- The result of a row from its measured gateways, what a run must not hide included: `faults`
-- of those, and the peers `left_out` of it.
function M.row(row, gateways, left_out)
  local result = {
    name = row.name, about = row.about, kind = row.kind or "load", against = row.against,
    peers = {}, faults = {}, left_out = left_out,
  }
  for _, gateway in ipairs(gateways) do
    local one = figures(gateway)
    find_faults(result, row, one)
    if gateway.row == row then
      one.to = {}
      for _, other in ipairs(gateways) do
        if other.row == row and other ~= gateway then
          one.to[other.peer.name] = ratio(gateway, other)
        end
      end
      one.to = next(one.to) and one.to
      compare_with_base(one, gateway, row)
      table.insert(result.peers, one)
    end
  end
  return result
end

return M
